package main

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

func canned(t *testing.T) []record {
	t.Helper()
	records, err := readRecords(filepath.Join("testdata", "records.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{9, 1, 4}, spread{1, 4, 9}},
		{[]float64{9, 1, 4, 6}, spread{1, 5, 9}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.values, got, c.want)
		}
	}
	if got := spreadOf(nil); !math.IsNaN(got.median) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestNumbersAreForPeople(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{0: "0.00", 0.004: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,234",
		12345678: "12,345,678", -1234: "-1,234", -123: "-123", math.NaN(): "–", math.Inf(1): "–"} {
		if got := number(x); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}

func TestReportComparesTwoBuilds(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := report(&out, canned(t)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| case | figure | aaaaaaa-dirty: min | median | max | bbbbbbb: min | median | max | ratio of medians, aaaaaaa-dirty ÷ bbbbbbb |\n",
		"| chat | acknowledged a second | 36,000 | 40,000 | 48,000 | 22,500 | 25,000 | 30,000 | 1.6 |\n",
		"|  | end to end, p99 ms | 22.0 | 22.0 | 22.0 | 35.2 | 35.2 | 35.2 | 0.625 |\n",
		"| latency 40000 | end to end, p50 ms | 810 | 900 | 1,080 | – | – | – | – |\n",
		"| chat | bbbbbbb | 0.30 | 0.50 | 0.00 | 0.00 | 0.00 | 0.40 | 0.30 | 0.40 | 0.05 | 1.95 | 0.25 |\n",
		"- login 0 of bbbbbbb, run 1: 503 7 times unanswered 2 times\n",
		"| login | acknowledged a second | – | – | – | – | – | – | – |\n", // its only run does not count
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if i, j := strings.Index(out.String(), "| latency 5000"), strings.Index(out.String(), "| latency 10000"); i < 0 || j < i {
		t.Errorf("points are out of order:\n%s", out.String())
	}
}

func TestReportOfOneBuildHasNoRatio(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := report(&out, of(canned(t), "bbbbbbb")); err != nil {
		t.Fatal(err)
	}
	if want := "| case | figure | min | median | max |\n|---|---|--:|--:|--:|\n| chat | acknowledged a second | 22,500 | 25,000 | 30,000 |\n"; !strings.HasPrefix(out.String(), want) || strings.Contains(out.String(), "ratio") {
		t.Errorf("%s", out.String())
	}
}

func TestFailedRunIsAnError(t *testing.T) {
	t.Parallel()
	all := canned(t)
	if err := wrong(all); err == nil || !strings.Contains(err.Error(), "login 0 of bbbbbbb, run 1: it broke") {
		t.Errorf("%v", err)
	}
	if err := wrong(of(all, "aaaaaaa-dirty")); err != nil {
		t.Error(err)
	}
}
