package view

import (
	"context"
	"math"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

// clockSpan is by how much the time of a frame and the time of its record may
// differ: clocks do, and a frame may wait some seconds for its broker. Records are
// chosen by the former and found by the latter, so that what is read begins so much
// before a window and ends so much behind it.
//
// A record that differs by more, such as one whose edge had no broker for an hour,
// belongs to the window in which it was appended. So each record belongs to one of
// several windows that follow each other, at least; as long as they last at least
// as long as this.
const clockSpan = time.Minute

// times is where a partition stands, by the log's times, at the ends of a window.
type times struct {
	from, later  int64 // the offsets at its beginning, and clockSpan after
	earlier, end int64 // clockSpan before its end, and there
}

// span is a window of time in Unix milliseconds, the end exclusive.
type span struct{ from, to int64 }

// span is all of time where the window is not one of time.
func (w *Window) span() span {
	s := span{math.MinInt64, math.MaxInt64}
	if !w.From.Time.IsZero() {
		s.from = ceilMilli(w.From.Time)
	}
	if !w.To.Time.IsZero() {
		s.to = ceilMilli(w.To.Time)
	}
	return s
}

// ceilMilli is the first whole millisecond at or after t.
func ceilMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

// takes reports whether a record of that time and offset belongs to the window.
func (s span) takes(at, offset int64, t times) bool {
	appended := offset >= t.from && offset < t.end
	switch {
	case at < s.from:
		return appended && (at < s.from-clockSpan.Milliseconds() || offset >= t.later)
	case at >= s.to:
		return appended && (at-clockSpan.Milliseconds() >= s.to || offset < t.earlier)
	}
	return true
}

// times asks where partitions stand at the ends of a window of time.
func (w *Window) times(ctx context.Context, log audit.Log, topic string, parts map[int]queue.Bounds) (map[int]times, error) {
	out := map[int]times{}
	for id, b := range parts {
		out[id] = times{b.First, b.First, math.MaxInt64, math.MaxInt64}
	}
	for _, end := range []struct {
		at  time.Time
		off time.Duration
		set func(*times, int64)
	}{
		{w.From.Time, 0, func(t *times, o int64) { t.from = o }},
		{w.From.Time, clockSpan, func(t *times, o int64) { t.later = o }},
		{w.To.Time, -clockSpan, func(t *times, o int64) { t.earlier = o }},
		{w.To.Time, 0, func(t *times, o int64) { t.end = o }},
	} {
		if end.at.IsZero() {
			continue
		}
		found, err := log.OffsetsAt(ctx, topic, end.at.Add(end.off))
		if err != nil {
			return nil, err
		}
		for id, t := range out {
			if o, ok := found[id]; ok {
				end.set(&t, o)
				out[id] = t
			}
		}
	}
	return out, nil
}
