package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sponge/pkg/queue"
)

func TestProducerKeepsOrder(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 3, 6)
	p := newProducer(t, c, nil)
	o := &outcomes{errs: map[string][]error{}}
	for i := range 500 {
		for part := range 6 {
			o.enqueue(t, p, part, numbered(fmt.Sprint(part), i))
		}
	}
	o.check(t, success)
	for part := range 6 {
		if got, want := values(t, c, part), sequence(fmt.Sprint(part), 500); !slices.Equal(got, want) {
			t.Errorf("partition %d: %d records, out of order or missing", part, len(got))
		}
	}
}

// TestProducerSkipsNothing: the first answer and every third after it is an error for one of the
// partitions, or does not come at all; then the records may be there, once or
// more often, but the first copies are in order.
func TestProducerSkipsNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(c *kfake.Cluster, n int64, req *kmsg.ProduceRequest) (kmsg.Response, error, bool){
		"errors": func(_ *kfake.Cluster, n int64, req *kmsg.ProduceRequest) (kmsg.Response, error, bool) {
			codes := []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.UnknownTopicOrPartition, kerr.KafkaStorageError}
			return refuse(req, codes[n%int64(len(codes))].Code), nil, true
		},
		"cuts": func(_ *kfake.Cluster, _ int64, req *kmsg.ProduceRequest) (kmsg.Response, error, bool) {
			return nil, errors.New("cut"), true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startKafka(t, 2, 4)
			var n atomic.Int64
			c.ControlKey(produceKey, func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				if i := n.Add(1); i%3 == 1 {
					return fault(c, i, req.(*kmsg.ProduceRequest))
				}
				return nil, nil, false
			})
			p := newProducer(t, c, nil)
			o := &outcomes{errs: map[string][]error{}}
			for i := range 300 {
				for part := range 4 {
					o.enqueue(t, p, part, numbered(fmt.Sprint(part), i))
				}
			}
			o.check(t, success)
			if n.Load() == 0 {
				t.Fatal("no fault was injected")
			}
			for part := range 4 {
				if got, want := values(t, c, part), sequence(fmt.Sprint(part), 300); !slices.Equal(got, want) {
					t.Errorf("partition %d: %d records, out of order or missing", part, len(got))
				}
			}
		})
	}
}

// refuse is the answer that fails every partition of a request.
func refuse(req *kmsg.ProduceRequest, code int16) kmsg.Response {
	res := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, part := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.BaseOffset = part.Partition, code, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		res.Topics = append(res.Topics, rt)
	}
	return res
}

// TestProducerOnePartitionFails: the others go on, and what waits behind the
// failing one comes in order once it is well.
func TestProducerOnePartitionFails(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 1, 2)
	var sick atomic.Bool
	sick.Store(true)
	c.ControlKey(produceKey, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		if sick.Load() && slices.ContainsFunc(produce.Topics[0].Partitions, func(p kmsg.ProduceRequestTopicPartition) bool { return p.Partition == 0 }) {
			return refuse(produce, kerr.NotEnoughReplicas.Code), nil, true
		}
		return nil, nil, false
	})
	p := newProducer(t, c, nil)
	sickOnes, others := &outcomes{errs: map[string][]error{}}, &outcomes{errs: map[string][]error{}}
	for i := range 50 {
		sickOnes.enqueue(t, p, 0, numbered("0", i))
		others.enqueue(t, p, 1, numbered("1", i))
	}
	others.check(t, success)
	sick.Store(false)
	sickOnes.check(t, success)
	if got := values(t, c, 0); !slices.Equal(got, sequence("0", 50)) {
		t.Errorf("%d records, out of order or missing", len(got))
	}
}

func TestProducerRefusedRecordFailsAlone(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 1, 1)
	c.ControlKey(produceKey, func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if produce := req.(*kmsg.ProduceRequest); slices.Contains(contents(produce), "bad") {
			return refuse(produce, kerr.InvalidRecord.Code), nil, true
		}
		return nil, nil, false
	})
	p := newProducer(t, c, nil)
	o := &outcomes{errs: map[string][]error{}}
	for _, v := range []string{"a", "b", "bad", "c", "d"} {
		o.enqueue(t, p, 0, v)
	}
	o.check(t, func(v string) error {
		if v == "bad" {
			return queue.ErrRejected
		}
		return nil
	})
	if got, want := values(t, c, 0), []string{"a", "b", "c", "d"}; !slices.Equal(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
	if !errors.Is(queue.ErrRejected, queue.ErrNotSent) {
		t.Error("ErrRejected is no ErrNotSent")
	}
}

// TestProducerWithoutKafka: what was never sent is told apart from what may
// have been.
func TestProducerWithoutKafka(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 1, 1)
	p := newProducer(t, c, func(cfg *queue.ProducerConfig) { cfg.MaxBytes = 1000 })
	arrived := make(chan struct{}, 100)
	c.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		arrived <- struct{}{}
		return nil, errors.New("cut"), true
	})
	o := &outcomes{errs: map[string][]error{}}
	first := o.enqueue(t, p, 0, "first")
	<-arrived
	<-arrived // its first attempt has failed by now
	o.enqueue(t, p, 0, "second")
	if p.Cancel(first) {
		t.Error("a record that may have arrived was never sent, says Cancel")
	}
	c.Close()
	o.enqueue(t, p, 0, "third")
	if err := p.Enqueue("t", 0, &queue.Record{Value: make([]byte, 1000)}, o.done); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Enqueue beyond the bound: %v", err)
	}
	if err := p.Enqueue("t", 7, &queue.Record{}, o.done); err == nil {
		t.Error("Enqueue to a partition that is not there succeeds")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	o.wg.Wait()
	if errs := o.errs["first"]; len(errs) != 1 || !errors.Is(errs[0], queue.ErrUnknown) {
		t.Errorf("first: %v", errs)
	}
	if err := p.Enqueue("t", 0, &queue.Record{}, o.done); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Enqueue after Close: %v", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestProducerCancelNeverSent(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 1, 1)
	p := newProducer(t, c, nil)
	hold := make(chan struct{})
	arrived := make(chan struct{}, 100)
	c.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		arrived <- struct{}{}
		<-hold
		return nil, nil, false
	})
	o := &outcomes{errs: map[string][]error{}}
	o.enqueue(t, p, 0, "first")
	<-arrived // the second has to wait for its answer
	second := o.enqueue(t, p, 0, "second")
	o.enqueue(t, p, 0, "third")
	if !p.Cancel(second) {
		t.Error("Cancel of a record that waits: it may have been sent")
	}
	if p.Cancel(second) {
		t.Error("a second Cancel succeeds")
	}
	close(hold)
	o.check(t, func(v string) error {
		if v == "second" {
			return queue.ErrNotSent
		}
		return nil
	})
	if got, want := values(t, c, 0), []string{"first", "third"}; !slices.Equal(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Errorf("Flush of nothing: %v", err)
	}
}

func TestPartitionsOfNoTopic(t *testing.T) {
	t.Parallel()
	c := startKafka(t, 1, 3)
	p := newProducer(t, c, nil)
	if n, err := p.Partitions(t.Context(), "t"); n != 3 || err != nil {
		t.Errorf("Partitions: %d, %v", n, err)
	}
	if n, err := p.Partitions(t.Context(), "none"); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("Partitions of a topic that is not there: %d, %v", n, err)
	}
}
