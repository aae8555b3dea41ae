package view

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// table is for people: columns in line, and the frame as far as the line goes.
// What a terminal would obey instead of showing is shown as a dot.
type table struct {
	cfg    FormatConfig
	widths [8]int // of the columns so far; they only grow
	cell   []byte
}

// least widths of the columns, so that they rarely grow.
var leastWidths = [8]int{len("2006-01-02 15:04:05.000"), len("storage/63@1234567"), 8, 4, len("edge1:0123456789ab/123"), 21, 22, 0}

const (
	colTime = iota
	colPlace
	colUser
	colType
	colConn
	colPeer
	colOutcome
	colFrame
)

// Head implements Format.
func (t *table) Head(dst []byte) []byte {
	t.widths = leastWidths
	for col, name := range [...]string{"TIME", "PLACE", "USER", "TYPE", "CONNECTION", "PEER", "OUTCOME", "FRAME"} {
		if col == colOutcome && !t.cfg.Outcomes {
			continue
		}
		t.cell = append(t.cell[:0], name...)
		if col == colFrame {
			return append(append(dst, t.cell...), '\n')
		}
		dst = t.put(dst, col)
	}
	return dst
}

// Append implements Format.
func (t *table) Append(dst []byte, e *Entry) []byte {
	begin := len(dst)
	t.cell = appendTime(t.cell[:0], e.at(), t.cfg.Zone)[:len("2006-01-02T15:04:05.000")]
	t.cell[len("2006-01-02")] = ' '
	dst = t.put(dst, colTime)
	t.cell = append(t.cell[:0], strings.TrimPrefix(e.Topic, "sponge.")...)
	t.cell = strconv.AppendInt(append(t.cell, '/'), int64(e.Partition), 10)
	t.cell = strconv.AppendInt(append(t.cell, '@'), e.Offset, 10)
	dst = t.put(dst, colPlace)
	t.cell = appendNonZero(t.cell[:0], e.user())
	dst = t.put(dst, colUser)
	if t.cell = t.cell[:0]; e.frameType() >= 0 {
		t.cell = strconv.AppendInt(t.cell, int64(e.frameType()), 10)
	}
	dst = t.put(dst, colType)
	if t.cell = t.cell[:0]; e.enveloped {
		t.cell = append(appendShown(t.cell, e.envelope.Node, 0), '/')
		t.cell = strconv.AppendUint(t.cell, e.envelope.Conn, 10)
	}
	dst = t.put(dst, colConn)
	t.cell = appendShown(t.cell[:0], e.envelope.Peer, 0)
	dst = t.put(dst, colPeer)
	if t.cfg.Outcomes {
		t.cell = append(t.cell[:0], e.Outcome.State.String()...)
		if e.Outcome.Journal != 0 {
			t.cell = strconv.AppendInt(append(t.cell, " j"...), e.Outcome.Journal, 10)
		}
		if e.Outcome.Seq != 0 {
			t.cell = strconv.AppendInt(append(t.cell, " #"...), e.Outcome.Seq, 10)
		}
		dst = t.put(dst, colOutcome)
	}
	left := 0
	if t.cfg.Width > 0 {
		left = max(1, t.cfg.Width-columns(dst[begin:]))
	}
	if e.class == dead {
		t.cell = append(append(t.cell[:0], e.rest("source")...), ": "...)
		t.cell = append(append(t.cell, e.rest("error")...), ' ')
		t.cell = append(t.cell, e.Value...)
		return append(appendShown(dst, t.cell, left), '\n')
	}
	return append(appendShown(dst, e.Value, left), '\n')
}

// put appends the cell and what fills its column.
func (t *table) put(dst []byte, col int) []byte {
	n := columns(t.cell)
	t.widths[col] = max(t.widths[col], n)
	dst = append(dst, t.cell...)
	for range t.widths[col] - n + 2 {
		dst = append(dst, ' ')
	}
	return dst
}

// columns is how many of a terminal's columns b takes.
func columns(b []byte) (n int) {
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			n++
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		n += columnsOf(r)
		i += size
	}
	return n
}

// wide are the scripts whose characters take two columns.
var wide = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo, unicode.Yi}

func columnsOf(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r >= 0xFF00 && r <= 0xFF60, r >= 0x3000 && r <= 0x303F, r >= 0x1F300 && r <= 0x1FAFF, unicode.In(r, wide...):
		return 2
	}
	return 1
}

// appendShown appends text that a terminal shows as it is, at most limit columns
// of it (0: all), the last one a dot where it goes on.
func appendShown[T string | []byte](dst []byte, s T, limit int) []byte {
	begin, used := len(dst), 0
	cut := begin // behind what fits together with the dot
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		}
		if !unicode.IsPrint(r) {
			r = '·'
		}
		n := columnsOf(r)
		if limit > 0 && used+n > limit {
			return append(dst[:cut], "…"...)
		}
		dst = utf8.AppendRune(dst, r)
		if used += n; used < limit {
			cut = len(dst)
		}
		i += size
	}
	return dst
}
