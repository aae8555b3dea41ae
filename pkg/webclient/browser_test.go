//go:build browser

package webclient

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds every step that a test waits for.
const patience = 20 * time.Second

// browser starts the Chromium that SPONGE_TEST_BROWSER names, speaking lang.
// Without the variable the test fails: who sets the tag wants the browser.
func browser(t *testing.T, lang string) context.Context {
	t.Helper()
	program := os.Getenv("SPONGE_TEST_BROWSER")
	if program == "" {
		t.Fatal("SPONGE_TEST_BROWSER does not name a Chromium, such as /usr/bin/chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("lang", lang), chromedp.Flag("accept-lang", lang), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithLogf(t.Logf))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return ctx
}

// tab is one tab of a browser. A script's error or a breach of the policy
// fails the test.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open opens a page in a tab of the browser; a tab has its own session, and
// shares what is kept for longer.
func open(t *testing.T, browser context.Context, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	tb := &tab{t, ctx}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("script: %s", describe(e.ExceptionDetails))
		case *log.EventEntryAdded:
			if e.Entry.Source == log.EntrySourceSecurity {
				t.Errorf("policy: %s", e.Entry.Text)
			} else {
				t.Logf("browser: %s", e.Entry.Text)
			}
		}
	})
	if err != nil {
		t.Fatalf("listen to the browser: %v", err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatalf("listen to the browser's log: %v", err)
	}
	tb.size(1100, 720)
	tb.run(chromedp.Navigate(url))
	tb.until(`document.querySelector("h2").textContent !== ""`)
	return tb
}

func describe(d *runtime.ExceptionDetails) string {
	if d.Exception != nil {
		return d.Text + " " + d.Exception.Description
	}
	return d.Text
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.picture("failed")
		b.t.Fatalf("browser: %v\nthe page says:\n%s", err, b.text())
	}
}

func (b *tab) do(script string, args ...any) {
	b.t.Helper()
	b.run(chromedp.Evaluate[chromedp.Void](quote(script, args)))
}

func (b *tab) size(width, height int64, options ...chromedp.EmulateViewportOption) {
	b.t.Helper()
	b.run(chromedp.EmulateViewport(width, height, options...))
}

func (b *tab) click(css string) {
	b.t.Helper()
	b.run(chromedp.Click(chromedp.CSS(css)))
}

func (b *tab) press(css, keys string) {
	b.t.Helper()
	b.run(chromedp.SendKeys(chromedp.CSS(css), keys))
}

// visible waits until an element is.
func (b *tab) visible(css string) {
	b.t.Helper()
	b.run(chromedp.WaitVisible(chromedp.CSS(css)))
}

// quote puts strings into a script.
func quote(script string, args []any) string {
	quoted := make([]any, len(args))
	for i, a := range args {
		quoted[i] = fmt.Sprintf("%q", a)
	}
	return fmt.Sprintf(script, quoted...)
}

// until waits for a JavaScript expression to be true.
func (b *tab) until(expression string, args ...any) {
	b.t.Helper()
	b.run(chromedp.Poll[chromedp.Void](quote(expression, args), chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(0)))
}

// see waits for text in what a selector finds first.
func (b *tab) see(selector, text string) {
	b.t.Helper()
	b.until(`document.querySelector(%s)?.innerText.includes(%s)`, selector, text)
}

// messages waits until the log holds exactly these texts.
func (b *tab) messages(want ...string) {
	b.t.Helper()
	b.until(`[...document.querySelectorAll("#log p")].map((p) => p.textContent).join("|") === %s`, strings.Join(want, "|"))
}

func (b *tab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	s, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`)) // only for a report
	return s
}

func (b *tab) login(user, password string) {
	b.t.Helper()
	b.press("#login [name=user]", user)
	b.press("#login [name=password]", password+"\r")
}

// talk opens a conversation, and say types a message into it.
func (b *tab) talk(key string) {
	b.t.Helper()
	b.do(`location.hash = %s`, key)
	b.visible("#composer textarea")
}

func (b *tab) say(text string) {
	b.t.Helper()
	b.press("#composer textarea", text)
	// As a browser does it: one event for key and character, so that a script can prevent both.
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		key := input.DispatchKeyEventParams{Type: kind, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13}
		if kind == input.DispatchKeyEventTypeKeyDown {
			key.Text = "\r"
		}
		if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, key); err != nil {
			b.t.Fatalf("enter: %v", err)
		}
	}
}

func (b *tab) dark() {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	if err != nil {
		b.t.Fatalf("dark: %v", err)
	}
}

// picture keeps a screenshot in the folder SPONGE_TEST_PICTURES, if that is set.
func (b *tab) picture(name string) {
	dir := os.Getenv("SPONGE_TEST_PICTURES")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	}
	if err != nil {
		b.t.Errorf("picture %s: %v", name, err)
	}
}
