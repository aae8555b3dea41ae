//go:build browser

package webclient

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func talking(t *testing.T, f *fake) *tab {
	t.Helper()
	b := open(t, browser(t, "en-US"), f.url)
	b.login("6", "6")
	b.see("#friends", "user8")
	b.talk("u:8")
	b.see("#state", "online")
	return b
}

func TestLostReplyIsRepeated(t *testing.T) {
	f := newFake(t)
	b := talking(t, f)
	f.mu.Lock()
	f.cut[4] = true
	f.mu.Unlock()
	b.say("only once")
	f.until("a repeat of the message", func() bool { return len(f.of(4)) == 2 })
	b.until(`!!document.querySelector("#log .mine time")`)
	b.messages("only once")
	f.mu.Lock()
	defer f.mu.Unlock()
	if sent := f.of(4); sent[0]["id"] != sent[1]["id"] || sent[0]["id"] == nil {
		t.Errorf("repeated with another id: %v", sent)
	}
	if logins := f.of(1); logins[1]["token"] != "a token" || logins[1]["password"] != nil {
		t.Errorf("came back with %v, want the token", logins[1])
	}
	if len(f.said) != 1 {
		t.Errorf("%d messages are stored", len(f.said))
	}
}

func TestRefusedIsRepeatedOrExplained(t *testing.T) {
	f := newFake(t)
	b := talking(t, f)
	f.mu.Lock()
	f.refuse[4] = []float64{503, 504}
	f.mu.Unlock()
	b.say("third time lucky")
	b.until(`!!document.querySelector("#log .mine time")`)
	f.mu.Lock()
	if sent := f.of(4); len(sent) != 3 || sent[0]["id"] != sent[2]["id"] {
		t.Errorf("sent %v, want three times the same", sent)
	}
	f.refuse[4] = []float64{500}
	f.mu.Unlock()
	b.say("and by hand")
	b.see("#log .failed", "The server failed")
	b.picture("failed-message")
	b.click("#log .failed button")
	b.until(`document.querySelectorAll("#log .mine time").length === 2`)
	b.messages("third time lucky", "and by hand")
	b.say(strings.Repeat("long ", 14))
	b.until(`document.querySelectorAll("#log .mine time").length === 3`)
	b.do(`document.querySelector("#composer textarea").value = "x".repeat(70000)`)
	b.say("!")
	b.see("#log .failed", "too long")
}

func TestHoleIsFilled(t *testing.T) {
	f := newFake(t)
	b := talking(t, f)
	f.say("one", true)
	b.messages("one")
	f.until("a confirmation", func() bool { return len(f.of(5)) == 1 })
	f.mu.Lock()
	f.refuse[16] = []float64{503, 503, 503} // long enough for a hasty confirmation
	f.mu.Unlock()
	f.say("two", false)
	f.say("three", false)
	f.say("four", true)
	b.messages("one", "two", "three", "four")
	f.until("another confirmation", func() bool { return len(f.of(5)) == 2 })
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.got[len(f.got)-1]
	if last["msgType"] != float64(5) || last["seq"] != float64(4) {
		t.Errorf("%v came last, want the confirmation of 4, after the hole was filled", last)
	}
}

func TestMissedPagesAndOlder(t *testing.T) {
	f := newFake(t)
	for i := 1; i <= 130; i++ {
		f.store(8, 6, fmt.Sprint(i))
	}
	f.offline = [][]frame{f.said[120:124], f.said[124:128], f.said[128:]}
	b := open(t, browser(t, "en-US"), f.url)
	b.login("6", "6")
	b.see("#friends .badge", "10")
	f.until("confirmations", func() bool { return len(f.of(5)) >= 3 })
	f.mu.Lock()
	var order []string
	for _, g := range f.got {
		if g["msgType"] == float64(14) || g["msgType"] == float64(5) {
			order = append(order, fmt.Sprint(g["msgType"], g["seq"]))
		}
	}
	f.mu.Unlock()
	const want = "14 <nil>,5 124,14 <nil>,5 128,14 <nil>,5 130"
	if got := strings.Join(order[:min(6, len(order))], ","); got != want {
		t.Errorf("asked and confirmed: %s\nwant %s", got, want)
	}
	b.talk("u:8")
	b.until(`document.querySelectorAll("#log p").length === 60`)
	b.until(`!document.querySelector(".badge")`)
	b.picture("long")
	b.click("#older")
	b.until(`document.querySelectorAll("#log p").length === 110`)
	b.click("#older")
	b.until(`document.querySelectorAll("#log p").length === 130 && document.querySelector("#older").hidden`)
	b.until(`[...document.querySelectorAll("#log p")].every((p, i) => p.textContent === String(i + 1))`)
}

func TestNotices(t *testing.T) {
	f := newFake(t)
	b := talking(t, f)
	const after = 700
	told := f.notice("draining: this server is going away", true, after)
	b.see("#alert", "draining: this server is going away")
	f.say("said meanwhile", false)
	f.until("a second login", func() bool { return len(f.logins) == 2 })
	f.mu.Lock()
	if wait := f.logins[1].Sub(told); wait < after*time.Millisecond {
		t.Errorf("came back after %v, sooner than it was told", wait)
	}
	f.mu.Unlock()
	b.messages("said meanwhile")
	b.until(`document.querySelector("#bar").hidden`)

	f.notice("session revoked: log in again", false, 0)
	b.visible("#login")
	b.see("#alert", "The session is over")
	b.until(`sessionStorage.length === 0`)
}

func TestRefusedTokenLeadsToLogin(t *testing.T) {
	f := newFake(t)
	b := talking(t, f)
	f.mu.Lock()
	f.noResume = true
	f.conn.CloseNow()
	f.mu.Unlock()
	b.visible("#login")
	b.see("#alert", "The session is over")
}

// What a sender puts into a frame besides the known keys means nothing, and
// markup is text.
func TestHostileFrames(t *testing.T) {
	f := newFake(t)
	b := talking(t, f)
	f.mu.Lock()
	m := f.store(8, 6, `<img src=x onerror="document.title='owned'">`)
	m["frame"], m["from"], m["text"] = frame{"FROMID": 6, "msg": "I owe 8 a million"}, 6, "I owe 8 a million"
	m["node"], m["item"], m["__proto__"] = "x", "y", frame{"seq": 99}
	f.write(f.conn, m)
	f.mu.Unlock()
	b.messages(`<img src=x onerror="document.title='owned'">`)
	b.until(`!document.querySelector("#log .mine, #log img") && document.title !== "owned"`)
}
