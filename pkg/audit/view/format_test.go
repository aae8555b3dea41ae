package view

import (
	"bytes"
	stdcsv "encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sponge/pkg/audit"
	"sponge/pkg/envelope"
	"sponge/pkg/queue"
)

// strange are records of every form.
func strange() []audit.Record {
	env := envelope.Envelope{FrameID: [16]byte{1, 2, 255}, Node: `edge"1:a` + "\n\xff", Conn: 5, Arrival: day.UnixMilli() + 7, Peer: "[2001:db8::1]:99", Proof: proof(6)}
	header := env.Append(nil)
	at := day.Add(time.Second)
	return []audit.Record{
		{Topic: "sponge.storage", Partition: 3, Message: queue.Message{Offset: 12, Time: at, Header: header, Value: []byte(`{"msgType":4,"TOID":8,"msg":"你好, \"8\"号\u001b"}`)}},
		{Topic: "sponge.storage", Partition: 3, Message: queue.Message{Offset: 13, Time: at, Header: header, Value: []byte("no \x1b[2J JSON\n\xff")}},
		{Topic: "sponge.storage", Partition: 3, Message: queue.Message{Offset: 14, Time: at, Header: []byte{9, 9}, Value: []byte(`{"msgType":4}{}`)}},
		{Topic: "sponge.storage", Partition: 3, Message: queue.Message{Offset: 15, Time: at}},
		{Topic: "sponge.journal", Message: queue.Message{Offset: 16, Time: at, Value: []byte(`{"number":3}`)}},
		{Topic: "sponge.dead", Message: queue.Message{Offset: 17, Time: at, Header: header, Value: []byte(`{"msgType":4}`),
			Rest: []queue.Header{{Key: "error", Value: []byte("panic:\n\"x\"")}, {Key: "source", Value: []byte("sponge.storage/3/12")}}}},
	}
}

func entries() []*Entry {
	var out []*Entry
	for _, r := range strange() {
		e := new(Entry)
		e.load(&r, nil)
		out = append(out, e)
	}
	out[0].Outcome = Outcome{Applied, 123, 12}
	out[1].Outcome = Outcome{State: Waiting}
	return out
}

func format(f Format, entries []*Entry) string {
	out := f.Head(nil)
	for _, e := range entries {
		out = f.Append(out, e)
	}
	return string(out)
}

func TestJSONL(t *testing.T) {
	t.Parallel()
	const edge = `"frameId":"0102ff00000000000000000000000000","kind":"client","node":"edge\"1:a\u000a\ufffd","conn":5,"user":6,"peer":"[2001:db8::1]:99",`
	want := `{"time":"2026-11-23T12:00:00.007Z","topic":"sponge.storage","partition":3,"offset":12,` + edge + `"type":4,` +
		`"outcome":{"state":"applied","journal":123,"seq":12},"frame":{"msgType":4,"TOID":8,"msg":"你好, \"8\"号\u001b"}}
{"time":"2026-11-23T12:00:00.007Z","topic":"sponge.storage","partition":3,"offset":13,` + edge + `"outcome":{"state":"waiting"},"raw":"bm8gG1sySiBKU09OCv8="}
{"time":"2026-11-23T12:00:01.000Z","topic":"sponge.storage","partition":3,"offset":14,"header":"CQk=","raw":"eyJtc2dUeXBlIjo0fXt9"}
{"time":"2026-11-23T12:00:01.000Z","topic":"sponge.storage","partition":3,"offset":15,"header":"","raw":""}
{"time":"2026-11-23T12:00:01.000Z","topic":"sponge.journal","partition":0,"offset":16,"row":{"number":3}}
{"time":"2026-11-23T12:00:01.000Z","topic":"sponge.dead","partition":0,"offset":17,` + edge + `"type":4,` +
		`"error":"panic:\u000a\"x\"","source":"sponge.storage/3/12","frame":{"msgType":4}}
`
	got := format(jsonl{}, entries())
	if got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	for line := range strings.Lines(got) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	r := stdcsv.NewReader(strings.NewReader(format(csv{outcomes: true}, entries())))
	lines, err := r.ReadAll() // as many fields as the first line has
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range lines[1:] {
		var fields []string
		for i, f := range l {
			if f != "" && lines[0][i] != "time" && lines[0][i] != "frameId" && lines[0][i] != "topic" {
				fields = append(fields, lines[0][i]+"="+f)
			}
		}
		got = append(got, strings.Join(fields, " "))
	}
	const edge = "kind=client node=edge\"1:a\n\xff conn=5 user=6 peer=[2001:db8::1]:99 "
	want := []string{
		"partition=3 offset=12 " + edge + `type=4 state=applied journal=123 seq=12 frame={"msgType":4,"TOID":8,"msg":"你好, \"8\"号\u001b"}`,
		"partition=3 offset=13 " + edge + "state=waiting raw=bm8gG1sySiBKU09OCv8=",
		"partition=3 offset=14 header=CQk= raw=eyJtc2dUeXBlIjo0fXt9",
		"partition=3 offset=15",
		`partition=0 offset=16 row={"number":3}`,
		"partition=0 offset=17 " + edge + "type=4 error=panic:\n\"x\" source=sponge.storage/3/12 frame={\"msgType\":4}",
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %q\nwant %q", got[i], want[i])
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	for _, width := range []int{0, 40, 120, 137, 138, 139, 160} {
		got := format(&table{cfg: FormatConfig{Zone: time.UTC, Outcomes: true, Width: width}}, entries())
		for i, line := range strings.Split(strings.TrimSuffix(got, "\n"), "\n") {
			if strings.Contains(line, "\x1b") || !utf8.ValidString(line) {
				t.Errorf("width %d: a terminal would obey %q", width, line)
			}
			if n := columns([]byte(line)); i > 0 && width >= 150 && n > width {
				t.Errorf("width %d: %d columns: %s", width, n, line)
			}
		}
	}
	got := format(&table{cfg: FormatConfig{Zone: time.UTC, Width: 130}}, entries()[:1])
	want := "2026-11-23 12:00:00.007  storage/3@12        6         4     edge\"1:a·\ufffd/5            [2001:db8::1]:99       {\"msgType\":4,\"TOID\":8…\n"
	if _, line, _ := strings.Cut(got, "\n"); line != want || columns([]byte(line)) != 131 { // with its end
		t.Errorf("got  %q\nwant %q", line, want)
	}
}

func TestAppendShown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"abc", 0, "abc"}, {"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"你好", 4, "你好"}, {"你好", 3, "你…"}, {"你好吗", 4, "你…"},
		{"a\x1b[2Jb\u202e", 0, "a·[2Jb·"}, {"", 1, ""}, {"ab", 1, "…"},
	} {
		if got := string(appendShown(nil, c.text, c.limit)); got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

func TestNewFormat(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"jsonl", "csv", "table"} {
		if _, err := NewFormat(name, FormatConfig{Zone: time.UTC}); err != nil {
			t.Error(err)
		}
	}
	if _, err := NewFormat("xml", FormatConfig{}); err == nil {
		t.Error("xml is a format")
	}
}

// typical is a record as bench chat makes them.
func typical(i int) audit.Record {
	env := envelope.Envelope{FrameID: [16]byte{byte(i)}, Node: "edge1:0a1b2c3d", Conn: uint64(i), Arrival: day.UnixMilli() + int64(i), Peer: "192.0.2.1:50412", Proof: proof(6)}
	return audit.Record{Topic: "sponge.storage", Partition: i % 8, Message: queue.Message{Offset: int64(i), Time: day.Add(time.Duration(i) * time.Millisecond),
		Header: env.Append(nil), Value: fmt.Appendf(nil, `{"msgType":4,"id":"%d","TOID":8,"msg":"%s","sendTime":1795405115444}`, i, strings.Repeat("word ", 20))}}
}

func BenchmarkFormat(b *testing.B) {
	records := make([]audit.Record, 100)
	for i := range records {
		records[i] = typical(i)
	}
	for _, name := range []string{"jsonl", "csv", "table"} {
		b.Run(name, func(b *testing.B) {
			f, err := NewFormat(name, FormatConfig{Zone: time.UTC, Width: 200})
			if err != nil {
				b.Fatal(err)
			}
			r := &reader{Options: Options{Format: f, Out: io.Discard}, matcher: newMatcher(Filter{}), intern: envelope.Interner{}, span: new(Window).span()}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := r.take(b.Context(), &records[i%len(records)]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// The proof is the one thing that is allocated for a record.
func TestFormatAllocates(t *testing.T) {
	record := typical(1)
	for _, name := range []string{"jsonl", "csv", "table"} {
		f, err := NewFormat(name, FormatConfig{Zone: time.UTC, Width: 200})
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{Options: Options{Format: f, Out: new(bytes.Buffer)}, matcher: newMatcher(Filter{}), intern: envelope.Interner{}, span: new(Window).span()}
		n := testing.AllocsPerRun(100, func() {
			r.buffer = r.buffer[:0]
			if err := r.take(t.Context(), &record); err != nil {
				t.Fatal(err)
			}
		})
		if n > 1 {
			t.Errorf("%s: %v allocations a record", name, n)
		}
	}
}
