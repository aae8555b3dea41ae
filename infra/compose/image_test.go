package compose_test

import (
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// imageSize bounds the binary, in bytes: the image is that and 0.3 MB.
const imageSize = 40 << 20

// dockerfile is the text of the Dockerfile, its continued lines joined.
func dockerfile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\\\n", "")
}

// TestDockerfile: what the image is like, as far as its file tells.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := dockerfile(t)
	for _, line := range []string{
		`FROM --platform=\$BUILDPLATFORM golang:\d+\.\d+\.\d+-\w+ AS build`, `FROM scratch`, `USER [1-9]\d*:[1-9]\d*`,
		`HEALTHCHECK .*CMD \["/sponge", "health"\]`, `ENTRYPOINT \["/sponge"\]`, `COPY --from=build /etc/ssl/certs/ca-certificates.crt .*`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(text) {
			t.Errorf("no line is %s", line)
		}
	}
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(module); !strings.Contains(text, "golang:"+string(m[1])+"-") {
		t.Errorf("go.mod asks for Go %s", m[1])
	}
}

// TestImage builds the program as the Dockerfile does, from what .dockerignore
// lets through: it runs by itself on both architectures, tells its version, and
// is the same, byte for byte, wherever it is built.
func TestImage(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles everything, twice")
	}
	first, second := sources(t), sources(t)
	one := build(t, first, runtime.GOARCH)
	// A cache of its own: the compiler works anew, too.
	two := build(t, second, runtime.GOARCH, "GOCACHE="+t.TempDir())
	if sum(t, one) != sum(t, two) {
		t.Error("another folder gives another binary")
	}
	version, err := output(t.Context(), first, nil, one, "--version")
	if want := fmt.Sprintf("sponge v9.8.7-test %s linux/%s\n", runtime.Version(), runtime.GOARCH); err != nil || version != want {
		t.Errorf("version %q, want %q: %v", version, want, err)
	}
	if text, err := os.ReadFile(one); err != nil || strings.Contains(string(text), first) {
		t.Errorf("the binary tells where it was built: %v", err)
	}
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	for arch, file := range map[string]string{runtime.GOARCH: one, other: build(t, first, other)} {
		info, err := os.Stat(file)
		if err != nil || info.Size() > imageSize {
			t.Errorf("%s: %d bytes, %v", arch, info.Size(), err)
		}
		t.Logf("%s: %.1f MB", arch, float64(info.Size())/1e6)
		static(t, file, map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch])
	}
}

// static checks that a program needs no loader and no library.
func static(t *testing.T, file string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != machine || slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC }) {
		t.Errorf("%s is for %s, or not static", file, f.Machine)
	}
}

// build runs the Dockerfile's go build in dir, and returns the binary's path.
func build(t *testing.T, dir, arch string, env ...string) string {
	t.Helper()
	text := dockerfile(t)
	m := regexp.MustCompile(`(?m)^RUN .*(go build .*)-o (/out/sponge)( .*)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the Dockerfile does not build")
	}
	set := regexp.MustCompile(`(?m)^ENV (CGO_ENABLED=.*)$`).FindStringSubmatch(text)
	out := filepath.Join(t.TempDir(), "sponge")
	env = append(append(env, strings.Fields(set[1])...), "GOOS=linux", "GOARCH="+arch, "VERSION=v9.8.7-test")
	// nice: tests of other packages run beside, and some are in a hurry.
	if err := run(t.Context(), dir, env, "nice", "-n", "19", "sh", "-c", m[1]+"-o '"+out+"'"+m[3]); err != nil {
		t.Fatal(err)
	}
	return out
}

// sources is a copy of what the Dockerfile's COPY gets.
func sources(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\n*\n") {
		t.Fatal(".dockerignore lets everything through")
	}
	dir := t.TempDir()
	for line := range strings.Lines(string(text)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "!")
		if !ok {
			continue
		}
		err := filepath.WalkDir(filepath.Join(root, path), func(from string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "testdata":
				return fs.SkipDir
			case d.IsDir() || strings.HasSuffix(from, "_test.go"):
				return nil
			}
			to := filepath.Join(dir, strings.TrimPrefix(from, root))
			text, err := os.ReadFile(from)
			if err == nil {
				err = os.MkdirAll(filepath.Dir(to), 0o755)
			}
			if err == nil {
				err = os.WriteFile(to, text, 0o644)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func sum(t *testing.T, file string) [sha256.Size]byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(text)
}
