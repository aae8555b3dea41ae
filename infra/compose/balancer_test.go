package compose_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sponge/infra/local"
)

// balance starts the balancer with the files that it gets, where only addresses
// differ, and the number of connections that this machine's limits allow.
func (d *deployment) balance(t *testing.T) {
	t.Helper()
	s := d.project.Services["haproxy"]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command, err := local.HAProxy(ctx, local.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	args := strings.Split(strings.Join(s.Command[1:], "\n"), "\n")
	dir := t.TempDir()
	for _, c := range s.Configs {
		text, err := os.ReadFile(d.project.Configs[c.Source].File)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, c.Source+".cfg")
		if err := os.WriteFile(file, []byte(d.substitute(t, c.Source, string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		for i, a := range args {
			if a == c.Target {
				args[i] = file
			}
		}
	}
	cmd := command(append([]string{"-W", "-db"}, args...)...) // as the image's entry point
	d.running["haproxy"] = []*container{start(t, "haproxy", "", cmd.Env, cmd.Path, cmd.Args[1:]...)}
	until(t, "health of the balancer", func(ctx context.Context) error {
		_, err := get(ctx, "http://"+d.status+"/healthz")
		return err
	})
}

// substitute puts this machine's addresses into the balancer's file. Each must be
// there once.
func (d *deployment) substitute(t *testing.T, source, text string) string {
	t.Helper()
	if source != "haproxy" {
		return text
	}
	for _, s := range []struct{ old, new string }{
		{"nameserver dns 127.0.0.11:53\n", "nameserver dns " + d.names.addr() + "\n"},
		{"bind :8000\n", "bind " + d.front + "\n"},
		{" edge:8000 ", fmt.Sprintf(" edge:%d ", d.chat)},
		{" port 9100 ", fmt.Sprintf(" port %d ", d.metrics)},
		{"bind :8404\n", "bind " + d.status + "\n"},
		{"maxconn 50000\n", "maxconn 1000\n"},
	} {
		if strings.Count(text, s.old) != 1 {
			t.Fatalf("%q is not in the balancer's file once", s.old)
		}
		text = strings.Replace(text, s.old, s.new, 1)
	}
	return text
}

// awaitBackends waits until the balancer gives connections to n edges.
func (d *deployment) awaitBackends(t *testing.T, n int) {
	t.Helper()
	up := regexp.MustCompile(`(?m)^haproxy_server_status\{proxy="chat",server="[^"]+",state="UP"\} 1$`)
	until(t, fmt.Sprintf("%d edges behind the balancer", n), func(ctx context.Context) error {
		text, err := get(ctx, "http://"+d.status+"/metrics")
		if err == nil && len(up.FindAllString(text, -1)) != n {
			err = fmt.Errorf("%d edges are up", len(up.FindAllString(text, -1)))
		}
		return err
	})
}

// awaitOutstanding waits until n frames have no answer yet.
func (d *deployment) awaitOutstanding(t *testing.T, n int) {
	t.Helper()
	waiting := regexp.MustCompile(`(?m)^sponge_edge_outstanding (\d+)$`)
	until(t, fmt.Sprintf("%d frames without an answer", n), func(ctx context.Context) error {
		sum := 0
		for _, c := range d.running["edge"] {
			text, err := get(ctx, "http://"+d.inside(":9100", c.ip)+"/metrics")
			if err != nil {
				return err
			}
			if m := waiting.FindStringSubmatch(text); m != nil {
				k, _ := strconv.Atoi(m[1]) // digits
				sum += k
			}
		}
		if sum != n {
			return fmt.Errorf("there are %d", sum)
		}
		return nil
	})
}

func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, response.Status)
	}
	return string(text), err
}
