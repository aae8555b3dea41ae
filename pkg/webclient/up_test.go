//go:build browser

package webclient

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// startUp runs `sponge up` in an empty directory and returns the address of
// its web client.
func startUp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "sponge")
	if out, err := exec.Command("go", "build", "-o", program, "sponge/cmd/sponge").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	web, port := freePort(t, 1), freePort(t, 4)
	errors, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer errors.Close()
	cmd := exec.Command(program, "up", "--dir", filepath.Join(dir, "data"), "--port", fmt.Sprint(port), "--web", fmt.Sprint(web))
	cmd.Stderr = errors
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("sponge up: %v", err)
		}
	})
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready") {
				ready <- true
			}
		}
		ready <- false
	}()
	select {
	case ok := <-ready:
		if ok {
			return fmt.Sprintf("http://127.0.0.1:%d/", web)
		}
	case <-time.After(3 * time.Minute):
	}
	said, _ := os.ReadFile(errors.Name())
	t.Fatalf("sponge up did not become ready:\n%s", said)
	return ""
}

// freePort returns the first of n free ports in a row. Somebody else may take
// one before it is used; then the program says so.
func freePort(t *testing.T, n int) int {
	t.Helper()
	for range 50 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		held := []net.Listener{first}
		for i := 1; i < n; i++ {
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i)); err == nil {
				held = append(held, l)
			}
		}
		for _, l := range held {
			l.Close()
		}
		if len(held) == n {
			return port
		}
	}
	t.Fatal("no free ports in a row")
	return 0
}

// TestUp is an evening of people who use the real thing.
func TestUp(t *testing.T) {
	url := startUp(t)
	chinese, english := browser(t, "zh-CN"), browser(t, "en-US")

	six := open(t, chinese, url)
	six.see("#login h2", "登录")
	six.picture("login-zh")
	six.login("6", "wrong")
	six.see("#alert", "用户号或密码错误")
	six.do(`document.querySelector("#login").reset()`)
	six.login("6", "6")
	six.see("#me", "user6 #6")

	// Search, befriend, write.
	six.click("#side details:nth-of-type(1) summary")
	six.press("#search input", "user8\r")
	six.see("#found", "user8")
	six.click("#found .plain")
	six.see("#alert", "user8")
	six.see("#friends", "user8")
	six.talk("u:8")
	six.say("你好 8号")
	six.messages("你好 8号")
	six.until(`!!document.querySelector("#log time")`)

	// Who comes later finds it.
	eight := open(t, english, url)
	eight.picture("login-en")
	eight.login("8", "8")
	eight.see("#friends .badge", "1")
	eight.until(`document.title === "(1) Sponge"`)
	eight.click("#friends .entry")
	eight.messages("你好 8号")
	eight.until(`!document.querySelector(".badge") && document.title === "Sponge"`)
	eight.say("Hello, 6! <b onclick=alert(1)>bold?</b>")
	six.messages("你好 8号", "Hello, 6! <b onclick=alert(1)>bold?</b>")
	six.see("#announce", "user8：Hello, 6!")
	for i, line := range []string{"今晚一起吃饭吗？", "Sure, where?", "老地方，七点。我把小王也叫上，他刚从上海回来，带了不少照片。", "See you at seven 👋"} {
		[]*tab{six, eight}[i%2].say(line)
		[]*tab{eight, six}[i%2].until(`document.querySelector("#log li:last-child p").textContent === %s`, line)
	}
	six.picture("chat-zh")
	eight.dark()
	eight.picture("chat-dark")

	// A group, with names that nobody told.
	eight.talk("g:8")
	six.talk("g:8")
	six.say("大家好")
	eight.messages("大家好")
	eight.see("#log .from", "user6")
	eight.picture("group-dark")

	// A new account; the session survives a reload, and a log out ends it.
	phone := open(t, english, url)
	phone.size(390, 780, chromedp.EmulateScale(2))
	phone.picture("phone-login")
	phone.press("#register [name=name]", "Eric Ling")
	phone.press("#register [name=password]", "whatever\r")
	phone.see("#alert", "Your user id is 11")
	phone.click("#side details:nth-of-type(2) summary")
	phone.press("#join input", "7\r")
	phone.see("#title", "group7 #7")
	phone.say("first words of mine")
	phone.messages("first words of mine")
	phone.picture("phone-chat")
	phone.run(chromedp.Reload())
	phone.see("#me", "Eric Ling #11")
	phone.messages("first words of mine")
	phone.click("#back")
	phone.see("#groups", "group7")
	phone.picture("phone-list")
	phone.click("#logout")
	phone.visible("#login")
	phone.run(chromedp.Reload())
	phone.visible("#login")
	phone.until(`sessionStorage.length === 0 && document.querySelector("#me").textContent === ""`)
}
