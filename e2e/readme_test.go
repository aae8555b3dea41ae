package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What differs between two runs of the same session: the rest is compared byte
// for byte.
var varying = regexp.MustCompile(`"(token|msgId)":"[^"]*"|"time":[0-9]+`)

// said makes two runs comparable.
func said(line string) string { return varying.ReplaceAllString(line, `"$1":…`) }

// typed tells what a person types from what the screen shows: replies have a
// code, pushes a msgId.
func typed(line string) bool {
	return !strings.Contains(line, `"code":`) && !strings.Contains(line, `"msgId":`)
}

// TestReadmeSession plays the READMEs' sessions on a fresh `up`, and wants to
// see just what they show.
func TestReadmeSession(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"README.md", "README.zh-CN.md"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile("../" + name)
			if err != nil {
				t.Fatal(err)
			}
			o, err := newUpOptions(3)
			if err != nil {
				t.Fatal(err)
			}
			c, err := startUp(o)
			if err != nil {
				t.Fatal(err)
			}
			playSession(t, c, string(text))
		})
	}
}

func playSession(t *testing.T, c *cluster, text string) {
	ports := map[string]string{"8001": c.edge(0), "8003": c.edge(2)}
	newcomer := regexp.MustCompile(`nc 127\.0\.0\.1 (\d+)`)
	people := map[string]*client{} // by the number that their paragraphs begin with
	lines, steps := 0, strings.Split(text, "```json\n")
	for i, step := range steps[1:] {
		before := steps[i][strings.LastIndex(strings.TrimRight(steps[i], "\n"), "\n\n")+2:]
		block, _, _ := strings.Cut(step, "```")
		who := regexp.MustCompile(`[12]( 号)?[ ,，]|[12]( 号)?`).FindString(regexp.MustCompile("`[^`]*`").ReplaceAllString(before, ""))[:1]
		if m := newcomer.FindStringSubmatch(before); m != nil {
			people[who] = dial(t, ports[m[1]])
		}
		p := people[who]
		if p == nil {
			t.Fatalf("nobody is meant by %q", before)
		}
		for _, line := range strings.Split(strings.TrimSpace(block), "\n") {
			lines++
			if typed(line) {
				p.write(line + "\n")
				continue
			}
			b, err := p.link.read(patience)
			if err != nil {
				p.fail("waiting for %s: %v", line, err)
			}
			if got := strings.TrimSpace(string(b)); said(got) != said(line) {
				p.fail("the README shows\n%s\nbut there is\n%s", line, got)
			}
		}
		if strings.Contains(before, "Ctrl-C") {
			p.drop()
			awaitAway(t, c)
		}
	}
	if lines < 20 {
		t.Fatalf("only %d lines of a session found", lines)
	}
}

// awaitAway waits until user 1 sees its only friend offline: what is written to a
// socket before its end is noticed counts as delivered.
func awaitAway(t *testing.T, c *cluster) {
	t.Helper()
	watch := dial(t, c.edge(1))
	watch.send(`{"msgType":1,"USERID":1,"password":"1"}`)
	for watch.reply(); ; {
		watch.send(`{"msgType":8}`)
		if f := watch.reply(); strings.Contains(js(f), `"online":false`) {
			watch.drop()
			return
		}
	}
}
