package view

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Place is an offset of a partition.
type Place struct {
	Topic     string // empty: the only one that is read
	Partition int    // -1: the only one that is read
	Offset    int64
}

// Bound is where reading begins or ends. The zero value is the log's own.
type Bound struct {
	Time  time.Time
	Place *Place // nil: it is a time, if anything
}

// IsZero reports whether nothing was said.
func (b Bound) IsZero() bool { return b.Time.IsZero() && b.Place == nil }

// layouts of absolute times; those without a zone are local.
var layouts = [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999", "2006-01-02T15:04", "2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05.999", "2006-01-02 15:04", "2006-01-02"}

// ParseBound reads a time or an offset: RFC 3339, 2026-11-23, "2026-11-23 12:00"
// (in zone, unless it names its own), now, so long before now (90m, -1h, 2d12h, 1w),
// sponge.storage/3@1234 or @1234.
func ParseBound(text string, now time.Time, zone *time.Location) (Bound, error) {
	text = strings.TrimSpace(text)
	if place, offset, ok := strings.Cut(text, "@"); ok {
		p, err := parsePlace(place, offset)
		if err != nil {
			return Bound{}, err
		}
		return Bound{Place: p}, nil
	}
	if text == "now" {
		return Bound{Time: now}, nil
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return Bound{Time: t}, nil
		}
	}
	if ago, err := parseAgo(strings.TrimPrefix(text, "-")); err == nil {
		return Bound{Time: now.Add(-ago)}, nil
	}
	return Bound{}, fmt.Errorf("%q is neither a time nor an offset: 2026-11-23, \"2026-11-23 12:00\", 2026-11-23T12:00:00Z, 90m (ago), 2d, "+
		"sponge.storage/3@1234 and @1234 are", text)
}

func parsePlace(place, offset string) (*Place, error) {
	p := &Place{Partition: -1}
	var err error
	if p.Offset, err = strconv.ParseInt(offset, 10, 64); err != nil || p.Offset < 0 {
		return nil, fmt.Errorf("%q is no offset", offset)
	}
	if place == "" {
		return p, nil
	}
	topic, partition, ok := strings.Cut(place, "/")
	if p.Partition, err = strconv.Atoi(partition); !ok || topic == "" || err != nil || p.Partition < 0 {
		return nil, fmt.Errorf("%q names no partition: sponge.storage/3@1234 does", place+"@"+offset)
	}
	p.Topic = TopicName(topic)
	return p, nil
}

var errNoDuration = errors.New("no duration")

// parseAgo is time.ParseDuration with days and weeks, of whole numbers.
func parseAgo(text string) (time.Duration, error) {
	var sum time.Duration
	if text == "" || text[0] < '0' || text[0] > '9' {
		return 0, errNoDuration
	}
	for text != "" {
		n := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if n < 1 {
			return 0, errNoDuration
		}
		unit := time.Duration(0)
		switch text[n] {
		case 'd':
			unit = 24 * time.Hour
		case 'w':
			unit = 7 * 24 * time.Hour
		default:
			d, err := time.ParseDuration(text)
			return sum + d, err
		}
		count, err := strconv.Atoi(text[:n])
		if err != nil || count > 100_000 {
			return 0, errNoDuration
		}
		sum += time.Duration(count) * unit
		text = text[n+1:]
	}
	return sum, nil
}

// TopicName is the topic that a person means: storage is sponge.storage.
func TopicName(text string) string {
	if strings.Contains(text, ".") {
		return text
	}
	return "sponge." + text
}
