package journal_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"sponge/pkg/journal"
)

// What workers write is what audits read, also after sponge.journal's JSON.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		row := journal.Row{Number: rapid.Int64Range(1, 1<<40).Draw(t, "number"), Topic: "storage", Rules: 1}
		var want journal.Batch
		for part := range rapid.IntRange(1, 20).Draw(t, "partitions") {
			r := journal.Range{Partition: part, First: rapid.Int64Range(0, 1<<50).Draw(t, "first")}
			r.Last = r.First + rapid.Int64Range(0, 500).Draw(t, "more")
			row.AddRange(r)
			want.Ranges = append(want.Ranges, r)
			at := journal.Place{Partition: part, Offset: r.First}
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				if want.Inputs == nil {
					want.Inputs = map[journal.Place]json.RawMessage{}
				}
				row.AddInput(at, []byte(journal.Refused))
				want.Inputs[at] = json.RawMessage(journal.Refused)
			case 1:
				if want.Dead == nil {
					want.Dead = map[journal.Place]bool{}
				}
				row.AddDead(at)
				want.Dead[at] = true
			}
		}
		text, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		var read journal.Row
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		got, err := read.Batch()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v; want %+v, from %s", got, err, want, text)
		}
	})
}

func TestRowsThatNoWorkerWrites(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]journal.Row{
		"no JSON":           {Ranges: json.RawMessage(`[[0,1`)},
		"a range backwards": {Ranges: json.RawMessage(`[[0,5,4]]`)},
		"below zero":        {Ranges: json.RawMessage(`[[0,-1,4]]`)},
		"a partition twice": {Ranges: json.RawMessage(`[[0,0,4],[0,5,6]]`)},
		"an input nowhere":  {Ranges: json.RawMessage(`[[0,0,4]]`), Inputs: json.RawMessage(`[["x",1,{}]]`)},
		"a number of dead":  {Ranges: json.RawMessage(`[[0,0,4]]`), Dead: json.RawMessage(`[7]`)},
	} {
		if _, err := row.Batch(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
