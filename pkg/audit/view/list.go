package view

import (
	"context"
	"maps"
	"slices"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

// ListOptions are what List tells.
type ListOptions struct {
	Topics []string // none: all that the log has
	Days   int      // of which records are counted, today included, at most; 0: none
	Now    time.Time
	Zone   *time.Location // of days

	// Committed is how far the topic's consumer group has told Kafka that it is,
	// by partition; nil: not asked.
	Committed func(ctx context.Context, topic string, partitions []int) (map[int]int64, error)
	// Applied is how far workers have come, by topic and partition; nil: not known.
	Applied map[string]map[int]int64
}

// Holding is what a log holds of a topic.
type Holding struct {
	Topic   string      `json:"topic"`
	Records int64       `json:"records"` // by offsets
	Days    []Day       `json:"days,omitempty"`
	Parts   []Partition `json:"partitions"`
}

// Partition is what a log holds of a partition. What is not known is nil.
type Partition struct {
	ID        int        `json:"partition"`
	First     int64      `json:"first"` // the oldest offset
	Last      int64      `json:"last"`  // the newest; First-1 where it is empty
	Records   int64      `json:"records"`
	FirstTime *time.Time `json:"firstTime,omitempty"`
	LastTime  *time.Time `json:"lastTime,omitempty"`
	Committed *int64     `json:"committed,omitempty"` // the next offset, as the group told Kafka: lags behind a little
	Applied   *int64     `json:"applied,omitempty"`   // the next offset, as MySQL has it
	GroupLag  *int64     `json:"groupLag,omitempty"`  // records behind Committed
	Lag       *int64     `json:"lag,omitempty"`       // records behind Applied: those that wait
}

// Day is how many records came on a day.
type Day struct {
	Date    string `json:"date"` // 2006-01-02
	Records int64  `json:"records"`
}

// List tells what a log holds.
func List(ctx context.Context, log audit.Log, o ListOptions) ([]Holding, error) {
	topics := o.Topics
	if len(topics) == 0 {
		var err error
		if topics, err = known(ctx, log); err != nil {
			return nil, err
		}
		if len(topics) == 0 {
			return nil, &UnknownTopicError{Topic: audit.AllTopics()[0]}
		}
	}
	var out []Holding
	for _, topic := range topics {
		h, err := o.holding(ctx, log, topic)
		if err != nil {
			return nil, err
		}
		out = append(out, *h)
	}
	return out, nil
}

func (o *ListOptions) holding(ctx context.Context, log audit.Log, topic string) (*Holding, error) {
	held, err := bounds(ctx, log, topic)
	if err != nil {
		return nil, err
	}
	firsts, lasts := map[int]queue.Bounds{}, map[int]queue.Bounds{}
	for id, b := range held {
		firsts[id] = queue.Bounds{First: b.First, Next: min(b.First+1, b.Next)}
		lasts[id] = queue.Bounds{First: max(b.First, b.Next-1), Next: b.Next}
	}
	first, err := recordAt(ctx, log, topic, firsts)
	if err != nil {
		return nil, err
	}
	last, err := recordAt(ctx, log, topic, lasts)
	if err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(held))
	var committed map[int]int64
	if o.Committed != nil && classOf(topic) == frames {
		if committed, err = o.Committed(ctx, topic, ids); err != nil {
			return nil, err
		}
	}
	h := &Holding{Topic: topic}
	for _, id := range ids {
		b := held[id]
		p := Partition{ID: id, First: b.First, Last: b.Next - 1, Records: b.Next - b.First}
		p.FirstTime, p.LastTime = timeOf(first, id), timeOf(last, id)
		p.Committed, p.GroupLag = behind(committed, id, b)
		p.Applied, p.Lag = behind(o.Applied[topic], id, b)
		h.Records += p.Records
		h.Parts = append(h.Parts, p)
	}
	h.Days, err = o.days(ctx, log, h, held)
	return h, err
}

func timeOf(records map[int]queue.Message, id int) *time.Time {
	m, ok := records[id]
	if !ok {
		return nil
	}
	t := m.Time.Truncate(time.Millisecond)
	return &t
}

// behind is a next offset and how many records are there from it on. Who has
// come nowhere yet has everything before it.
func behind(next map[int]int64, id int, held queue.Bounds) (at, lag *int64) {
	if next == nil {
		return nil, nil
	}
	n, ok := next[id]
	lagging := held.Next - max(n, held.First)
	if ok {
		at = &n
	}
	return at, &lagging
}

// days counts the records of the last days, from the first that has any on.
func (o *ListOptions) days(ctx context.Context, log audit.Log, h *Holding, held map[int]queue.Bounds) ([]Day, error) {
	now := o.Now.In(o.Zone)
	begin := now
	for _, p := range h.Parts {
		if p.FirstTime != nil && p.FirstTime.Before(begin) {
			begin = p.FirstTime.In(o.Zone)
		}
	}
	if h.Records == 0 {
		return nil, nil
	}
	midnight := func(ago int) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()-ago, 0, 0, 0, 0, o.Zone)
	}
	var out []Day
	var before map[int]int64 // where the day begins
	for ago := o.Days - 1; ago >= -1; ago-- {
		at := midnight(ago)
		if ago >= 0 && midnight(ago-1).Before(begin) {
			continue
		}
		until := map[int]int64{}
		if ago >= 0 {
			var err error
			if until, err = log.OffsetsAt(ctx, h.Topic, at); err != nil {
				return nil, err
			}
		}
		var count int64
		for id, b := range held {
			offset, ok := until[id]
			if !ok {
				offset = b.Next
			}
			until[id] = min(max(offset, b.First), b.Next)
			count += until[id] - before[id]
		}
		if before != nil {
			out = append(out, Day{midnight(ago + 1).Format(time.DateOnly), count})
		}
		before = until
	}
	return out, nil
}
