package view

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

// UnknownTopicError names a topic that the log does not have.
type UnknownTopicError struct {
	Topic string
	Has   []string
}

func (e *UnknownTopicError) Error() string {
	if len(e.Has) == 0 {
		return fmt.Sprintf("no topic %s here, and no other of Sponge's: is the namespace right?", e.Topic)
	}
	return fmt.Sprintf("no topic %s here; there are %s", e.Topic, strings.Join(e.Has, ", "))
}

// GoneError says that the log no longer holds the beginning of a window of time.
type GoneError struct {
	Topic     string
	Partition int
	From      time.Time
	First     int64     // the oldest offset that is held
	Held      time.Time // its time; zero where nothing is held
}

func (e *GoneError) Error() string {
	held := "holds nothing any more"
	if !e.Held.IsZero() {
		held = "is held from " + e.Held.Format(time.RFC3339) + " on only"
	}
	return fmt.Sprintf("%s/%d %s: the %d records before offset %d were deleted, and those since %s may be among them; "+
		"begin later, or leave --from out for all that is held", e.Topic, e.Partition, held, e.First, e.First, e.From.Format(time.RFC3339))
}

// known are the topics that the log has.
func known(ctx context.Context, log audit.Log) ([]string, error) {
	var out []string
	for _, topic := range audit.AllTopics() {
		switch _, err := log.Bounds(ctx, topic); {
		case err == nil:
			out = append(out, topic)
		case !errors.Is(err, audit.ErrNoTopic):
			return nil, err
		}
	}
	return out, nil
}

// bounds is Log.Bounds with a telling error.
func bounds(ctx context.Context, log audit.Log, topic string) (map[int]queue.Bounds, error) {
	if !slices.Contains(audit.AllTopics(), topic) {
		has, err := known(ctx, log)
		return nil, errors.Join(err, &UnknownTopicError{topic, has})
	}
	b, err := log.Bounds(ctx, topic)
	if errors.Is(err, audit.ErrNoTopic) {
		has, err := known(ctx, log)
		return nil, errors.Join(err, &UnknownTopicError{topic, has})
	}
	return b, err
}

// recordAt reads the first record of each range, where there is one.
func recordAt(ctx context.Context, log audit.Log, topic string, parts map[int]queue.Bounds) (map[int]queue.Message, error) {
	out := map[int]queue.Message{}
	parts = maps.Clone(parts)
	maps.DeleteFunc(parts, func(_ int, b queue.Bounds) bool { return b.First >= b.Next })
	if len(parts) == 0 {
		return out, nil
	}
	stream, err := log.Open(ctx, topic, parts)
	if err != nil {
		return nil, err
	}
	for id := range parts {
		messages, err := stream.Next(ctx, id)
		if errors.Is(err, io.EOF) {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, stream.Close())
		}
		out[id] = messages[0]
	}
	return out, stream.Close()
}
