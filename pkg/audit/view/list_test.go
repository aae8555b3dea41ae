package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

func TestList(t *testing.T) {
	t.Parallel()
	l := newFakeLog()
	hour := func(n int) time.Time { return day.Add(time.Duration(n) * time.Hour) } // from noon on
	for n := -60; n < 6; n++ {
		l.add("sponge.storage", (n+60)%2, queue.Message{Time: hour(n)})
	}
	l.first["sponge.storage"][0] = 6 // the first twelve hours are gone there
	o := ListOptions{Topics: []string{"sponge.storage", "sponge.login"}, Days: 7, Now: hour(6), Zone: time.UTC,
		Committed: func(_ context.Context, topic string, partitions []int) (map[int]int64, error) {
			if len(partitions) != fakePartitions {
				return nil, fmt.Errorf("partitions %v", partitions)
			}
			return map[int]int64{0: 30, 1: 33}, nil
		},
		Applied: map[string]map[int]int64{"sponge.storage": {0: 31, 1: 33, 2: 0}}}
	got, err := List(t.Context(), l, o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got[0])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"topic":"sponge.storage","records":60,"days":[{"date":"2026-11-21","records":18},{"date":"2026-11-22","records":24},{"date":"2026-11-23","records":18}],"partitions":[` +
		`{"partition":0,"first":6,"last":32,"records":27,"firstTime":"2026-11-21T12:00:00Z","lastTime":"2026-11-23T16:00:00Z","committed":30,"applied":31,"groupLag":3,"lag":2},` +
		`{"partition":1,"first":0,"last":32,"records":33,"firstTime":"2026-11-21T01:00:00Z","lastTime":"2026-11-23T17:00:00Z","committed":33,"applied":33,"groupLag":0,"lag":0},` +
		`{"partition":2,"first":0,"last":-1,"records":0,"applied":0,"groupLag":0,"lag":0},` +
		`{"partition":3,"first":0,"last":-1,"records":0,"groupLag":0,"lag":0}]}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if len(got) != 2 || got[1].Days != nil || got[1].Parts[0].Lag != nil {
		t.Errorf("login: %+v", got[1])
	}
	for _, format := range []string{"table", "jsonl"} {
		var out strings.Builder
		if err := WriteHoldings(&out, format, got, time.UTC); err != nil || !strings.Contains(out.String(), "2026-11-22") {
			t.Errorf("%s: %v\n%s", format, err, out.String())
		}
	}
	if err := WriteHoldings(new(strings.Builder), "csv", got, time.UTC); err == nil {
		t.Error("csv is a format of lists")
	}
}

func TestListDays(t *testing.T) {
	t.Parallel()
	l := newFakeLog()
	for n := range 240 {
		l.add("sponge.dead", 0, queue.Message{Time: day.Add(-time.Duration(240-n) * time.Hour)})
	}
	for days, want := range map[int]int{0: 0, 1: 1, 3: 3, 100: 11} {
		got, err := List(t.Context(), l, ListOptions{Topics: []string{"sponge.dead"}, Days: days, Now: day, Zone: time.UTC})
		if err != nil || len(got[0].Days) != want {
			t.Errorf("%d days: %v %v", days, got, err)
		}
	}
}

func TestListTopics(t *testing.T) {
	t.Parallel()
	l := newFakeLog()
	delete(l.topics, "sponge.dead")
	got, err := List(t.Context(), l, ListOptions{Now: day, Zone: time.UTC})
	if err != nil || len(got) != 5 {
		t.Errorf("%d topics, %v", len(got), err)
	}
	var unknown *UnknownTopicError
	if _, err := List(t.Context(), l, ListOptions{Topics: []string{"sponge.dead"}}); !errors.As(err, &unknown) {
		t.Error(err)
	}
	clear(l.topics)
	if _, err := List(t.Context(), l, ListOptions{}); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "namespace") {
		t.Error(err)
	}
	if len(audit.AllTopics()) != 6 {
		t.Error("the log has other topics")
	}
}
