package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/journal"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// stored is a table of messages.
type stored struct {
	messages map[MessageKey]Message
	asked    []int // how many keys at once
	fail     error
}

func (s *stored) Find(_ context.Context, keys []MessageKey) (map[MessageKey]Message, error) {
	s.asked = append(s.asked, len(keys))
	found := map[MessageKey]Message{}
	for _, k := range keys {
		if m, ok := s.messages[k]; ok {
			found[k] = m
		}
	}
	return found, s.fail
}

// put stores the message of a chat frame that stands in the log.
func (s *stored) put(l *fakeLog, at journal.Place, seq int64) {
	var e Entry
	e.load(&audit.Record{Topic: "sponge.storage", Partition: at.Partition, Message: l.topics["sponge.storage"][at.Partition][at.Offset]}, nil)
	key, ok := chatKey(&e)
	if !ok {
		panic("no chat frame")
	}
	if s.messages == nil {
		s.messages = map[MessageKey]Message{}
	}
	s.messages[key] = Message{Seq: seq, SentAt: e.envelope.Arrival, Hash: e.frame.ContentHash()}
}

// states are the outcomes of lines: state, journal, seq.
func states(lines []map[string]any) string {
	var out []string
	for _, l := range lines {
		o, _ := l["outcome"].(map[string]any)
		text := fmt.Sprint(o["state"])
		for _, k := range []string{"journal", "seq"} {
			if v, ok := o[k]; ok {
				text += fmt.Sprint("/", v)
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func one(p journal.Place) journal.Range {
	return journal.Range{Partition: p.Partition, First: p.Offset, Last: p.Offset}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	l := newFakeLog()
	var db stored
	n := 0
	frame := func(user int64, text string) journal.Place {
		n++
		return l.frame(t, user, day.Add(time.Duration(n)*time.Second), text)
	}
	row := func(number int64, topic protocol.Topic, change func(*journal.Row), ranges ...journal.Range) {
		l.row(t, number, topic, day.Add(time.Hour), change, ranges...)
	}
	// Before the window: its row is left out.
	old := l.frame(t, 6, day.Add(-time.Hour), `{"msgType":4,"TOID":8,"msg":"old"}`)
	l.row(t, 1, protocol.TopicStorage, day.Add(-time.Hour), nil, one(old))

	login := frame(0, `{"msgType":1,"USERID":6,"password":"x"}`)
	applied := frame(6, `{"msgType":4,"TOID":8,"msg":"a","id":"x"}`)
	frame(6, `{"msgType":4,"TOID":8,"msg":"b","id":"x"}`) // the id is taken
	repeat := frame(6, `{"msgType":4,"TOID":8,"msg":"a","id":"x"}`)
	deadly := frame(6, `{"msgType":4,"TOID":8,"msg":"dead"}`)
	refused := frame(6, `{"msgType":4,"TOID":8,"msg":"proof"}`)
	early := frame(9, `{"msgType":9,"GROUPID":7,"msg":"c","id":"y"}`) // no member yet
	late := frame(9, `{"msgType":9,"GROUPID":7,"msg":"c","id":"y"}`)  // a member now
	nobody := frame(0, `{"msgType":4,"FROMID":6,"TOID":8,"msg":"n"}`)
	frame(6, `{"msgType":4,"TOID":8,"msg":"waiting"}`)
	db.put(l, applied, 12)
	db.put(l, late, 3)

	row(12, protocol.TopicStorage, nil, journal.Range{Partition: repeat.Partition, First: applied.Offset, Last: repeat.Offset})
	row(10, protocol.TopicLogin, nil, one(login))                                                                               // out of order
	row(12, protocol.TopicStorage, nil, journal.Range{Partition: repeat.Partition, First: applied.Offset, Last: repeat.Offset}) // twice
	row(13, protocol.TopicStorage, func(r *journal.Row) { r.AddDead(deadly) }, one(deadly))
	row(14, protocol.TopicStorage, func(r *journal.Row) { r.AddInput(refused, []byte(journal.Refused)) }, one(refused))
	row(11, protocol.TopicStorage, nil, one(early))
	row(15, protocol.TopicStorage, nil, one(late))
	row(16, protocol.TopicStorage, nil, one(nobody))
	w := Window{Partition: -1, From: Bound{Time: day}}
	lines, err := read(t, l, Options{Window: w, Messages: &db})
	if err != nil {
		t.Fatal(err)
	}
	want := "applied/10 applied/12/12 refused/12 applied/12/12 dead/13 refused/14 refused/11 applied/15/3 refused/16 waiting"
	if got := states(lines); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	if len(db.asked) != 1 {
		t.Errorf("messages were looked up %d times", len(db.asked))
	}
	db.fail = errors.New("away")
	if lines, err := read(t, l, Options{Window: w, Messages: &db}); !errors.Is(err, db.fail) || len(lines) > 0 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}

// The journal is read from the window on, no further than frames need, and what
// it says of others is not kept.
func TestJournalInStep(t *testing.T) {
	t.Parallel()
	l := hours(t, 600)
	for i := range int64(600) {
		l.row(t, i+1, protocol.TopicStorage, day.Add(time.Duration(i)*time.Minute+time.Second), nil, journal.Range{Partition: int(i % 2), First: i / 2, Last: i / 2})
	}
	w := Window{Partition: -1, Topics: []string{"sponge.storage"}, From: Bound{Time: day.Add(300 * time.Minute)}, To: Bound{Time: day.Add(310 * time.Minute)}}
	lines, err := read(t, l, Options{Window: w, Messages: &stored{}})
	if err != nil || len(lines) != 10 || strings.Count(states(lines), "refused/3") != 10 {
		t.Fatalf("%s, %v", states(lines), err)
	}
	if n := l.read["sponge.journal/0"]; n < 10 || n > 20 {
		t.Errorf("%d rows were read", n)
	}
	j := newJournalReader(l, ranges{"sponge.storage": {0: {First: 150, Next: 155}}}, false)
	for at := int64(150); at < 155; at++ {
		h, err := j.find(t.Context(), "sponge.storage", journal.Place{Offset: at}, day.Add(300*time.Minute))
		if err != nil || h.number != 2*at+1 {
			t.Fatalf("%d: %v %v", at, h, err)
		}
		if kept := len(j.parts["storage"][0].ranges); kept > 2 {
			t.Errorf("%d ranges are kept", kept)
		}
	}
}

func TestJournalCut(t *testing.T) {
	t.Parallel()
	l := hours(t, 600)
	for i := range int64(600) {
		l.row(t, i+1, protocol.TopicStorage, day.Add(time.Duration(i)*time.Minute+time.Second), nil, journal.Range{Partition: int(i % 2), First: i / 2, Last: i / 2})
	}
	l.first[protocol.TopicJournal][0] = 400
	w := Window{Partition: -1, Topics: []string{"sponge.storage"}, From: Bound{Time: day.Add(300 * time.Minute)}}
	var gone *GoneError
	if lines, err := read(t, l, Options{Window: w, Messages: &stored{}}); !errors.As(err, &gone) || gone.Topic != protocol.TopicJournal || len(lines) > 0 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	w.From.Time = day.Add(401 * time.Minute)
	if lines, err := read(t, l, Options{Window: w, Messages: &stored{}}); err != nil || strings.Contains(states(lines), "waiting") {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	l.add(protocol.TopicJournal, 0, queue.Message{Value: []byte("x"), Time: day.Add(601 * time.Minute)})
	l.frame(t, 6, day.Add(601*time.Minute), `{"msgType":14}`)
	if _, err := read(t, l, Options{Window: w, Messages: &stored{}}); err == nil || !strings.Contains(err.Error(), "sponge.journal/0@600") {
		t.Fatal(err)
	}
}

// steps is a Tick that does something at each look, and ends behind the last.
func steps(do ...func()) func(context.Context) bool {
	return func(ctx context.Context) bool {
		if len(do) == 0 {
			return false
		}
		do[0]()
		do = do[1:]
		return true
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	for _, withOutcomes := range []bool{false, true} {
		l := talk(t)
		var out bytes.Buffer
		var db stored
		o := Options{Window: Window{Partition: -1}, Filter: Filter{User: 6}, Follow: true, Out: &out, Format: jsonl{}}
		if withOutcomes {
			o.Messages = &db
		}
		minute := func(n int) time.Time { return day.Add(time.Duration(n) * time.Minute) }
		nothing := func() {}
		o.Tick = steps(nothing, func() {
			p := l.frame(t, 6, minute(1), `{"msgType":4,"TOID":8,"msg":"x"}`)
			l.frame(t, 8, minute(1), `{"msgType":4,"TOID":6,"msg":"not mine"}`)
			db.put(l, p, 4)
			l.row(t, 5, protocol.TopicStorage, minute(1), nil, one(p))
		}, func() {
			if out.Len() > 0 {
				t.Error("shown before it was looked for")
			}
		}, func() {
			l.frame(t, 6, minute(2), `{"msgType":4,"TOID":8,"msg":"y"}`)
		}, nothing, nothing)
		if err := Read(t.Context(), l, o); err != nil {
			t.Fatal(err)
		}
		lines := decode(t, out.Bytes())
		if got := frameTexts(lines); got != "x y" {
			t.Fatalf("got %q", got)
		}
		if got := states(lines); withOutcomes && got != "applied/5/4 waiting" {
			t.Fatalf("got %q", got)
		}
	}
}

func TestFollowEnds(t *testing.T) {
	t.Parallel()
	l := talk(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Window: Window{Partition: -1, From: Bound{Time: day}}, Follow: true, Out: new(bytes.Buffer), Format: jsonl{}}
	o.Tick = func(context.Context) bool { cancel(); return true }
	if err := Read(ctx, l, o); err != nil {
		t.Error(err)
	}
	if lines, err := read(t, l, Options{Window: o.Window, Follow: true, Limit: 3}); err != nil || len(lines) != 3 {
		t.Errorf("limit: %d lines, %v", len(lines), err)
	}
	o.To.Time = day
	if err := Read(t.Context(), l, o); err == nil {
		t.Error("--follow with --to is taken")
	}
	o.To, o.From = Bound{}, Bound{}
	o.Tick = steps(func() { l.topics["sponge.storage"] = make([][]queue.Message, fakePartitions) }, func() {})
	var outside *audit.RangeError
	if err := Read(t.Context(), l, o); !errors.As(err, &outside) {
		t.Errorf("a topic that was made anew: %v", err)
	}
}

// An interrupted reading does not look whole.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Window: Window{Partition: -1}, Out: new(bytes.Buffer), Format: jsonl{}}
	o.Filter.Grep = nil
	l := hours(t, 4000)
	o.Progress = func(Progress) { cancel() }
	if err := Read(ctx, l, o); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "of 4000 records") {
		t.Fatal(err)
	}
}

type brokenPipe struct{ error }

func (b brokenPipe) Write([]byte) (int, error) { return 0, b.error }

func TestWriteFails(t *testing.T) {
	t.Parallel()
	fault := errors.New("pipe")
	if err := Read(t.Context(), talk(t), Options{Window: Window{Partition: -1}, Out: brokenPipe{fault}, Format: jsonl{}}); !errors.Is(err, fault) {
		t.Fatal(err)
	}
}

func TestJournalTopic(t *testing.T) {
	t.Parallel()
	l := hours(t, 4)
	l.row(t, 1, protocol.TopicStorage, day, nil, journal.Range{First: 0, Last: 1})
	l.row(t, 2, protocol.TopicStorage, day.Add(time.Hour), nil, journal.Range{First: 2, Last: 3})
	w := Window{Partition: -1, Topics: []string{protocol.TopicJournal}, From: Bound{Time: day.Add(time.Minute)}}
	lines, err := read(t, l, Options{Window: w})
	if err != nil || len(lines) != 1 || fmt.Sprint(lines[0]["row"].(map[string]any)["ranges"]) != "[[0 2 3]]" {
		t.Fatalf("%v %v", lines, err)
	}
	if _, err := read(t, l, Options{Window: w, Filter: Filter{User: 6}}); err == nil {
		t.Error("a user's journal rows are taken")
	}
}
