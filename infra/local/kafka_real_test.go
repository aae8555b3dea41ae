package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The stand-ins for Java and Maven: their ways to fail need neither. Java is of
// the version in the file "java-version". Its StorageTool wants that nothing is
// where it makes its directory, and fails if there is a file "format-fails"; its
// broker always fails. Maven fails if there is a file "mvn-fails"; otherwise
// its calls are in the file "calls", and its jars are those listed in "jars".
const (
	fakeJava = `#!/bin/sh
PATH=/usr/bin:/bin
here=$(dirname "$0")
case "$*" in
-version)
	echo "openjdk version \"$(cat "$here/java-version")\" 2026-01-20" >&2 ;;
*StorageTool*)
	if [ -e kraft.new ]; then echo "kraft.new is there" >&2; exit 1; fi
	mkdir kraft.new
	if [ -e "$here/format-fails" ]; then echo "no format today" >&2; exit 1; fi
	echo "cluster.id=abc" > kraft.new/meta.properties ;;
*kafka.Kafka*)
	echo "no broker today in $(pwd)"; exit 3 ;;
esac
`
	fakeMaven = `#!/bin/sh
PATH=/usr/bin:/bin
here=$(dirname "$0")
echo mvn >> "$here/calls"
if [ -e "$here/mvn-fails" ]; then
	echo "[ERROR] Failed to execute goal: Unknown host -> [Help 1]"; echo "[ERROR] "; echo "[ERROR] To see the full stack trace..."; exit 1
fi
for arg; do
	case $arg in
	-DoutputDirectory=*) to=${arg#*=} ;;
	-Dmaven.repo.local=*) mkdir -p "${arg#*=}" ;;
	esac
done
for jar in $(cat "$here/jars"); do echo jar > "$to/$jar"; done
`
)

// newFakeKafka is a fakeHost that has Java and Maven, and no other programs.
func newFakeKafka(t *testing.T) *fakeHost {
	t.Helper()
	f := newFakeHost(t)
	writeFile(t, filepath.Join(f.bin, "java"), fakeJava, 0o755)
	writeFile(t, filepath.Join(f.bin, "java-version"), "17.0.15", 0o644)
	writeFile(t, filepath.Join(f.bin, "mvn"), fakeMaven, 0o755)
	writeFile(t, filepath.Join(f.bin, "jars"), "kafka_2.13-4.1.1.jar a.jar", 0o644)
	return f
}

func (f *fakeHost) findKafka(t *testing.T) (*kafkaJVM, error) {
	t.Helper()
	o, err := f.opts.prepare()
	if err != nil {
		t.Fatal(err)
	}
	return f.host.findKafka(limit(t), o)
}

func (f *fakeHost) startKafka(t *testing.T) error {
	t.Helper()
	_, err := startKafka(limit(t), f.host, f.opts, KafkaConfig{Real: true})
	if err == nil {
		t.Fatal("started without a Java")
	}
	return err
}

func TestFindKafkaFetchesOnce(t *testing.T) {
	t.Parallel()
	f := newFakeKafka(t)
	j, err := f.findKafka(t)
	if err != nil {
		t.Fatal(err)
	}
	if len(j.jars) != 2 || filepath.Base(j.jars[0]) != "a.jar" || j.java.path != filepath.Join(f.bin, "java") {
		t.Errorf("found %+v with %+v", j, j.java)
	}
	if again, err := f.findKafka(t); err != nil || strings.Join(again.jars, " ") != strings.Join(j.jars, " ") {
		t.Errorf("second time: %+v, %v", again, err)
	}
	f.wantCalls(t, "mvn")
	if kept, _ := filepath.Glob(filepath.Join(f.opts.Cache, "kafka", "*.tmp-*")); len(kept) > 0 {
		t.Errorf("left behind: %v", kept)
	}

	// A damaged tree is made anew.
	for _, damage := range []func(string) error{os.Remove, func(jar string) error { return os.Truncate(jar, 0) }} {
		if err := damage(j.jars[0]); err != nil {
			t.Fatal(err)
		}
		if again, err := f.findKafka(t); err != nil || len(again.jars) != 2 {
			t.Errorf("after damage: %+v, %v", again, err)
		}
		f.wantCalls(t, "mvn")
	}
}

func TestFindKafkaPrefersThisMachine(t *testing.T) {
	t.Parallel()
	f := newFakeKafka(t)
	home := filepath.Join(t.TempDir(), "kafka [4]")
	core := filepath.Join(home, "libs", "kafka_2.13-4.0.0.jar")
	writeFile(t, core, "jar", 0o644)
	writeFile(t, filepath.Join(home, "libs", "README"), "no jar", 0o644)
	wantHome := func() {
		t.Helper()
		if j, err := f.findKafka(t); err != nil || len(j.jars) != 1 || j.jars[0] != core {
			t.Errorf("found %+v, %v", j, err)
		}
		f.wantCalls(t)
	}
	f.kafkaHome = home
	wantHome()

	// Its scripts on PATH tell where it is, also through a link.
	f.kafkaHome = ""
	script := filepath.Join(home, "bin", "kafka-server-start.sh")
	writeFile(t, script, "#!/bin/sh\n", 0o755)
	if err := os.Symlink(script, filepath.Join(f.bin, filepath.Base(script))); err != nil {
		t.Fatal(err)
	}
	wantHome()

	// One that is too old is passed over.
	if err := os.Rename(core, filepath.Join(filepath.Dir(core), "kafka_2.13-3.9.2.jar")); err != nil {
		t.Fatal(err)
	}
	if j, err := f.findKafka(t); err != nil || len(j.jars) != 2 {
		t.Errorf("found %+v, %v", j, err)
	}
	f.wantCalls(t, "mvn")

	// So is a Java, for the one that JAVA_HOME names.
	f.javaHome = t.TempDir()
	writeFile(t, filepath.Join(f.javaHome, "bin", "java"), fakeJava, 0o755)
	writeFile(t, filepath.Join(f.javaHome, "bin", "java-version"), "21", 0o644)
	writeFile(t, filepath.Join(f.bin, "java-version"), "1.8.0_492", 0o644)
	if j, err := f.findKafka(t); err != nil || j.java.path != filepath.Join(f.javaHome, "bin", "java") {
		t.Errorf("found %+v, %v", j, err)
	}
}

func TestFindKafkaSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(t *testing.T, f *fakeHost)
		want  string
	}{
		"nothing": {
			func(t *testing.T, f *fakeHost) { f.path = nil },
			"(no java on PATH)",
		},
		"old Java": {
			func(t *testing.T, f *fakeHost) {
				writeFile(t, filepath.Join(f.bin, "java-version"), "1.8.0_492", 0o644)
			},
			"java is 1.8, too old: 17.0 or newer is needed)",
		},
		"no Maven": {
			func(t *testing.T, f *fakeHost) {
				if err := os.Remove(filepath.Join(f.bin, "mvn")); err != nil {
					t.Fatal(err)
				}
			},
			"(no mvn on PATH to fetch it with)",
		},
		"no network": {
			func(t *testing.T, f *fakeHost) { f.set(t, "mvn-fails") },
			"(mvn: exit status 1: Failed to execute goal: Unknown host)",
		},
		"something else": {
			func(t *testing.T, f *fakeHost) {
				f.kafkaHome = t.TempDir()
				writeFile(t, filepath.Join(f.kafkaHome, "libs", "b.jar"), "jar", 0o644)
				writeFile(t, filepath.Join(f.bin, "jars"), "a.jar", 0o644)
			},
			"libs; no Kafka among the jars)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeKafka(t)
			test.spoil(t, f)
			err := f.startKafka(t)
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v is no ErrUnavailable", err)
			}
			wantText(t, err, "Apache Kafka is not available on this machine (", test.want+": install Java 17 or newer and Maven ", "or set KAFKA_HOME")
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a sentence: %q", err)
			}
			if made, _ := filepath.Glob(filepath.Join(f.opts.Cache, "kafka", "jars*")); len(made) > 0 {
				t.Errorf("left behind: %v", made)
			}
		})
	}
}

// A failure shows what Java said, and is gone when its cause is: neither a
// half-made directory nor a lock stays in the way.
func TestRealKafkaStartFailureShowsItsOutput(t *testing.T) {
	t.Parallel()
	f := newFakeKafka(t)
	f.set(t, "format-fails")
	wantText(t, f.startKafka(t), "create the kafka data directory", "exit status 1", "no format today")
	if err := os.Remove(filepath.Join(f.bin, "format-fails")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantText(t, f.startKafka(t), "kafka died", "exit status 3", "no broker today in "+f.opts.Dir)
	}
}
