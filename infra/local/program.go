package local

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// program describes a server that can be found on a machine.
type program struct {
	title    string         // what people call it
	names    []string       // its executables, the preferred one first
	pkg      string         // the Debian package that has it
	pkgPath  string         // the executable within that package
	major    int            // the oldest version that will do
	minor    int            //
	flag     string         // what makes it tell its version; "" is --version
	versions *regexp.Regexp // finds major and minor in what it tells; minor may be empty
	suite    string         // the suite of Debian that the private copy comes from; "" is this machine's own
}

// executable is a program that was found, checked, and is ready to run.
type executable struct {
	path    string
	argv0   string   // a program may do another job under another name
	loader  string   // what loads path with libraries of its own, C's included; "" is this machine's
	libs    string   // the folders with those libraries, for loader
	prefix  string   // the folder that has bin and share, such as /usr
	env     []string // besides this process's own environment
	version string   // what it told of its version when it was checked
}

func (e *executable) command(args ...string) *exec.Cmd {
	cmd := exec.Command(e.path, args...)
	if e.loader != "" {
		cmd = exec.Command(e.loader, append([]string{"--library-path", e.libs, e.path}, args...)...)
	}
	cmd.Args[0] = e.argv0
	cmd.Env = append(os.Environ(), e.env...)
	return cmd
}

// host is the machine to search: tests have others than this one.
type host struct {
	path      []string // folders with executables
	osRelease string   // the file that names the distribution
	javaHome  string   // $JAVA_HOME
	kafkaHome string   // $KAFKA_HOME
}

// thisHost searches PATH, and where Debian puts servers: ordinary users often
// lack those folders in their PATH.
func thisHost() host {
	h := host{osRelease: "/etc/os-release", javaHome: os.Getenv("JAVA_HOME"), kafkaHome: os.Getenv("KAFKA_HOME")}
	usual := []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), usual...) {
		if filepath.IsAbs(dir) { // never run what lies in the working directory
			h.path = append(h.path, dir)
		}
	}
	return h
}

// lookup returns the first executable file with this name.
func (h host) lookup(name string) (string, bool) {
	for _, dir := range h.path {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, true
		}
	}
	return "", false
}

// find returns an executable of p: one of this machine, else one from a
// private copy of its package, which is fetched when needed. The error wraps
// ErrUnavailable, and says what to install, unless ctx ended.
func (h host) find(ctx context.Context, o Options, p program) (*executable, error) {
	e, err := h.installed(ctx, o, p)
	if err == nil || ctx.Err() != nil {
		return e, err
	}
	why := err.Error()
	root, err := h.fetched(ctx, o, p, func(root string) error {
		return p.check(ctx, packageExecutable(root, p))
	})
	switch {
	case err == nil:
		o.Log.Debug("found a program", "program", p.title, "path", root)
		return packageExecutable(root, p), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%s is %w (%s; %w): install %s or put %s on PATH",
		p.title, ErrUnavailable, why, err, p.pkg, p.names[0])
}

// installed returns an executable of p that this machine has. The error says
// why those that were found will not do.
func (h host) installed(ctx context.Context, o Options, p program) (*executable, error) {
	var why []string
	for _, name := range p.names {
		path, ok := h.lookup(name)
		if !ok {
			continue
		}
		e, err := systemExecutable(path, name)
		if err == nil {
			err = p.check(ctx, e)
		}
		if err == nil {
			o.Log.Debug("found a program", "program", p.title, "path", path)
			return e, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		o.Log.Warn("passed over a program", "program", p.title, "path", path, "error", err)
		why = append(why, err.Error())
	}
	if len(why) == 0 {
		why = append(why, "no "+strings.Join(p.names, " or ")+" on PATH")
	}
	return nil, errors.New(strings.Join(why, "; "))
}

func systemExecutable(path, name string) (*executable, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	return &executable{path: path, argv0: name, prefix: filepath.Dir(filepath.Dir(real))}, nil
}

// packageExecutable is p within an unpacked package and its libraries.
func packageExecutable(root string, p program) *executable {
	e := &executable{
		path:   filepath.Join(root, p.pkgPath),
		argv0:  p.names[0],
		prefix: filepath.Join(root, "usr"),
	}
	var libs []string
	for _, pattern := range []string{"usr/lib/*-linux-*", "lib/*-linux-*", "usr/lib", "lib"} {
		dirs, _ := filepath.Glob(filepath.Join(root, pattern)) // the patterns are well-formed
		libs = append(libs, dirs...)
	}
	if p.suite != "" {
		// Its C library is newer than this machine's, so its loader goes with it.
		e.libs = strings.Join(libs, ":")
		e.loader = "no loader in " + root // fails, and says so
		if loaders, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*/ld-linux-*.so.*")); len(loaders) > 0 {
			e.loader = loaders[0]
		}
		return e
	}
	if len(libs) > 0 {
		e.env = []string{"LD_LIBRARY_PATH=" + strings.Join(libs, ":")}
	}
	return e
}

// check runs the executable far enough to know that it starts here, all its
// libraries included, and that it is not too old.
func (p program) check(ctx context.Context, e *executable) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	cmd := e.command(cmp.Or(p.flag, "--version"))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := runCommand(ctx, cmd); err != nil {
		if missing := missingLibraries(ctx, e); len(missing) > 0 {
			return fmt.Errorf("%s lacks %s", e.path, strings.Join(missing, ", "))
		}
		return fmt.Errorf("%s does not run: %w: %s", e.path, err, lastLines(out.Bytes(), 1))
	}
	e.version = out.String()
	m := p.versions.FindSubmatch(out.Bytes())
	if m == nil {
		return fmt.Errorf("%s is no %s: it says %q", e.path, p.title, lastLines(out.Bytes(), 1))
	}
	major, errMajor := strconv.Atoi(string(m[1]))
	minor, errMinor := strconv.Atoi("0" + string(m[2]))
	if err := errors.Join(errMajor, errMinor); err != nil {
		return fmt.Errorf("version of %s: %w", e.path, err)
	}
	if major < p.major || major == p.major && minor < p.minor {
		return fmt.Errorf("%s is %d.%d, too old: %d.%d or newer is needed", e.path, major, minor, p.major, p.minor)
	}
	return nil
}

// missingLibraries names the shared libraries that an executable does not find.
func missingLibraries(ctx context.Context, e *executable) []string {
	var out bytes.Buffer
	cmd := exec.Command("ldd", e.path)
	cmd.Env = append(os.Environ(), e.env...)
	cmd.Stdout = &out
	if err := runCommand(ctx, cmd); err != nil {
		return nil // no ldd, or no dynamic executable: the caller has a reason already
	}
	var missing []string
	for line := range strings.Lines(out.String()) {
		if name, ok := strings.CutSuffix(strings.TrimSpace(line), " => not found"); ok {
			missing = append(missing, name)
		}
	}
	return missing
}
