package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// frame is a decoded JSON object; its numbers are json.Number, digits as received.
type frame map[string]any

// decode reads exactly one JSON object.
func decode(b []byte) (frame, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var f frame
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value in a line")
	}
	if f == nil {
		return nil, errors.New("not an object")
	}
	return f, nil
}

// int is the integer under key, or -1.
func (f frame) int(key string) int64 {
	n, ok := f[key].(json.Number)
	if !ok {
		return -1
	}
	i, err := n.Int64()
	if err != nil {
		return -1
	}
	return i
}

// str is the string under key, or "".
func (f frame) str(key string) string {
	s, _ := f[key].(string)
	return s
}

// list is the list of objects under key.
func (f frame) list(key string) []frame {
	values, _ := f[key].([]any)
	var objects []frame
	for _, v := range values {
		o, _ := v.(map[string]any)
		objects = append(objects, o)
	}
	return objects
}

func (f frame) String() string { return js(map[string]any(f)) }

// js is v as JSON, for templates and frames.
func js(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// mismatch compares a frame with a JSON template, every key of it, and describes
// the first difference ("" if there is none). In the template, the strings "$text"
// (a string that is not empty), "$id" (a positive integer), "$count" (an integer
// from 0), "$time" (Unix milliseconds close to now), "$bool" and "$any" stand for
// what can't be foretold, and a key that ends with "?" may be missing.
func mismatch(got frame, template string) string {
	want, err := decode([]byte(template))
	if err != nil {
		return fmt.Sprintf("bad template: %v: %s", err, template)
	}
	return differ("", map[string]any(got), map[string]any(want))
}

func differ(path string, got, want any) string {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			return path + " is no object"
		}
		return differObjects(path, got, want)
	case []any:
		got, ok := got.([]any)
		if !ok {
			return path + " is no list"
		}
		if len(got) != len(want) {
			return fmt.Sprintf("%s has %d elements, want %d", path, len(got), len(want))
		}
		for i := range want {
			if d := differ(fmt.Sprintf("%s[%d]", path, i), got[i], want[i]); d != "" {
				return d
			}
		}
		return ""
	case string:
		if strings.HasPrefix(want, "$") {
			if !fits(got, want) {
				return fmt.Sprintf("%s is %s, want %s", path, js(got), want)
			}
			return ""
		}
	}
	if got != want {
		return fmt.Sprintf("%s is %s, want %s", path, js(got), js(want))
	}
	return ""
}

func differObjects(path string, got, want map[string]any) string {
	known := make(map[string]bool)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		name, optional := strings.CutSuffix(key, "?")
		known[name] = true
		value, ok := got[name]
		if !ok && !optional {
			return fmt.Sprintf("%s.%s is missing", path, name)
		}
		if ok {
			if d := differ(path+"."+name, value, want[key]); d != "" {
				return d
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if !known[key] {
			return fmt.Sprintf("%s.%s should not be there", path, key)
		}
	}
	return ""
}

func fits(v any, kind string) bool {
	integer := frame{"v": v}.int("v")
	switch kind {
	case "$any":
		return true
	case "$text":
		s, ok := v.(string)
		return ok && s != ""
	case "$bool":
		_, ok := v.(bool)
		return ok
	case "$id":
		return integer > 0
	case "$count":
		return integer >= 0
	case "$time":
		return time.Since(time.UnixMilli(integer)).Abs() < 10*time.Minute
	}
	return false
}

// TestMismatch tests the judge itself.
func TestMismatch(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixMilli()
	for _, tt := range []struct {
		got, template string
		same          bool
	}{
		{`{"a":1,"b":[{"c":"x"}]}`, `{"b":[{"c":"x"}],"a":1}`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":1}`, `{"a":1.0}`, false},
		{`{"a":1}`, `{"a":"1"}`, false},
		{`{"a":1}`, `{}`, false},
		{`{}`, `{"a":1}`, false},
		{`{}`, `{"a?":1}`, true},
		{`{"a":2}`, `{"a?":1}`, false},
		{`{"a":[1,2]}`, `{"a":[1]}`, false},
		{`{"a":[]}`, `{"a":{}}`, false},
		{`{"a":null}`, `{"a":[]}`, false},
		{`{"a":""}`, `{"a":"$text"}`, false},
		{`{"a":"x"}`, `{"a":"$text"}`, true},
		{`{"a":0}`, `{"a":"$id"}`, false},
		{`{"a":1.5}`, `{"a":"$count"}`, false},
		{`{"a":0}`, `{"a":"$count"}`, true},
		{`{"a":1703078264002}`, `{"a":"$time"}`, false},
		{fmt.Sprintf(`{"a":%d}`, now), `{"a":"$time"}`, true},
	} {
		got, err := decode([]byte(tt.got))
		if err != nil {
			t.Fatal(err)
		}
		if d := mismatch(got, tt.template); (d == "") != tt.same {
			t.Errorf("%s against %s: %q", tt.got, tt.template, d)
		}
	}
}
