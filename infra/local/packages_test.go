package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The stand-ins for the package system note their calls in the file "calls" of
// the folder that they are in. apt-get update succeeds unless there is a file
// "update-fails"; it waits for the fifo "gate" if there is one. What
// apt-get install gets is "unpacked" into the program that is in "payload".
const (
	fakeAptGet = `#!/bin/sh
PATH=/usr/bin:/bin
here=$(dirname "$0")
for arg; do
	case $arg in
	Dir::Cache::archives=*) archives=${arg#*=} ;;
	update)
		echo update >> "$here/calls"
		if [ -p "$here/gate" ]; then cat "$here/gate" > /dev/null; fi
		if [ -e "$here/update-fails" ]; then echo "E: third party is away" >&2; exit 100; fi ;;
	install)
		echo install >> "$here/calls"
		if [ -e "$here/install-fails" ]; then echo "E: no such package" >&2; exit 100; fi
		: > "$archives/thing_1.0_all.deb"
		: > "$archives/libc6_2.0_all.deb" ;;
	esac
done
`
	fakeDpkgDeb = `#!/bin/sh
PATH=/usr/bin:/bin
here=$(dirname "$0")
echo "extract $(basename "$2")" >> "$here/calls"
mkdir -p "$3/usr/bin" "$3/usr/lib/x-linux-gnu" && cp "$here/payload" "$3/usr/bin/thingd" && chmod 755 "$3/usr/bin/thingd"
`
	fakeThing = "#!/bin/sh\necho Thing v=%s for libraries in $LD_LIBRARY_PATH\n"
)

var thing = program{
	title:    "Thing",
	names:    []string{"thingd"},
	pkg:      "thing-core",
	pkgPath:  "usr/bin/thingd",
	major:    2,
	minor:    3,
	versions: regexp.MustCompile(`Thing v=(\d+)\.(\d+)`),
}

// fakeHost is a Debian-like machine whose only programs are the stand-ins.
type fakeHost struct {
	host
	bin  string
	opts Options
}

func newFakeHost(t *testing.T) *fakeHost {
	t.Helper()
	dir := t.TempDir()
	f := &fakeHost{bin: filepath.Join(dir, "bin"), opts: Options{Dir: filepath.Join(dir, "thing"), Cache: filepath.Join(dir, "cache")}}
	f.host = host{path: []string{f.bin}, osRelease: filepath.Join(dir, "os-release")}
	writeFile(t, f.osRelease, "NAME=\"Some\"\nID=some\nID_LIKE=\"ubuntu debian\"\nVERSION_ID='24.04'\n", 0o644)
	writeFile(t, filepath.Join(f.bin, "apt-get"), fakeAptGet, 0o755)
	writeFile(t, filepath.Join(f.bin, "dpkg-deb"), fakeDpkgDeb, 0o755)
	writeFile(t, filepath.Join(f.bin, "payload"), fmt.Sprintf(fakeThing, "2.3"), 0o644)
	return f
}

func (f *fakeHost) set(t *testing.T, name string) {
	writeFile(t, filepath.Join(f.bin, name), "", 0o644)
}

func (f *fakeHost) find(t *testing.T) (*executable, error) {
	t.Helper()
	o, err := f.opts.prepare()
	if err != nil {
		t.Fatal(err)
	}
	return f.host.find(limit(t), o, thing)
}

// wantCalls compares and forgets the calls to the package system so far.
func (f *fakeHost) wantCalls(t *testing.T, want ...string) {
	t.Helper()
	file := filepath.Join(f.bin, "calls")
	b, _ := os.ReadFile(file) // no calls, no file
	if got := strings.TrimSpace(string(b)); got != strings.Join(want, "\n") {
		t.Errorf("calls:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	_ = os.Remove(file)
}

func TestFindFetchesOnce(t *testing.T) {
	t.Parallel()
	f := newFakeHost(t)
	e, err := f.find(t)
	if err != nil {
		t.Fatal(err)
	}
	f.wantCalls(t, "update", "install", "extract thing_1.0_all.deb")
	tree := filepath.Join(f.opts.Cache, "some-24.04-"+runtime.GOARCH, "thing-core")
	if e.path != filepath.Join(tree, "usr/bin/thingd") || e.prefix != filepath.Join(tree, "usr") {
		t.Errorf("found %+v", e)
	}
	if want := "LD_LIBRARY_PATH=" + filepath.Join(tree, "usr/lib/x-linux-gnu") + ":" + filepath.Join(tree, "usr/lib"); len(e.env) != 1 || e.env[0] != want {
		t.Errorf("environment %q, want %q", e.env, want)
	}
	if again, err := f.find(t); err != nil || again.path != e.path {
		t.Errorf("second time: %+v, %v", again, err)
	}
	f.wantCalls(t)
}

func TestFindByManyAtOnceFetchesOnce(t *testing.T) {
	t.Parallel()
	f := newFakeHost(t)
	gate := filepath.Join(f.bin, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	const n = 5
	var waiting atomic.Int32
	allWait := make(chan struct{})
	f.opts.Progress = func(step string) {
		if strings.HasPrefix(step, "waiting") && waiting.Add(1) == n-1 {
			close(allWait)
		}
	}
	var finders sync.WaitGroup
	for range n {
		finders.Go(func() {
			if _, err := f.find(t); err != nil {
				t.Error(err)
			}
		})
	}
	<-allWait // all but the one that fetches, and it waits at the gate
	if err := os.WriteFile(gate, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	finders.Wait()
	f.wantCalls(t, "update", "install", "extract thing_1.0_all.deb")
}

func TestFindRemakesBrokenTree(t *testing.T) {
	t.Parallel()
	f := newFakeHost(t)
	e, err := f.find(t)
	if err != nil {
		t.Fatal(err)
	}
	f.wantCalls(t, "update", "install", "extract thing_1.0_all.deb")
	writeFile(t, e.path, "#!/bin/sh\nexit 127\n", 0o755)
	leftover := filepath.Join(filepath.Dir(filepath.Dir(e.prefix)), "thing-core.tmp-1")
	writeFile(t, filepath.Join(leftover, "root", "x"), "of a killed run", 0o644)
	if _, err := f.find(t); err != nil {
		t.Fatal(err)
	}
	f.wantCalls(t, "install", "extract thing_1.0_all.deb") // the lists are fresh
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(leftover), "*.tmp-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFindBearsOneFailingSource(t *testing.T) {
	t.Parallel()
	f := newFakeHost(t)
	f.set(t, "update-fails")
	if _, err := f.find(t); err != nil {
		t.Error(err)
	}
	f.wantCalls(t, "update", "install", "extract thing_1.0_all.deb")
}

// Lists name packages that a server may have dropped meanwhile.
func TestFindDistrustsLists(t *testing.T) {
	t.Parallel()
	f := newFakeHost(t)
	cache := filepath.Join(f.opts.Cache, "some-24.04-"+runtime.GOARCH)
	again := func(calls ...string) {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(cache, "thing-core")); err != nil {
			t.Fatal(err)
		}
		_, _ = f.find(t) // the calls tell
		f.wantCalls(t, calls...)
	}
	again("update", "install", "extract thing_1.0_all.deb")
	again("install", "extract thing_1.0_all.deb")
	f.set(t, "install-fails")
	again("install")
	again("update", "install") // they did not serve the last time
	if err := os.Remove(filepath.Join(f.bin, "install-fails")); err != nil {
		t.Fatal(err)
	}
	again("update", "install", "extract thing_1.0_all.deb")
	old := time.Now().Add(-2 * listsFresh)
	if err := os.Chtimes(filepath.Join(cache, "apt", "updated"), old, old); err != nil {
		t.Fatal(err)
	}
	again("update", "install", "extract thing_1.0_all.deb")
}

func TestFindPrefersThisMachine(t *testing.T) {
	t.Parallel()
	f := newFakeHost(t)
	own := filepath.Join(f.bin, "thingd")
	writeFile(t, own, fmt.Sprintf(fakeThing, "10.0"), 0o755)
	if e, err := f.find(t); err != nil || e.path != own {
		t.Errorf("found %+v, %v", e, err)
	}
	f.wantCalls(t)

	// One that is too old is passed over.
	writeFile(t, own, fmt.Sprintf(fakeThing, "2.2"), 0o755)
	if e, err := f.find(t); err != nil || e.path == own {
		t.Errorf("found %+v, %v", e, err)
	}
}

func TestFindSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	const install = ": install thing-core or put thingd on PATH"
	for name, test := range map[string]struct {
		spoil func(t *testing.T, f *fakeHost)
		want  string // %s is the folder of the stand-ins
	}{
		"no package system": {
			func(t *testing.T, f *fakeHost) { f.path = nil },
			"(no thingd on PATH; no apt-get to fetch it with)" + install,
		},
		"another distribution": {
			func(t *testing.T, f *fakeHost) { writeFile(t, f.osRelease, "ID=fedora\nVERSION_ID=44\n", 0o644) },
			`(no thingd on PATH; no private copy on "fedora", which is not Debian-like)` + install,
		},
		"nothing to be had": {
			func(t *testing.T, f *fakeHost) { f.set(t, "update-fails"); f.set(t, "install-fails") },
			"(no thingd on PATH; fetching thing-core: apt-get update: third party is away; " +
				"apt-get install --download-only: no such package)" + install,
		},
		"too old everywhere": {
			func(t *testing.T, f *fakeHost) {
				writeFile(t, filepath.Join(f.bin, "thingd"), fmt.Sprintf(fakeThing, "1.9"), 0o755)
				writeFile(t, filepath.Join(f.bin, "payload"), fmt.Sprintf(fakeThing, "2.2"), 0o644)
			},
			"is 2.2, too old: 2.3 or newer is needed)" + install,
		},
		"something else of that name": {
			func(t *testing.T, f *fakeHost) {
				writeFile(t, filepath.Join(f.bin, "payload"), "#!/bin/sh\necho Other 9.9\n", 0o644)
			},
			`is no Thing: it says "Other 9.9")` + install,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeHost(t)
			test.spoil(t, f)
			_, err := f.find(t)
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v is no ErrUnavailable", err)
			}
			wantText(t, err, "Thing is not available on this machine (", test.want)
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a sentence: %q", err)
			}
			// What failed leaves nothing that a later call could take for complete.
			if made, _ := filepath.Glob(filepath.Join(f.opts.Cache, "*", "thing-core*")); len(made) > 0 {
				t.Errorf("left behind: %v", made)
			}
		})
	}
}

func TestFindCancelled(t *testing.T) {
	t.Parallel()
	f := newFakeHost(t)
	if err := syscall.Mkfifo(filepath.Join(f.bin, "gate"), 0o600); err != nil { // which nobody opens
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.opts.Progress = func(string) { cancel() }
	o, err := f.opts.prepare()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.host.find(ctx, o, thing); !isCancelled(err) || errors.Is(err, ErrUnavailable) {
		t.Errorf("cancelled: %v", err)
	}
}

// The real thing, once, with nothing there before.
func TestFetchFromDebian(t *testing.T) {
	t.Parallel()
	h := thisHost()
	o, err := Options{Dir: t.TempDir(), Cache: t.TempDir(), Progress: func(s string) { t.Log(s) }}.prepare()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.aptCache(o, ""); err != nil {
		t.Skip(err)
	}
	for _, p := range []program{mariadbProgram, redisProgram, haproxyProgram} {
		root, err := h.fetched(limit(t), o, p, func(root string) error {
			return p.check(limit(t), packageExecutable(root, p))
		})
		if err != nil {
			t.Fatal(err)
		}
		if missing := missingLibraries(limit(t), packageExecutable(root, p)); len(missing) > 0 {
			t.Errorf("%s lacks %v", p.title, missing)
		}
	}
}
