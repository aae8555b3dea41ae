// Package webclient is the chat in a browser that `sponge up` serves: static
// files that speak the wire's frames over the WebSocket at /ws of the same
// host. There is no build step and nothing is fetched from elsewhere.
//
// It must not know edges, workers or any service: to the server it is a client
// like any other.
package webclient

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed static
var static embed.FS

// policy lets the page load its own files and talk to its own host, nothing
// else. Trusted types make the browser refuse innerHTML and its like, so that
// a message cannot become markup. frame-ancestors: nobody may put the login
// form into their page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';" +
	" base-uri 'none'; form-action 'none'; frame-ancestors 'none';" +
	" require-trusted-types-for 'script'; trusted-types 'none'"

// contentTypes are the files' types by extension: the machine's own table may
// lack some, and browsers refuse modules of another type.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
}

// Handler serves the web client at / and its files beside it; any other path
// is 404, and any method but GET and HEAD is 405. It is safe for concurrent
// use.
func Handler() http.Handler {
	files, err := fs.ReadDir(static, "static")
	if err != nil {
		panic(err) // embedded at build time
	}
	mux := http.NewServeMux()
	for _, f := range files {
		content, err := static.ReadFile("static/" + f.Name())
		if err != nil {
			panic(err)
		}
		serve := file(f.Name(), content)
		mux.Handle("GET /"+f.Name(), serve)
		if f.Name() == "index.html" {
			mux.Handle("GET /{$}", serve)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		mux.ServeHTTP(w, r)
	})
}

// file serves one file. Browsers keep it, but ask each time whether it is
// still the same: a server that was updated never meets half of an old client.
func file(name string, content []byte) http.Handler {
	sum := sha256.Sum256(content)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", contentTypes[path.Ext(name)])
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}
