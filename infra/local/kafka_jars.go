package local

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed kafka/pom.xml
var kafkaPOM []byte

// The plugin that fetches the jars, with its version: the build is the same
// everywhere.
const mavenCopy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

// javaProgram: Kafka's broker needs 17 from 4.0 on.
var javaProgram = program{
	title:    "Java",
	names:    []string{"java"},
	major:    17,
	flag:     "-version", // which the old ones know, too
	versions: regexp.MustCompile(`version "(\d+)(?:\.(\d+))?`),
}

// kafkaMajor is the oldest Kafka that will do: it logs as ours.
const kafkaMajor = 4

// kafkaJVM is a Java and the jars of a Kafka.
type kafkaJVM struct {
	java    *executable
	jars    []string // sorted
	classes string   // the archive of classes to start from; "" is none
	record  string   // the archive of classes that the broker writes at its end; "" is none
	lasting bool     // runs for long: see KafkaConfig
}

// findKafka returns a Kafka of this machine, else one whose jars Maven fetches
// into the cache. The error wraps ErrUnavailable, and says what to install,
// unless ctx ended.
func (h host) findKafka(ctx context.Context, o Options) (*kafkaJVM, error) {
	javas := h
	if h.javaHome != "" {
		javas.path = append([]string{filepath.Join(h.javaHome, "bin")}, h.path...)
	}
	java, err := javas.installed(ctx, o, javaProgram)
	var jars []string
	if err == nil {
		jars, err = h.kafkaJars(ctx, o)
	}
	switch {
	case err == nil:
		return &kafkaJVM{java: java, jars: jars}, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%s is %w (%w): install Java %d or newer and Maven (on Debian the packages default-jre-headless and maven), or set KAFKA_HOME",
		"Apache Kafka", ErrUnavailable, err, javaProgram.major)
}

func (h host) kafkaJars(ctx context.Context, o Options) ([]string, error) {
	var why []string
	homes := []string{h.kafkaHome}
	if script, ok := h.lookup("kafka-server-start.sh"); ok {
		if real, err := filepath.EvalSymlinks(script); err == nil {
			homes = append(homes, filepath.Dir(filepath.Dir(real)))
		}
	}
	for _, home := range homes {
		if home == "" {
			continue
		}
		jars, err := installedKafka(filepath.Join(home, "libs"))
		if err == nil {
			o.Log.Debug("found Kafka", "home", home)
			return jars, nil
		}
		o.Log.Warn("passed over a Kafka", "home", home, "error", err)
		why = append(why, err.Error())
	}
	jars, err := h.fetchedKafka(ctx, o)
	if err != nil {
		return nil, errors.New(strings.Join(append(why, err.Error()), "; "))
	}
	return jars, nil
}

var kafkaJar = regexp.MustCompile(`^kafka_2\.\d+-(\d+)\.\d+[^-]*\.jar$`)

// installedKafka returns the jars in libs if they are a Kafka that will do.
func installedKafka(libs string) ([]string, error) {
	jars, err := jarsIn(libs)
	if err != nil {
		return nil, err
	}
	for _, jar := range jars {
		m := kafkaJar.FindStringSubmatch(filepath.Base(jar))
		if m == nil {
			continue
		}
		if major, err := strconv.Atoi(m[1]); err != nil || major < kafkaMajor {
			return nil, fmt.Errorf("%s is too old: Kafka %d.0 or newer is needed", jar, kafkaMajor)
		}
		return jars, nil
	}
	return nil, fmt.Errorf("no Kafka in %s", libs)
}

// jarsIn returns the jars of a folder in a fixed order: archived classes are
// good for one class path.
func jarsIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted, and not mistaken about a "[" in dir
	if err != nil {
		return nil, err
	}
	var jars []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".jar") {
			jars = append(jars, filepath.Join(dir, e.Name()))
		}
	}
	return jars, nil
}

// fetchedKafka returns the jars that the pom names from the cache, where Maven
// puts them.
func (h host) fetchedKafka(ctx context.Context, o Options) ([]string, error) {
	c, err := o.cache("kafka")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(kafkaPOM)
	root, err := c.tree(ctx, "jars-"+hex.EncodeToString(sum[:6]), completeJars, func(ctx context.Context, tmp, root string) ([]string, error) {
		mvn, ok := h.lookup("mvn")
		if !ok {
			return nil, errors.New("no mvn on PATH to fetch it with")
		}
		o.Progress("fetching Apache Kafka with Maven")
		return mavenFetch(ctx, mvn, tmp, root)
	})
	if err != nil {
		return nil, err
	}
	return jarsIn(root)
}

// mavenFetch fills root with the jars. What Maven keeps for itself goes with
// tmp: it needs no home directory, and leaves none of its own behind.
func mavenFetch(ctx context.Context, mvn, tmp, root string) ([]string, error) {
	pom := filepath.Join(tmp, "pom.xml")
	if err := os.WriteFile(pom, kafkaPOM, 0o644); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	cmd := exec.Command(mvn, "--quiet", "--batch-mode", "--strict-checksums", "--file", pom,
		"-Dmaven.repo.local="+filepath.Join(tmp, "repository"),
		"-DoutputDirectory="+root, "-DincludeScope=runtime", mavenCopy)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := runCommand(ctx, cmd); err != nil {
		return nil, fmt.Errorf("mvn: %w: %s", err, mavenReason(out.Bytes()))
	}
	jars, err := jarsIn(root)
	for i, jar := range jars {
		jars[i] = filepath.Base(jar)
	}
	return jars, err
}

// mavenReason picks Maven's own reason out of its output.
func mavenReason(out []byte) string {
	for line := range strings.Lines(string(out)) {
		if reason, ok := strings.CutPrefix(strings.TrimSpace(line), "[ERROR] "); ok {
			return strings.TrimSuffix(reason, " -> [Help 1]")
		}
	}
	return lastLines(out, 1)
}

// completeJars checks a tree of jars against its list.
func completeJars(root string) error {
	list, err := os.ReadFile(filepath.Join(root, manifest))
	if err != nil {
		return err
	}
	names := strings.Fields(string(list))
	if !slices.ContainsFunc(names, kafkaJar.MatchString) {
		return errors.New("no Kafka among the jars")
	}
	for _, name := range names {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			return err
		}
		if info.Size() == 0 {
			return fmt.Errorf("%s is empty", name)
		}
	}
	return nil
}
