package webclient

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// names are the paths of all files, and /.
func names(t *testing.T) []string {
	t.Helper()
	files, err := fs.ReadDir(static, "static")
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"/"}
	for _, f := range files {
		paths = append(paths, "/"+f.Name())
	}
	return paths
}

func TestFiles(t *testing.T) {
	types := map[string]string{"": "text/html", ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
	for _, name := range names(t) {
		r := get(t, "GET", name)
		if r.StatusCode != http.StatusOK || body(t, r) == "" {
			t.Errorf("%s: status %d", name, r.StatusCode)
		}
		want := types[path.Ext(name)]
		if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); want == "" || kind != want {
			t.Errorf("%s: Content-Type %q, want %q", name, kind, want)
		}
		if c := r.Header.Get("Cache-Control"); c != "no-cache" {
			t.Errorf("%s: Cache-Control %q", name, c)
		}
		tag := r.Header.Get("ETag")
		if again := get(t, "GET", name, "If-None-Match", tag); tag == "" || again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: the same again with its ETag %q: status %d, want 304", name, tag, again.StatusCode)
		}
		if head := get(t, "HEAD", name); head.StatusCode != http.StatusOK || body(t, head) != "" {
			t.Errorf("%s: HEAD: status %d, or a body", name, head.StatusCode)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/nothing.js", http.StatusNotFound},
		{"GET", "/static/app.js", http.StatusNotFound},
		{"GET", "/webclient.go", http.StatusNotFound},
		{"POST", "/", http.StatusMethodNotAllowed},
		{"DELETE", "/app.js", http.StatusMethodNotAllowed},
	} {
		r := get(t, c.method, c.path)
		if r.StatusCode != c.want {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, r.StatusCode, c.want)
		}
		if r.Header.Get("Content-Security-Policy") != policy {
			t.Errorf("%s %s: no policy", c.method, c.path)
		}
	}
}

func TestPolicy(t *testing.T) {
	h := get(t, "GET", "/").Header
	directives := map[string]string{}
	for d := range strings.SplitSeq(h.Get("Content-Security-Policy"), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), " ")
		directives[name] = value
	}
	want := map[string]string{
		"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'", "connect-src": "'self'",
		"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
		"require-trusted-types-for": "'script'", "trusted-types": "'none'",
	}
	for name, value := range want {
		if directives[name] != value {
			t.Errorf("%s is %q, want %q", name, directives[name], value)
		}
	}
	if len(directives) != len(want) {
		t.Errorf("%d directives, want %d: %v", len(directives), len(want), directives)
	}
	if v := h.Get("X-Content-Type-Options"); v != "nosniff" {
		t.Errorf("X-Content-Type-Options is %q", v)
	}
	if v := h.Get("Referrer-Policy"); v != "no-referrer" {
		t.Errorf("Referrer-Policy is %q", v)
	}
}

// The policy would break what these patterns find: better to learn it here
// than from a browser's console.
func TestNothingInlineNothingForeign(t *testing.T) {
	forbidden := map[string]*regexp.Regexp{
		"an inline script":          regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>\s*[^<\s]|<script(?:\s+type="\w+")?\s*>`),
		"an inline style":           regexp.MustCompile(`(?i)<style|<[^>]+\sstyle\s*=`),
		"an inline handler":         regexp.MustCompile(`(?i)<[^>]+\son\w+\s*=`),
		"a javascript: address":     regexp.MustCompile(`(?i)javascript:`),
		"markup made of a string":   regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser`),
		"an address somewhere else": regexp.MustCompile(`(?i)(?:https?:|wss?:|["'(])//[\w.-]+`),
		"an import from elsewhere":  regexp.MustCompile(`(?m)^import .* from "[^.]|@import|import\(`),
	}
	allowed := strings.NewReplacer(`xmlns="http://www.w3.org/2000/svg"`, "") // a name, never fetched
	for _, name := range names(t) {
		text := allowed.Replace(body(t, get(t, "GET", name)))
		for what, pattern := range forbidden {
			if found := pattern.FindString(text); found != "" {
				t.Errorf("%s: %s: %q", name, what, found)
			}
		}
	}
}

// Every word that the page and the scripts ask for is there in both languages.
func TestWords(t *testing.T) {
	words := body(t, get(t, "GET", "/words.js"))
	_, rest, _ := strings.Cut(words, "const en = {")
	english, rest, _ := strings.Cut(rest, "};")
	_, rest, _ = strings.Cut(rest, "const zh = {")
	chinese, _, _ := strings.Cut(rest, "};")
	key := regexp.MustCompile(`(?m)(?:^|[,{]) *"?([a-zA-Z]\w*(?:-\d+)?)"?: "`)
	keys := func(text string) map[string]bool {
		set := map[string]bool{}
		for _, m := range key.FindAllStringSubmatch(text, -1) {
			set[m[1]] = true
		}
		return set
	}
	en, zh := keys(english), keys(chinese)
	if len(en) < 60 {
		t.Fatalf("only %d words were found", len(en))
	}
	for k := range en {
		if !zh[k] {
			t.Errorf("%q is not in Chinese", k)
		}
	}
	for k := range zh {
		if !en[k] {
			t.Errorf("%q is not in English", k)
		}
	}
	used := regexp.MustCompile(`data-(?:t|label|hint)="(\w+)"|\bt\("(\w+)"`)
	for _, name := range names(t) {
		for _, m := range used.FindAllStringSubmatch(body(t, get(t, "GET", name)), -1) {
			if k := m[1] + m[2]; !en[k] {
				t.Errorf("%s asks for the word %q, which is not there", name, k)
			}
		}
	}
}
