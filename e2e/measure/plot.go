package main

import (
	"bytes"
	"errors"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// plotAll writes what can be plotted of the records into a folder.
func plotAll(dir string, records []record) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, panels := range map[string]func([]record) ([]*plot.Plot, error){"latency.svg": latencyPlot, "memory.svg": memoryPlot} {
		drawn, err := panels(records)
		switch {
		case errors.Is(err, errNothing):
			say("no %s: it takes two points at least", name)
			continue
		case err != nil:
			return err
		}
		text, err := svg(drawn)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

var errNothing = errors.New("nothing to plot")

// latencyPlot is the latency by rate. The last two points are where it was too
// much.
func latencyPlot(records []record) ([]*plot.Plot, error) {
	p := newPlot("Latency by rate: from when a message was due to its arrival", "messages a second", "ms, medians of runs")
	err := addLines(p, records, "rate",
		line{"p50", false, func(r *record) float64 { return r.Bench.EndToEndMs.P50 }},
		line{"p99", true, func(r *record) float64 { return r.Bench.EndToEndMs.P99 }})
	logarithmic(&p.X)
	logarithmic(&p.Y)
	return []*plot.Plot{p}, err
}

// memoryPlot is an edge's memory by idle connections: for each, and in all.
func memoryPlot(records []record) ([]*plot.Plot, error) {
	each := newPlot("Memory of the edge for each idle connection", "logged-in connections", "KiB a connection")
	err := addLines(each, records, "idle", line{"growth", false, func(r *record) float64 { return float64(r.Bench.BytesPerConnection) / 1024 }})
	each.Legend.Top, each.Legend.YOffs = false, vg.Points(6) // the line is above
	total := newPlot("Resident memory of the edges in all", "logged-in connections", "MiB")
	err = errors.Join(err, addLines(total, records, "idle",
		line{"resident", false, func(r *record) float64 { return float64(r.Resident["edge"]) / (1 << 20) }}))
	for _, p := range []*plot.Plot{each, total} {
		p.Y.Min, p.Y.Max = 0, 1.15*p.Y.Max
		logarithmic(&p.X)
	}
	return []*plot.Plot{each, total}, err
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = vg.Points(8)
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding, p.Legend.XOffs, p.Legend.YOffs = vg.Points(3), vg.Points(10), vg.Points(-4)
	sans := func(f *font.Font, size float64) { f.Variant, f.Size = "Sans", vg.Points(size) }
	sans(&p.Title.TextStyle.Font, 13)
	sans(&p.Legend.TextStyle.Font, 11)
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		sans(&a.Label.TextStyle.Font, 11)
		sans(&a.Tick.Label.Font, 10)
		a.Label.Padding = vg.Points(4)
	}
	return p
}

// line is one value of every build's records.
type line struct {
	name   string
	dashed bool
	of     func(*record) float64
}

// addLines adds each line once a build, over the points of the cases of one
// kind, and a grid.
func addLines(p *plot.Plot, records []record, kind string, lines ...line) error {
	var counted []record
	for _, r := range records {
		if r.Bench.Case == kind && r.Point > 0 && r.Error == "" {
			counted = append(counted, r)
		}
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{210}, color.Gray{210}
	p.Add(grid)
	builds, of := groupBy(counted, func(r *record) string { return r.Build })
	most := 0
	for i, b := range builds {
		for _, l := range lines {
			points := l.points(of[b])
			most = max(most, len(points))
			drawn, dots, err := plotter.NewLinePoints(points)
			if err != nil {
				return err
			}
			drawn.Color, dots.Color = hue(i), hue(i)
			drawn.Width, dots.Radius, dots.Shape = vg.Points(1.6), vg.Points(2.6), draw.CircleGlyph{}
			if l.dashed {
				drawn.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
			}
			p.Add(drawn, dots)
			name := l.name
			if len(builds) > 1 {
				name += ", " + b
			}
			if len(builds)*len(lines) > 1 {
				p.Legend.Add(name, drawn, dots)
			}
		}
	}
	if most < 2 {
		return errNothing
	}
	return nil
}

// points are medians over the runs, in the order of the points.
func (l line) points(records []record) (xys plotter.XYs) {
	points, runs := groupBy(records, func(r *record) int { return r.Point })
	for _, x := range slices.Sorted(slices.Values(points)) {
		xys = append(xys, plotter.XY{X: float64(x), Y: spreadIn(runs[x], l.of).median})
	}
	return xys
}

// hue is legible on white, and told apart by those who don't see red or green.
func hue(i int) color.Color {
	return []color.Color{color.RGBA{0, 84, 166, 255}, color.RGBA{213, 94, 0, 255}}[i%2]
}

// logarithmic makes an axis so, from one round number to another.
func logarithmic(a *plot.Axis) {
	if !(a.Min > 0) || math.IsInf(a.Min, 0) || math.IsInf(a.Max, 0) {
		return // nothing on it
	}
	ticks := roundNumbers(a.Min, a.Max)
	a.Min, a.Max = ticks[0].Value, ticks[len(ticks)-1].Value
	a.Scale, a.Tick.Marker = plot.LogScale{}, plot.ConstantTicks(ticks)
}

// roundNumbers are 1, 2, 5, 10, 20, … from the last that is not above least to
// the first that is not below most.
func roundNumbers(least, most float64) (ticks []plot.Tick) {
	for decade := math.Floor(math.Log10(least)); ; decade++ {
		for _, digit := range []float64{1, 2, 5} {
			x := digit * math.Pow(10, decade)
			if x <= least {
				ticks = ticks[:0]
			}
			label := strconv.FormatFloat(x, 'g', 6, 64)
			if x >= 1000 {
				label = number(x)
			}
			if ticks = append(ticks, plot.Tick{Value: x, Label: label}); x >= most && len(ticks) > 1 {
				return ticks
			}
		}
	}
}

// svg draws panels below each other, on white, whatever is behind.
func svg(panels []*plot.Plot) ([]byte, error) {
	const width, height, margin = 640, 340, 14 // points
	c := vgsvg.New(width, vg.Length(len(panels)*height))
	all := draw.New(c)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	rows := make([][]*plot.Plot, len(panels))
	for i, p := range panels {
		rows[i] = []*plot.Plot{p}
	}
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadTop: margin, PadBottom: margin, PadLeft: margin, PadRight: margin, PadY: 2 * margin}
	for i, row := range plot.Align(rows, tiles, all) {
		panels[i].Draw(row[0])
	}
	var out bytes.Buffer
	if _, err := c.WriteTo(&out); err != nil {
		return nil, err
	}
	// Where the font is missing, another one of its kind.
	return bytes.ReplaceAll(out.Bytes(), []byte("font-family:Liberation Sans;"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;")), nil
}
