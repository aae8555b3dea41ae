package replay

import (
	"context"
	"fmt"

	"sponge/pkg/audit"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/workers"
)

// arrivalFrames is how many frames are handled together where no journal tells.
const arrivalFrames = 500

// replayByArrival takes the records in the order of their times: the best guess
// where the journal is lost with the database. Who was refused for a proof that
// had ended, which frames were dead, and what passwords were, nobody knows then.
func (t *target) replayByArrival(ctx context.Context) (Result, error) {
	r := Result{Arrival: true}
	ranges := map[string]map[int]queue.Bounds{}
	readers := map[protocol.Topic]*workers.Reader{}
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
		readers[topic] = workers.NewReader(topic)
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
	err := audit.Merge(ctx, t.Log, ranges, func(rec *audit.Record) error {
		if !t.Until.Time.IsZero() && !rec.Time.Before(t.Until.Time) {
			return errEnough
		}
		topic, err := topicNamed(rec.Topic)
		if err != nil {
			return err
		}
		f := new(workers.Frame)
		m := rec.Message
		broken := readers[topic].Read(f, rec.Partition, &m, true)
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
		case broken != nil:
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
		err = t.advance(ends)
	}
	return r, err
}

var errEnough = fmt.Errorf("replay: enough")

func topicNamed(name string) (protocol.Topic, error) {
	for t := range protocol.NumTopics {
		if t.Name() == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf("no topic %s", name)
}
