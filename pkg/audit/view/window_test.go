package view

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

func TestParseBound(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 3600)
	for text, want := range map[string]time.Time{
		"2026-11-23T12:00:00Z":        day,
		"2026-11-23T12:00:00.5+01:00": day.Add(-time.Hour + 500*time.Millisecond),
		"2026-11-23 13:00":            day,
		"2026-11-23T13:00":            day,
		"2026-11-23 13:00:07":         day.Add(7 * time.Second),
		"2026-11-23 12:00:07Z":        day.Add(7 * time.Second),
		"2026-11-23":                  day.Add(-13 * time.Hour),
		"now":                         day,
		"-1h":                         day.Add(-time.Hour),
		"90m":                         day.Add(-90 * time.Minute),
		" 1h30m":                      day.Add(-90 * time.Minute),
		"2d":                          day.Add(-48 * time.Hour),
		"1w1d2h":                      day.Add(-(8*24 + 2) * time.Hour),
		"-2d12h":                      day.Add(-60 * time.Hour),
	} {
		b, err := ParseBound(text, day, zone)
		if err != nil || !b.Time.Equal(want) || b.Place != nil {
			t.Errorf("%q: %v %v, want %v", text, b, err, want)
		}
	}
	for text, want := range map[string]Place{
		"sponge.storage/3@1234": {"sponge.storage", 3, 1234},
		"storage/3@0":           {"sponge.storage", 3, 0},
		"@7":                    {"", -1, 7},
	} {
		b, err := ParseBound(text, day, zone)
		if err != nil || b.Place == nil || *b.Place != want {
			t.Errorf("%q: %v %v", text, b.Place, err)
		}
	}
	for _, text := range []string{"", "x", "12", "--1h", "1h-1h", "2026-13-01", "storage@3", "storage/x@3", "/3@3", "@", "@-1", "@x", "999999999w", "1.5d", "d"} {
		if b, err := ParseBound(text, day, zone); err == nil {
			t.Errorf("%q is %v", text, b)
		}
	}
}

// hours is a log with a frame a minute in each of two partitions of storage.
func hours(t testing.TB, minutes int) *fakeLog {
	t.Helper()
	l := newFakeLog()
	src := newFakeLog()
	for i := range minutes {
		at := day.Add(time.Duration(i) * time.Minute)
		p := src.frame(t, 6, at, fmt.Sprintf(`{"msgType":4,"TOID":8,"msg":"%d"}`, i))
		l.add("sponge.storage", i%2, src.topics["sponge.storage"][p.Partition][p.Offset])
	}
	return l
}

func TestWindowOfTime(t *testing.T) {
	t.Parallel()
	l := hours(t, 600)
	w := Window{Partition: -1, Topics: []string{"sponge.storage"}}
	w.From.Time, w.To.Time = day.Add(300*time.Minute), day.Add(304*time.Minute)
	lines, err := read(t, l, Options{Window: w})
	if err != nil {
		t.Fatal(err)
	}
	if got := frameTexts(lines); got != "300 301 302 303" {
		t.Fatalf("got %s", got)
	}
	if n := l.read["sponge.storage/0"] + l.read["sponge.storage/1"]; n > 10 {
		t.Fatalf("%d records were read for 4", n)
	}
	if lines, err = read(t, l, Options{Window: w, Limit: 2}); err != nil || frameTexts(lines) != "300 301" {
		t.Fatalf("limit: %v %v", lines, err)
	}
}

func TestWindowOfOffsets(t *testing.T) {
	t.Parallel()
	l := hours(t, 20)
	at := func(partition int, offset int64) Bound {
		return Bound{Place: &Place{"sponge.storage", partition, offset}}
	}
	alone := Bound{Place: &Place{"", -1, 3}}
	for _, c := range []struct {
		name   string
		window Window
		want   string
		fault  string
	}{
		{name: "from", window: Window{Partition: -1, From: at(1, 7)}, want: "15 17 19"},
		{name: "from and to", window: Window{Partition: -1, From: at(1, 7), To: at(1, 9)}, want: "15 17"},
		{name: "from an offset to a time", window: Window{Partition: -1, From: at(1, 7), To: Bound{Time: day.Add(16 * time.Minute)}}, want: "15"},
		{name: "alone", window: Window{Partition: 1, Topics: []string{"sponge.storage"}, To: alone}, want: "1 3 5"},
		{name: "at the end", window: Window{Partition: -1, From: at(1, 10)}, want: ""},
		{name: "of what", window: Window{Partition: -1, To: alone}, fault: "of which partition"},
		{name: "two partitions", window: Window{Partition: -1, From: at(1, 7), To: at(0, 9)}, fault: "different partitions"},
		{name: "other partition", window: Window{Partition: 2, From: at(1, 7)}, fault: "different partitions"},
		{name: "other topic", window: Window{Partition: -1, Topics: []string{"sponge.login"}, From: at(1, 7)}, fault: "none of the topics"},
		{name: "no such partition", window: Window{Partition: -1, From: at(4, 7)}, fault: "no partition 4"},
		{name: "behind the end", window: Window{Partition: -1, From: at(1, 11)}, fault: "the log holds 0 to 9"},
		{name: "to behind the end", window: Window{Partition: -1, To: at(1, 11)}, fault: "the log holds 0 to 9"},
		{name: "backwards", window: Window{Partition: -1, From: at(1, 7), To: at(1, 6)}, fault: "is after --to"},
		{name: "times backwards", window: Window{Partition: -1, From: Bound{Time: day.Add(1)}, To: Bound{Time: day}}, fault: "is after --to"},
		{name: "unknown topic", window: Window{Partition: -1, Topics: []string{"sponge.nope"}}, fault: "there are sponge.login, sponge.friend"},
	} {
		var out strings.Builder
		err := Read(t.Context(), l, Options{Window: c.window, Out: &out, Format: jsonl{}})
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) || out.Len() > 0 {
				t.Errorf("%s: %v, %d bytes out", c.name, err, out.Len())
			}
			continue
		}
		if got := frameTexts(decode(t, []byte(out.String()))); err != nil || got != c.want {
			t.Errorf("%s: got %q, want %q; %v", c.name, got, c.want, err)
		}
	}
}

// A window whose beginning may have been deleted is refused, not shown in part.
func TestRetentionPassed(t *testing.T) {
	t.Parallel()
	l := hours(t, 600)
	l.first["sponge.storage"][1] = 100 // minute 201
	w := Window{Partition: -1, Topics: []string{"sponge.storage"}}

	w.From.Time = day.Add(190 * time.Minute)
	var gone *GoneError
	if lines, err := read(t, l, Options{Window: w}); !errors.As(err, &gone) || gone.First != 100 || len(lines) > 0 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	kept := keepingLog{l, day.Add(100 * time.Minute)} // nothing younger is gone
	if lines, err := read(t, kept, Options{Window: w}); err != nil || len(lines) == 0 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	kept.since = day.Add(195 * time.Minute)
	if _, err := read(t, kept, Options{Window: w}); !errors.As(err, &gone) {
		t.Fatal(err)
	}
	w.From.Time = day.Add(201 * time.Minute)
	if lines, err := read(t, l, Options{Window: w}); err != nil || len(lines) != 399 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	var outside *audit.RangeError
	w.From = Bound{Place: &Place{"sponge.storage", 1, 99}}
	if _, err := read(t, l, Options{Window: w}); !errors.As(err, &outside) || outside.Held != (queue.Bounds{First: 100, Next: 300}) {
		t.Fatal(err)
	}
	w.From = Bound{}
	if lines, err := read(t, l, Options{Window: w}); err != nil || len(lines) != 500 {
		t.Fatalf("all that is held: %d lines, %v", len(lines), err)
	}
}

func TestMissingTopic(t *testing.T) {
	t.Parallel()
	l := talk(t)
	delete(l.topics, "sponge.login")
	var unknown *UnknownTopicError
	if _, err := read(t, l, Options{}); !errors.As(err, &unknown) || unknown.Topic != "sponge.login" || len(unknown.Has) != 5 {
		t.Fatal(err)
	}
}

// keepingLog says what it keeps.
type keepingLog struct {
	*fakeLog
	since time.Time
}

func (l keepingLog) Kept(context.Context, string) (time.Time, bool, error) { return l.since, true, nil }
