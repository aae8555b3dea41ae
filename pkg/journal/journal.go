// Package journal is the form of the journal: a row says which records a
// worker's transaction took, in which order, and what decided rows besides the
// records. Rows stand in the table journal and, as JSON, in sponge.journal;
// workers write them, audits read them.
//
// The form only ever grows: rows already written stay readable. It must not know
// what a record holds.
package journal

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Row is a row of journal. The JSON in Ranges, Inputs and Dead is as the table
// has it.
type Row struct {
	Number int64           `json:"number"`           // its place in the serial order; rollbacks leave gaps
	Topic  string          `json:"topic"`            // the handler group's name
	Rules  int             `json:"rules"`            // by which it was decided
	Ranges json.RawMessage `json:"ranges"`           // [[partition, first offset, last offset], …] in the batch's order
	Inputs json.RawMessage `json:"inputs,omitempty"` // [[partition, offset, input], …]
	Dead   json.RawMessage `json:"dead,omitempty"`   // [[partition, offset], …]: records that no handler could take
}

// Range is a run of one partition's records, First to Last inclusive.
type Range struct {
	Partition   int
	First, Last int64
}

// Place is where a record stands in its topic.
type Place struct {
	Partition int
	Offset    int64
}

// Batch is what a Row says.
type Batch struct {
	Ranges []Range // in the order in which they were handled; a partition once
	Inputs map[Place]json.RawMessage
	Dead   map[Place]bool
}

// Refused is the input of a frame whose session proof did not hold when it was
// handled: it counted as sent without a login.
const Refused = `{"proof":"refused"}`

// Batch decodes the row. A row that no worker writes is an error.
func (r *Row) Batch() (Batch, error) {
	var b Batch
	var ranges [][3]int64
	var inputs [][3]json.RawMessage
	var dead [][2]int64
	for _, part := range []struct {
		raw  json.RawMessage
		into any
	}{{r.Ranges, &ranges}, {r.Inputs, &inputs}, {r.Dead, &dead}} {
		if len(part.raw) == 0 {
			continue
		}
		if err := json.Unmarshal(part.raw, part.into); err != nil {
			return b, fmt.Errorf("journal row %d: %w", r.Number, err)
		}
	}
	seen := map[int64]bool{}
	for _, x := range ranges {
		if x[0] < 0 || x[1] < 0 || x[2] < x[1] || seen[x[0]] {
			return b, fmt.Errorf("journal row %d: %v is no range", r.Number, x)
		}
		seen[x[0]] = true
		b.Ranges = append(b.Ranges, Range{int(x[0]), x[1], x[2]})
	}
	for _, x := range inputs {
		var p Place
		part, err := strconv.Atoi(string(x[0]))
		if err == nil {
			p.Partition = part
			p.Offset, err = strconv.ParseInt(string(x[1]), 10, 64)
		}
		if err != nil {
			return b, fmt.Errorf("journal row %d: input: %w", r.Number, err)
		}
		if b.Inputs == nil {
			b.Inputs = map[Place]json.RawMessage{}
		}
		b.Inputs[p] = x[2]
	}
	for _, x := range dead {
		if b.Dead == nil {
			b.Dead = map[Place]bool{}
		}
		b.Dead[Place{int(x[0]), x[1]}] = true
	}
	return b, nil
}

// AddRange appends a range to the row's.
func (r *Row) AddRange(x Range) {
	r.Ranges = appendTriple(r.Ranges, x.Partition, x.First, strconv.AppendInt(nil, x.Last, 10))
}

// AddInput appends an input, which is JSON.
func (r *Row) AddInput(at Place, input []byte) {
	r.Inputs = appendTriple(r.Inputs, at.Partition, at.Offset, input)
}

// AddDead appends a record that no handler could take.
func (r *Row) AddDead(at Place) {
	r.Dead = appendList(r.Dead, fmt.Appendf(nil, "[%d,%d]", at.Partition, at.Offset))
}

func appendTriple(list []byte, part int, offset int64, value []byte) []byte {
	item := strconv.AppendInt([]byte{'['}, int64(part), 10)
	item = strconv.AppendInt(append(item, ','), offset, 10)
	return appendList(list, append(append(append(item, ','), value...), ']'))
}

// appendList adds an item to a JSON list, which may be nil.
func appendList(list, item []byte) []byte {
	if len(list) == 0 {
		list = append(list, '[')
	} else {
		list[len(list)-1] = ','
	}
	return append(append(list, item...), ']')
}
