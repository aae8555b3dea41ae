package audit_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/audit/audittest"
	"sponge/pkg/queue"
)

const topic = "sponge.storage"

// holding is a log of one partition with some offsets, a second apart.
func holding(first, next int64) *audittest.Log {
	l := new(audittest.Log)
	l.Create(topic, 1)
	for offset := range next {
		l.Add(topic, 0, queue.Message{Value: fmt.Append(nil, offset), Time: at(offset)})
	}
	l.Drop(topic, 0, first)
	return l
}

func at(offset int64) time.Time { return time.Unix(offset, 0) }

// values reads a range.
func values(t *testing.T, log audit.Log, r queue.Bounds) (out []string, err error) {
	t.Helper()
	err = audit.Merge(t.Context(), log, map[string]map[int]queue.Bounds{topic: {0: r}}, func(r *audit.Record) error {
		out = append(out, string(r.Value))
		return nil
	})
	return out, err
}

func TestJoined(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ older, newer, held queue.Bounds }{
		"overlap":              {queue.Bounds{Next: 6}, queue.Bounds{First: 4, Next: 9}, queue.Bounds{Next: 9}},
		"seam":                 {queue.Bounds{Next: 6}, queue.Bounds{First: 6, Next: 9}, queue.Bounds{Next: 9}},
		"nothing archived yet": {queue.Bounds{}, queue.Bounds{First: 3, Next: 9}, queue.Bounds{First: 3, Next: 9}},
		"topic is empty":       {queue.Bounds{Next: 6}, queue.Bounds{First: 6, Next: 6}, queue.Bounds{Next: 6}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := audit.Joined{Older: holding(tt.older.First, tt.older.Next), Newer: holding(tt.newer.First, tt.newer.Next)}
			bounds, err := log.Bounds(t.Context(), topic)
			if err != nil || bounds[0] != tt.held {
				t.Fatalf("%v, %v", bounds, err)
			}
			for first := tt.held.First; first <= tt.held.Next; first++ {
				offsets, err := log.OffsetsAt(t.Context(), topic, at(first))
				if err != nil || offsets[0] != first {
					t.Fatalf("offset at %d: %v, %v", first, offsets, err)
				}
				ends, err := log.EndsAt(t.Context(), topic, at(first))
				if err != nil || ends[0] != first {
					t.Fatalf("end at %d: %v, %v", first, ends, err)
				}
				for next := first; next <= tt.held.Next; next++ {
					got, err := values(t, log, queue.Bounds{First: first, Next: next})
					if err != nil || int64(len(got)) != next-first {
						t.Fatalf("%d to %d: %v, %v", first, next, got, err)
					}
					for i, v := range got {
						if v != fmt.Sprint(first+int64(i)) {
							t.Fatalf("%d to %d: %v", first, next, got)
						}
					}
				}
			}
		})
	}
}

// Topics that were cut off, or made anew, are not those that were archived.
func TestJoinedWithOthers(t *testing.T) {
	t.Parallel()
	if _, err := (audit.Joined{Older: holding(0, 6), Newer: holding(2, 5)}).Bounds(t.Context(), topic); !errors.Is(err, audit.ErrShort) {
		t.Fatal(err)
	}
	same, other := audit.Joined{Older: holding(0, 6), Newer: holding(2, 9)}, audit.Joined{Older: holding(0, 6), Newer: holding(2, 9)}
	if err := same.SameAtSeam(t.Context()); err != nil {
		t.Fatal(err)
	}
	other.Newer.(*audittest.Log).Change(topic, 0, 5, func(m *queue.Message) { m.Value = []byte("x") })
	if err := other.SameAtSeam(t.Context()); err == nil {
		t.Fatal("another record at the seam is no error")
	}
}

// What neither has is never left out silently.
func TestJoinedGap(t *testing.T) {
	t.Parallel()
	log := audit.Joined{Older: holding(0, 4), Newer: holding(6, 9)}
	var gap *audit.RangeError
	if _, err := log.Bounds(t.Context(), topic); !errors.As(err, &gap) || gap.Wanted != (queue.Bounds{First: 4, Next: 6}) {
		t.Fatal(err)
	}
	if _, err := log.Bounds(t.Context(), "sponge.nope"); !errors.Is(err, audit.ErrNoTopic) {
		t.Fatal(err)
	}
}
