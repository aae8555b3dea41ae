package main

import (
	"math"
	"slices"
	"strconv"

	"sponge/pkg/bench"
)

// figure is a number of a run that is worth a row.
type figure int

const (
	acked figure = iota
	delivered
	endP50
	endP99
	ackP50
	ackP99
	perConnection
)

func (f figure) String() string {
	switch f {
	case acked:
		return "acknowledged a second"
	case delivered:
		return "delivered a second"
	case endP50:
		return "end to end, p50 ms"
	case endP99:
		return "end to end, p99 ms"
	case ackP50:
		return "acknowledged, p50 ms"
	case ackP99:
		return "acknowledged, p99 ms"
	case perConnection:
		return "bytes a connection"
	}
	return "figure " + strconv.Itoa(int(f))
}

func (f figure) of(r *bench.Result) float64 {
	switch f {
	case acked:
		return r.AckedPerSecond
	case delivered:
		return r.DeliveredPerSecond
	case endP50:
		return r.EndToEndMs.P50
	case endP99:
		return r.EndToEndMs.P99
	case ackP50:
		return r.AckMs.P50
	case ackP99:
		return r.AckMs.P99
	case perConnection:
		return float64(r.BytesPerConnection)
	}
	return math.NaN()
}

// spread is what several runs had.
type spread struct{ min, median, max float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	v := slices.Sorted(slices.Values(values))
	middle := len(v) / 2
	s := spread{min: v[0], median: v[middle], max: v[len(v)-1]}
	if len(v)%2 == 0 {
		s.median = (v[middle-1] + v[middle]) / 2
	}
	return s
}

// number writes three digits or all before the point, for people.
func number(x float64) string {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return "–"
	case math.Abs(x) >= 100:
		return thousands(strconv.FormatFloat(x, 'f', 0, 64))
	case math.Abs(x) >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// ratio writes three digits, however small it is.
func ratio(a, b float64) string {
	x := a / b
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return number(x)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

func thousands(digits string) string {
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
