package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// KafkaConfig is what a Kafka can be told.
type KafkaConfig struct {
	// Real runs Apache Kafka itself, as a process of its own: slower to start,
	// and the one to believe where the two differ. The default is an embedded
	// Kafka inside this process, which needs nothing installed.
	Real bool

	// Port is the loopback port to listen on; zero means a free one.
	Port int

	// ControllerPort is the loopback port of a real broker's controller; zero
	// means a free one at each start.
	ControllerPort int

	// SyncWrites syncs each produced batch to the disk. Without it, records
	// survive the end of the process, but not that of the machine.
	SyncWrites bool

	// Lasting has a real broker compiled for a long life. Else it starts
	// sooner, and needs more of the processor for as long as it runs.
	Lasting bool

	// Fronts are proxies before a real broker, which clients are to keep to: a
	// broker tells each client its own address, so it has a further port for
	// each of them, where it tells the proxy's.
	Fronts []KafkaFront
}

// KafkaFront is a proxy before a broker.
type KafkaFront struct {
	Addr string // where clients find the proxy, "host:port"
	Port int    // the broker's own loopback port that the proxy leads to
}

// Kafka is a running Kafka with one broker, embedded or real.
//
// An embedded one shares the fate of this process, so it differs in what the
// methods of all services do: PID is this process's own id; it does not end by
// itself; when Stop's context ends, the rest goes on behind it; and Kill is a
// Stop, for it crashes only together with this process.
type Kafka struct {
	service
	addr string
}

// StartKafka starts a Kafka with its records, topics and committed offsets
// kept in o.Dir. It does not create topics by itself. A directory stays with
// the kind of Kafka that made it. ctx bounds the start, not the broker's life.
// The error wraps ErrUnavailable where there is no real Kafka to be had, and
// ErrInUse where the directory is taken.
func StartKafka(ctx context.Context, o Options, c KafkaConfig) (*Kafka, error) {
	k, err := startKafka(ctx, thisHost(), o, c)
	if err != nil {
		return nil, fmt.Errorf("local: kafka: %w", err)
	}
	return k, nil
}

func startKafka(ctx context.Context, h host, o Options, c KafkaConfig) (*Kafka, error) {
	o, err := o.prepare()
	if err != nil {
		return nil, err
	}
	if c.Real {
		return startRealKafka(ctx, h, o, c)
	}
	return startEmbeddedKafka(ctx, o, c)
}

// The folders with the records: neither kind of Kafka can read the other's.
const (
	embeddedData = "data"
	realData     = "kraft"
)

// notOf fails where the directory has the records of the other kind: an empty
// Kafka in their place would look as if they were lost.
func notOf(o Options, other string) error {
	_, err := os.Stat(filepath.Join(o.Dir, other))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	kind := map[string]string{embeddedData: "embedded", realData: "real"}[other]
	return fmt.Errorf("%s has the records of a Kafka that is %s: use that kind again, or another directory", o.Dir, kind)
}

// Addr returns the broker's address, "host:port".
func (k *Kafka) Addr() string { return k.addr }

// testServicesVar chooses the services of tests: embedded, which is the
// default, or real.
const testServicesVar = "SPONGE_TEST_SERVICES"

// StartTestKafka starts the Kafka that SPONGE_TEST_SERVICES chooses, on a free
// port: all tests that need any Kafka use it, so that one variable runs them
// all against the real one. "embedded" or nothing is an embedded Kafka, "real"
// a real one; anything else is an error.
func StartTestKafka(ctx context.Context, o Options) (*Kafka, error) {
	c, err := testKafkaConfig(os.Getenv(testServicesVar))
	if err != nil {
		return nil, err
	}
	return StartKafka(ctx, o, c)
}

func testKafkaConfig(services string) (KafkaConfig, error) {
	switch services {
	case "", "embedded":
		return KafkaConfig{}, nil
	case "real":
		return KafkaConfig{Real: true}, nil
	default:
		return KafkaConfig{}, fmt.Errorf("local: %s=%q: want embedded or real", testServicesVar, services)
	}
}
