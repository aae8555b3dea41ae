package local

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// eachKafka runs the test for each kind of Kafka: the embedded one, and the
// real one when SPONGE_TEST_SERVICES says so. What holds for one must hold for
// the other.
func eachKafka(t *testing.T, test func(t *testing.T, c KafkaConfig)) {
	t.Parallel()
	kinds := map[string]KafkaConfig{"embedded": {}}
	if os.Getenv(testServicesVar) == "real" {
		kinds["real"] = KafkaConfig{Real: true}
	}
	for name, c := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}

func mustKafka(t *testing.T, o Options, c KafkaConfig) *Kafka {
	t.Helper()
	k, err := StartKafka(limit(t), o, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Kill)
	return k
}

func mustTestKafka(t *testing.T, o Options) *Kafka {
	t.Helper()
	c, err := testKafkaConfig(os.Getenv(testServicesVar))
	if err != nil {
		t.Fatal(err)
	}
	return mustKafka(t, o, c)
}

func kafkaClient(t *testing.T, addr string) *kafka.Client {
	t.Helper()
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
}

func createTopic(t *testing.T, addr, topic string) {
	t.Helper()
	r, err := kafkaClient(t, addr).CreateTopics(limit(t), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}},
	})
	if err == nil {
		err = r.Errors[topic]
	}
	if err != nil {
		t.Fatal(err)
	}
}

func produce(t *testing.T, addr, topic, value string) {
	t.Helper()
	r, err := kafkaClient(t, addr).Produce(limit(t), &kafka.ProduceRequest{
		Topic: topic, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(value))}),
	})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		t.Fatal(err)
	}
}

// consumeFirst returns the value of a topic's first record.
func consumeFirst(t *testing.T, addr, topic string) string {
	t.Helper()
	r, err := kafkaClient(t, addr).Fetch(limit(t), &kafka.FetchRequest{Topic: topic, MinBytes: 1, MaxBytes: 1 << 20})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		t.Fatal(err)
	}
	record, err := r.Records.ReadRecord()
	if err != nil {
		t.Fatal(err)
	}
	value, err := kafka.ReadAll(record.Value)
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

func TestKafkaKeepsRecords(t *testing.T) {
	eachKafka(t, func(t *testing.T, c KafkaConfig) {
		for _, c.SyncWrites = range []bool{false, true} {
			o := options(t)
			k := mustKafka(t, o, c)
			createTopic(t, k.Addr(), "kept")
			produce(t, k.Addr(), "kept", "你好")
			if err := k.Stop(limit(t)); err != nil {
				t.Fatal(err)
			}
			k = mustKafka(t, o, c)
			if got := consumeFirst(t, k.Addr(), "kept"); got != "你好" {
				t.Errorf("after a stop: %q", got)
			}
			k.Kill()
			if got := consumeFirst(t, mustKafka(t, o, c).Addr(), "kept"); got != "你好" {
				t.Errorf("after a kill: %q", got)
			}
		}
	})
}

// A group's session timeout of a second is accepted, and its offsets are kept.
func TestKafkaKeepsOffsets(t *testing.T) {
	eachKafka(t, func(t *testing.T, c KafkaConfig) {
		o := options(t)
		k := mustKafka(t, o, c)
		createTopic(t, k.Addr(), "kept")
		for _, value := range []string{"one", "two"} {
			produce(t, k.Addr(), "kept", value)
		}
		next := func() string {
			t.Helper()
			r := kafka.NewReader(kafka.ReaderConfig{
				Brokers: []string{k.Addr()}, GroupID: "group", Topic: "kept", MaxWait: 100 * time.Millisecond,
				SessionTimeout: time.Second, HeartbeatInterval: 100 * time.Millisecond, JoinGroupBackoff: 100 * time.Millisecond,
				StartOffset: kafka.FirstOffset,
				// A group's coordinator has its own time to get ready.
				Logger: kafka.LoggerFunc(t.Logf), ErrorLogger: kafka.LoggerFunc(t.Logf),
			})
			defer r.Close()                   //nolint:errcheck // what was read is what counts
			m, err := r.ReadMessage(limit(t)) // commits it
			if err != nil {
				t.Fatal(err)
			}
			return string(m.Value)
		}
		if got := next(); got != "one" {
			t.Errorf("first: %q", got)
		}
		if err := k.Stop(limit(t)); err != nil {
			t.Fatal(err)
		}
		k = mustKafka(t, o, c)
		if got := next(); got != "two" {
			t.Errorf("after a restart: %q", got)
		}
	})
}

func TestKafkaMakesNoTopicsByItself(t *testing.T) {
	eachKafka(t, func(t *testing.T, c KafkaConfig) {
		client := kafkaClient(t, mustKafka(t, options(t), c).Addr())
		for range 2 { // asking must not have made it
			r, err := client.Metadata(limit(t), &kafka.MetadataRequest{Topics: []string{"missing"}})
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(r.Topics[0].Error, kafka.UnknownTopicOrPartition) {
				t.Errorf("topic that nobody made: %+v", r.Topics[0])
			}
		}
	})
}

func TestKafkaPort(t *testing.T) {
	eachKafka(t, func(t *testing.T, c KafkaConfig) {
		ports, err := Ports(1)
		if err != nil {
			t.Fatal(err)
		}
		want := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
		fixed := c
		fixed.Port = ports[0]
		o := options(t)
		k := mustKafka(t, o, fixed)
		if k.Addr() != want {
			t.Errorf("listens on %s, want %s", k.Addr(), want)
		}

		// A port that is taken is an error that names it, and leaves no lock.
		other := options(t)
		_, err = StartKafka(limit(t), other, fixed)
		wantText(t, err, want, "address already in use")
		mustKafka(t, other, c)

		// Stopped, it frees the port and the directory.
		if err := k.Stop(limit(t)); err != nil {
			t.Fatal(err)
		}
		mustKafka(t, o, fixed)
	})
}

func TestKafkaDirectoryInUse(t *testing.T) {
	eachKafka(t, func(t *testing.T, c KafkaConfig) {
		o := options(t)
		mustKafka(t, o, c)
		_, err := StartKafka(limit(t), o, c)
		if !errors.Is(err, ErrInUse) {
			t.Errorf("second start: %v", err)
		}
		wantText(t, err, o.Dir)
	})
}

// Both kinds have the methods of all services, and they do the same.
func TestKafkaIsAService(t *testing.T) {
	eachKafka(t, func(t *testing.T, c KafkaConfig) {
		k := mustKafka(t, options(t), c)
		select {
		case <-k.Done():
			t.Fatal("done while it runs")
		default:
		}
		if own := k.PID() == os.Getpid(); own == c.Real || !running(k.PID()) {
			t.Errorf("process %d", k.PID())
		}
		var stops sync.WaitGroup
		for range 4 {
			stops.Go(func() {
				if err := k.Stop(limit(t)); err != nil {
					t.Error(err)
				}
			})
		}
		stops.Wait()
		<-k.Done()
		k.Kill()
		if err := errors.Join(k.Stop(limit(t)), k.Err()); err != nil {
			t.Error(err)
		}
		if conn, err := net.Dial("tcp", k.Addr()); err == nil {
			_ = conn.Close()
			t.Error("still listens")
		}
	})
}

func TestKafkaInOddlyNamedDirectory(t *testing.T) {
	eachKafka(t, func(t *testing.T, c KafkaConfig) {
		o := options(t)
		o.Dir = filepath.Join(o.Dir, `a b,c: 数据 x(y)z@w?q=1%20#h it's \\u0041 ${user.home} q"q;[q]`)
		for range 2 {
			if err := mustKafka(t, o, c).Stop(limit(t)); err != nil {
				t.Error(err)
			}
		}
		data := map[bool]string{false: embeddedData, true: realData}[c.Real]
		if entries, err := os.ReadDir(filepath.Join(o.Dir, data)); err != nil || len(entries) == 0 {
			t.Errorf("data in %v, %v", entries, err)
		}
	})
}

// The records of the other kind would look lost.
func TestKafkaKindsDoNotMix(t *testing.T) {
	eachKafka(t, func(t *testing.T, c KafkaConfig) {
		o := options(t)
		k := mustKafka(t, o, c)
		createTopic(t, k.Addr(), "kept")
		if err := k.Stop(limit(t)); err != nil {
			t.Fatal(err)
		}
		other := c
		other.Real = !c.Real
		h := newFakeKafka(t)
		_, err := startKafka(limit(t), h.host, Options{Dir: o.Dir, Cache: h.opts.Cache}, other)
		wantText(t, err, o.Dir, map[bool]string{false: "embedded", true: "real"}[c.Real]+": use that kind again")
		mustKafka(t, o, c)
	})
}

func TestTestKafkaConfig(t *testing.T) {
	t.Parallel()
	for value, real := range map[string]bool{"": false, "embedded": false, "real": true} {
		if c, err := testKafkaConfig(value); err != nil || !reflect.DeepEqual(c, KafkaConfig{Real: real}) {
			t.Errorf("%q: %+v, %v", value, c, err)
		}
	}
	_, err := testKafkaConfig("Real")
	wantText(t, err, `SPONGE_TEST_SERVICES="Real"`, "embedded or real")
}
