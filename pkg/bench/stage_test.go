package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// fakeStage carries items in memory.
type fakeStage struct {
	most int // items that it has; 0: no end
	lose func(int64) bool
	err  error
}

func (s *fakeStage) Saturate(ctx context.Context, done func(int)) error {
	for n := 0; ctx.Err() == nil && (s.most == 0 || n < s.most); n += 10 {
		done(10)
	}
	return s.err
}

func (s *fakeStage) Carry(ctx context.Context, items <-chan int64, arrived func(int64)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case i := <-items:
			if s.err != nil {
				return s.err
			}
			if s.lose == nil || !s.lose(i) {
				arrived(i)
			}
		}
	}
}

func stageOptions() Options {
	return Options{Duration: 100 * time.Millisecond, Warmup: 20 * time.Millisecond, Settle: time.Second}
}

func TestSaturateCountsUntilTheTimeIsOver(t *testing.T) {
	t.Parallel()
	flow, err := Saturate(t.Context(), stageOptions(), "fake", &fakeStage{})
	if err != nil || flow.PerSecond <= 0 || flow.Seconds < 0.05 {
		t.Errorf("%+v, %v", flow, err)
	}
}

// A stage that has nothing left ends the measurement, warm-up or not.
func TestSaturateEndsWithTheStage(t *testing.T) {
	t.Parallel()
	o := stageOptions()
	o.Warmup, o.Duration = time.Hour, time.Hour
	flow, err := Saturate(t.Context(), o, "fake", &fakeStage{most: 1000})
	if items := flow.PerSecond * flow.Seconds; err != nil || items < 999 || items > 1001 {
		t.Errorf("%+v, %v: not 1000 items", flow, err)
	}
	if _, err := Saturate(t.Context(), o, "fake", &fakeStage{most: -1}); !errors.Is(err, errIdle) {
		t.Errorf("a stage that carried nothing: %v", err)
	}
}

func TestPaceMeasuresEveryItem(t *testing.T) {
	t.Parallel()
	hop, err := Pace(t.Context(), stageOptions(), "fake", 1000, &fakeStage{})
	if err != nil || hop.Ms.Max <= 0 || hop.PerSecond != 1000 {
		t.Errorf("%+v, %v", hop, err)
	}
}

func TestPaceTellsOfItemsThatDidNotArrive(t *testing.T) {
	t.Parallel()
	o := stageOptions()
	o.Settle = 50 * time.Millisecond
	_, err := Pace(t.Context(), o, "fake", 1000, &fakeStage{lose: func(i int64) bool { return i == 60 }})
	if err == nil || !strings.Contains(err.Error(), "of 120 items 119") {
		t.Errorf("one item was lost: %v", err)
	}
}

func TestStagesThatFail(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	o := stageOptions()
	o.Duration, o.Settle = time.Hour, time.Hour
	if _, err := Pace(t.Context(), o, "fake", 1000, &fakeStage{err: broken}); !errors.Is(err, broken) {
		t.Errorf("Pace: %v", err)
	}
	if _, err := Saturate(t.Context(), o, "fake", &fakeStage{err: broken, most: 10}); !errors.Is(err, broken) {
		t.Errorf("Saturate: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Pace(ctx, o, "fake", 1000, &fakeStage{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Pace, interrupted: %v", err)
	}
	if _, err := Saturate(ctx, o, "fake", &fakeStage{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Saturate, interrupted: %v", err)
	}
}
