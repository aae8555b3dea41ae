package local

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

var (
	//go:embed kafka/server.properties.tmpl
	kafkaProperties string
	kafkaTemplate   = template.Must(template.New("server.properties").Parse(kafkaProperties))

	//go:embed kafka/log4j2.properties
	kafkaLogging []byte
)

// kafkaNode fills in the template of a node's properties.
type kafkaNode struct {
	Data                 string // relative to the service's directory
	Port, ControllerPort int
	SyncWrites           bool
	Fronts               []KafkaFront
}

func startRealKafka(ctx context.Context, h host, o Options, c KafkaConfig) (*Kafka, error) {
	jvm, err := h.findKafka(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := jvm.shareClasses(ctx, o); err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, o, leftoverWait)
	if err != nil {
		return nil, err
	}
	var k *Kafka
	if err = notOf(o, embeddedData); err == nil {
		k, err = jvm.run(ctx, o, c, lock)
	}
	if err != nil {
		lock.release() // harmless if the broker's end did it already
		return nil, err
	}
	return k, nil
}

// run starts a broker in a directory that is locked.
func (j *kafkaJVM) run(ctx context.Context, o Options, c KafkaConfig, lock *dirLock) (*Kafka, error) {
	node, err := newKafkaNode(c)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "log4j2.properties"), kafkaLogging, 0o600); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(kafkaTmp(o)); err != nil { // a killed JVM leaves libraries there
		return nil, err
	}
	if err := os.Mkdir(kafkaTmp(o), 0o700); err != nil {
		return nil, err
	}
	if err := j.format(ctx, o, node, lock); err != nil {
		return nil, err
	}
	cluster, err := clusterID(filepath.Join(o.Dir, realData))
	if err != nil {
		return nil, err
	}
	if err := node.write(filepath.Join(o.Dir, "server.properties")); err != nil {
		return nil, err
	}
	o.Progress("starting kafka")
	j.lasting = c.Lasting
	cmd := j.command(o, j.record, "kafka.Kafka", "server.properties")
	// SIGTERM: a broker that shuts down cleanly starts again without recovery.
	p, err := startProcess("kafka", cmd, "", syscall.SIGTERM, lock)
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(node.Port))
	if err := p.awaitReady(ctx, func(ctx context.Context) error { return askKafka(ctx, addr, cluster) }); err != nil {
		return nil, err
	}
	o.Log.Info("kafka runs", "pid", p.PID(), "address", addr, "java", j.java.path)
	return &Kafka{service: p, addr: addr}, nil
}

// newKafkaNode finds ports. A port that was asked for and is taken is an error
// now, and not after a JVM's start.
func newKafkaNode(c KafkaConfig) (*kafkaNode, error) {
	node := &kafkaNode{Data: realData, Port: c.Port, ControllerPort: c.ControllerPort, SyncWrites: c.SyncWrites, Fronts: c.Fronts}
	if c.Port == 0 {
		ports, err := Ports(2)
		if err != nil {
			return nil, err
		}
		node.Port, node.ControllerPort = ports[0], ports[1]
		return node, nil
	}
	if err := allFree(c.Port, 1); err != nil {
		return nil, err
	}
	for node.ControllerPort == 0 {
		ports, err := Ports(1)
		if err != nil {
			return nil, err
		}
		// The broker's other ports are free, too, until it listens.
		if p := ports[0]; p != c.Port && !slices.ContainsFunc(c.Fronts, func(f KafkaFront) bool { return f.Port == p }) {
			node.ControllerPort = p
		}
	}
	return node, nil
}

func (n *kafkaNode) write(path string) error {
	var b bytes.Buffer
	if err := kafkaTemplate.Execute(&b, n); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}

func kafkaTmp(o Options) string { return filepath.Join(o.Dir, "tmp") }

// command runs one of Kafka's programs in the service's directory, sized for a
// laptop that does other things besides. record is the archive of classes that
// it writes at its end, if any.
func (j *kafkaJVM) command(o Options, record, main string, args ...string) *exec.Cmd {
	flags := []string{
		"-Xmx512m",
		"-XX:+UseSerialGC",
		"-XX:+ExitOnOutOfMemoryError",
		"-XX:-UsePerfData", // its files stay after a kill
		"-Djava.io.tmpdir=" + kafkaTmp(o),
		"-Dlog4j2.configurationFile=log4j2.properties",
		"-classpath", strings.Join(j.jars, string(filepath.ListSeparator)),
	}
	if !j.lasting {
		flags = append(flags, "-XX:TieredStopAtLevel=1") // the better compiler's work does not pay off
	}
	if j.classes != "" {
		flags = append(flags, "-XX:SharedArchiveFile="+j.classes)
	}
	if record != "" {
		flags = append(flags, "-XX:ArchiveClassesAtExit="+record)
	}
	cmd := j.java.command(slices.Concat(flags, []string{main}, args)...)
	cmd.Dir = o.Dir
	// A JVM cannot name its own directory's other letters in the C locale.
	cmd.Env = append(cmd.Env, "LC_ALL=C.UTF-8")
	return cmd
}

// format makes the data directory, unless it is there.
func (j *kafkaJVM) format(ctx context.Context, o Options, node *kafkaNode, lock *dirLock) error {
	return makeData(ctx, "kafka", filepath.Join(o.Dir, realData), o, lock, func(data string) (*exec.Cmd, error) {
		made := *node
		made.Data = filepath.Base(data)
		if err := made.write(filepath.Join(o.Dir, "format.properties")); err != nil {
			return nil, err
		}
		id := make([]byte, 16)
		_, _ = rand.Read(id) // never fails
		return j.command(o, "", "kafka.tools.StorageTool", "format",
			"--cluster-id="+base64.RawURLEncoding.EncodeToString(id), "--config=format.properties"), nil
	})
}

// clusterID reads which cluster a data directory belongs to.
func clusterID(data string) (string, error) {
	b, err := os.ReadFile(filepath.Join(data, "meta.properties"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "cluster.id="); ok {
			return id, nil
		}
	}
	return "", fmt.Errorf("%s has no cluster.id in meta.properties", data)
}

// askKafka asks for the cluster's metadata, which has a broker as soon as
// topics can be made and used.
func askKafka(ctx context.Context, addr, cluster string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is what counts
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	const version = 4 // the first in which topics need not be created by asking
	answer, err := protocol.RoundTrip(conn, version, 1, "", &metadata.Request{TopicNames: []string{}})
	if err != nil {
		return err
	}
	r, ok := answer.(*metadata.Response)
	switch {
	case !ok:
		return fmt.Errorf("unexpected answer %T", answer)
	case r.ClusterID != cluster:
		return fmt.Errorf("%s belongs to another cluster, %s", addr, r.ClusterID)
	case len(r.Brokers) == 0:
		return errors.New("the broker has not joined its cluster")
	}
	return nil
}
