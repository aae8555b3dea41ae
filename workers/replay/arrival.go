package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/workers"
)

// arrivalFrames is how many frames are handled together where no journal tells.
const arrivalFrames = 500

// replayByArrival takes the records in the order of their times: the best guess
// where the journal is lost with the database. What passwords were nobody knows
// then; which proofs held is judged by the time of arrival, and what was dead by
// sponge.dead.
func (t *target) replayByArrival(ctx context.Context) (Result, error) {
	r := Result{Arrival: true}
	ranges := map[string]map[int]queue.Bounds{}
	readers, topics := map[string]*workers.Reader{}, map[string]protocol.Topic{} // by name
	ends := map[protocol.Topic]map[int]workers.Applied{}
	for topic := range protocol.NumTopics {
		bounds, err := t.Log.Bounds(ctx, topic.Name())
		if err != nil {
			return r, err
		}
		for id, b := range bounds {
			t.frames += b.Next - b.First
			bounds[id] = queue.Bounds{First: 0, Next: b.Next}
		}
		ranges[topic.Name()] = bounds
		ends[topic] = map[int]workers.Applied{}
		readers[topic.Name()], topics[topic.Name()] = workers.NewReader(topic), topic
	}
	dead, err := t.deadPlaces(ctx)
	if err != nil {
		return r, err
	}
	var batch *step
	flush := func() error {
		if batch == nil {
			return nil
		}
		var err error
		if len(batch.frames) > 0 {
			err = t.apply(ctx, t.session, []share{{step: batch, frames: batch.frames}})
		}
		for _, a := range batch.last {
			ends[batch.topic][a.Partition] = a
		}
		r.Frames += batch.count
		r.Dead += batch.dead
		batch = nil
		t.report("replay by arrival", r.Frames, t.frames)
		return err
	}
	err = audit.Merge(ctx, t.Log, ranges, func(rec *audit.Record) error {
		if !t.Until.Time.IsZero() && !rec.Time.Before(t.Until.Time) {
			return errEnough
		}
		topic := topics[rec.Topic]
		f := new(workers.Frame)
		m := rec.Message
		broken := readers[rec.Topic].Read(f, rec.Partition, &m)
		if broken == nil && t.holds(f) {
			f.Believe()
		}
		// A frame that reads cursors or asks for numbers must see what came before.
		alone := f.Type != protocol.Chat && f.Type != protocol.GroupChat
		if batch != nil && (batch.topic != topic || alone || batch.count >= arrivalFrames) {
			if err := flush(); err != nil {
				return err
			}
		}
		if batch == nil {
			batch = &step{topic: topic}
		}
		batch.count++
		batch.last = append(batch.last, workers.Applied{Partition: rec.Partition, Announced: rec.Offset + 1, Last: f})
		switch {
		case broken != nil || dead[fmt.Sprintf("%s/%d/%d", rec.Topic, rec.Partition, rec.Offset)]:
			batch.dead++
		case f.Type.Reads():
		default:
			if h, ok := t.handlers[topic].(workers.Replayer); ok {
				if err := h.Guess(f); err != nil {
					return fmt.Errorf("%s/%d offset %d: %w", rec.Topic, rec.Partition, rec.Offset, err)
				}
			}
			batch.frames = append(batch.frames, f)
		}
		if alone {
			return flush()
		}
		return nil
	})
	if err == errEnough {
		err = nil
	}
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = t.advance(ctx, ends)
	}
	return r, err
}

// holds reports whether a frame's proof held when it arrived: its signature where
// there is a key, and its time.
func (t *target) holds(f *workers.Frame) bool {
	e := &f.Envelope
	if e.Proof == nil || e.Proof.Expired(time.UnixMilli(e.Arrival)) && e.Kind != envelope.Renew {
		return false
	}
	return t.Key == nil || t.Key.Check(e.Proof, e.Node, e.Conn) == nil
}

// deadPlaces are where the records in sponge.dead came from, as they say.
func (t *target) deadPlaces(ctx context.Context) (map[string]bool, error) {
	bounds, err := t.Log.Bounds(ctx, protocol.TopicDead)
	if errors.Is(err, audit.ErrNoTopic) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	places := map[string]bool{}
	err = audit.Merge(ctx, t.Log, map[string]map[int]queue.Bounds{protocol.TopicDead: bounds}, func(r *audit.Record) error {
		for _, h := range r.Rest {
			if h.Key == "source" {
				places[string(h.Value)] = true
			}
		}
		return nil
	})
	return places, err
}

var errEnough = errors.New("replay: enough")
