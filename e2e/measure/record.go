package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"sponge/pkg/bench"
)

// record is one run: a line of the JSON file.
type record struct {
	Build    string             `json:"build"`
	Case     string             `json:"case"`
	Point    int                `json:"point,omitempty"` // the rate, or the number of connections
	Run      int                `json:"run"`             // from 1
	Bench    bench.Result       `json:"bench"`
	Cores    map[string]float64 `json:"cores"`           // by process: cores that it kept busy in the measured time
	Resident map[string]int64   `json:"resident"`        // by process: bytes at the end of the measured time
	Error    string             `json:"error,omitempty"` // why the run does not count
}

func readRecords(path string) ([]record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	var all []record
	for d := json.NewDecoder(f); ; {
		var r record
		switch err := d.Decode(&r); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("%s: record %d: %w", path, len(all)+1, err)
		}
		all = append(all, r)
	}
}

// wrong is an error where a run failed, or where messages were lost or doubled:
// such a figure is worth nothing, however good.
func wrong(records []record) error {
	var errs []error
	for _, r := range records {
		if r.Error != "" {
			errs = append(errs, fmt.Errorf("%s %d of %s, run %d: %s", r.Case, r.Point, r.Build, r.Run, r.Error))
		}
	}
	return errors.Join(errs...)
}

// groupBy sorts records into those with the same key, in the order of the
// keys' first occurrence.
func groupBy[K comparable](records []record, key func(*record) K) (keys []K, groups map[K][]record) {
	groups = map[K][]record{}
	for i := range records {
		k := key(&records[i])
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], records[i])
	}
	return keys, groups
}

// spreadIn is the spread of a value over runs.
func spreadIn(records []record, of func(*record) float64) spread {
	var values []float64
	for i := range records {
		values = append(values, of(&records[i]))
	}
	return spreadOf(values)
}
