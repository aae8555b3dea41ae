package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot"
)

// words are the texts of an SVG that is well-formed.
func words(t *testing.T, text []byte) (all []string) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("no SVG: %v", err)
		}
		if chars, ok := token.(xml.CharData); ok && strings.TrimSpace(string(chars)) != "" {
			all = append(all, string(chars))
		}
	}
}

func TestPlots(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	if err := plotAll(dir, canned(t)); err != nil {
		t.Fatal(err)
	}
	for name, wanted := range map[string][]string{
		"latency.svg": {"messages a second", "ms, medians of runs", "p50, aaaaaaa-dirty", "p99, bbbbbbb", "200", "50,000", "5,000"},
		"memory.svg":  {"logged-in connections", "KiB a connection", "MiB", "growth, bbbbbbb", "resident, aaaaaaa-dirty", "1,000", "50,000", "0"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got := words(t, text)
		for _, w := range wanted {
			if !slices.Contains(got, w) {
				t.Errorf("%s lacks %q: %q", name, w, got)
			}
		}
	}
}

func TestPlotsOfOnePointAreNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := plotAll(dir, canned(t)[:2]); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestPointsAreMediansInOrder(t *testing.T) {
	t.Parallel()
	l := line{of: func(r *record) float64 { return float64(r.Run) }}
	var records []record
	for _, point := range []int{500, 200} {
		for _, run := range []int{3, 1, 20} {
			records = append(records, record{Point: point, Run: run})
		}
	}
	if xys := l.points(records); len(xys) != 2 || xys[0].X != 200 || xys[1].X != 500 || xys[0].Y != 3 {
		t.Errorf("%v", xys)
	}
}

func TestRoundNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		least, most float64
		want        string
	}{
		{200, 40_000, "200 500 1,000 2,000 5,000 10,000 20,000 50,000"},
		{1000, 1000, "1,000 2,000"},
		{0.7, 1.3, "0.5 1 2"},
		{0.02, 0.1, "0.02 0.05 0.1"},
	} {
		if got := labels(roundNumbers(c.least, c.most)); got != c.want {
			t.Errorf("%v to %v: %s, want %s", c.least, c.most, got, c.want)
		}
	}
}

func labels(ticks []plot.Tick) string {
	var all []string
	for _, tick := range ticks {
		all = append(all, tick.Label)
	}
	return strings.Join(all, " ")
}
