package view

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// Format writes entries, one a line. It is for one goroutine.
type Format interface {
	// Head appends what stands above all entries.
	Head(dst []byte) []byte
	// Append appends an entry with its line's end.
	Append(dst []byte, e *Entry) []byte
}

// FormatConfig is what formats can be told.
type FormatConfig struct {
	Zone     *time.Location // of the table's times; jsonl and csv are in UTC
	Outcomes bool           // show them
	Width    int            // of the table's lines, in columns; 0: as wide as they are
}

// NewFormat is the format of a name: jsonl, table or csv.
func NewFormat(name string, cfg FormatConfig) (Format, error) {
	switch name {
	case "jsonl":
		return jsonl{}, nil
	case "csv":
		return csv{cfg.Outcomes}, nil
	case "table":
		return &table{cfg: cfg}, nil
	}
	return nil, fmt.Errorf("no format %q: jsonl, table and csv are", name)
}

// jsonl is one object a line, its keys in a fixed order:
//
//	time       RFC 3339 with milliseconds, UTC: arrival at the edge; of journal rows and dead letters, publication
//	topic, partition, offset
//	frameId    32 hexadecimal digits
//	kind       client; or report, sync, renew: made by the edge on the client's behalf
//	node, conn the edge node (name:nonce) and the connection's number there
//	user       whom the session proof names, else whom a login is for; left out where nobody
//	peer       the client's address
//	type       msgType; left out where there is none
//	outcome    state; journal where a row took the frame; seq of a stored message; where it was asked for
//	error, source  of dead letters: why, and where the frame stood
//	header     base64: the envelope, where it is none that this version reads
//	frame      the frame as the topic holds it; row for a journal row; raw (base64) for what is no JSON
type jsonl struct{}

// Head implements Format.
func (jsonl) Head(dst []byte) []byte { return dst }

// Append implements Format.
func (jsonl) Append(dst []byte, e *Entry) []byte {
	dst = appendTime(append(dst, `{"time":"`...), e.at(), time.UTC)
	dst = appendString(append(dst, `","topic":`...), e.Topic)
	dst = strconv.AppendInt(append(dst, `,"partition":`...), int64(e.Partition), 10)
	dst = strconv.AppendInt(append(dst, `,"offset":`...), e.Offset, 10)
	if e.enveloped {
		dst = hex.AppendEncode(append(dst, `,"frameId":"`...), e.envelope.FrameID[:])
		dst = append(append(dst, `","kind":"`...), e.envelope.Kind.String()...)
		dst = appendString(append(dst, `","node":`...), e.envelope.Node)
		dst = strconv.AppendUint(append(dst, `,"conn":`...), e.envelope.Conn, 10)
		if user := e.user(); user != 0 {
			dst = strconv.AppendInt(append(dst, `,"user":`...), user, 10)
		}
		dst = appendString(append(dst, `,"peer":`...), e.envelope.Peer)
	}
	if t := e.frameType(); t >= 0 {
		dst = strconv.AppendInt(append(dst, `,"type":`...), int64(t), 10)
	}
	dst = appendOutcome(dst, &e.Outcome)
	if e.class == dead {
		dst = appendString(append(dst, `,"error":`...), e.rest("error"))
		dst = appendString(append(dst, `,"source":`...), e.rest("source"))
	}
	if e.class != rows && !e.enveloped {
		dst = base64.StdEncoding.AppendEncode(append(dst, `,"header":"`...), e.Header)
		dst = append(dst, '"')
	}
	switch {
	case !e.json():
		dst = base64.StdEncoding.AppendEncode(append(dst, `,"raw":"`...), e.Value)
		dst = append(dst, '"')
	case e.class == rows:
		dst = append(append(dst, `,"row":`...), e.Value...)
	default:
		dst = append(append(dst, `,"frame":`...), e.Value...)
	}
	return append(dst, '}', '\n')
}

func appendOutcome(dst []byte, o *Outcome) []byte {
	if o.State == NoState {
		return dst
	}
	dst = append(append(dst, `,"outcome":{"state":"`...), o.State.String()...)
	dst = append(dst, '"')
	if o.Journal != 0 {
		dst = strconv.AppendInt(append(dst, `,"journal":`...), o.Journal, 10)
	}
	if o.Seq != 0 {
		dst = strconv.AppendInt(append(dst, `,"seq":`...), o.Seq, 10)
	}
	return append(dst, '}')
}

// appendTime appends Unix milliseconds as RFC 3339.
func appendTime(dst []byte, ms int64, zone *time.Location) []byte {
	return time.UnixMilli(ms).In(zone).AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
}

// appendString appends a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString[T string | []byte](dst []byte, s T) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	begin := 0 // of what has not been copied
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[begin:i]...), `\ufffd`...)
		} else if dst = append(dst, s[begin:i]...); c == '"' || c == '\\' {
			dst = append(dst, '\\', c)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		begin = i
	}
	return append(append(dst, s[begin:]...), '"')
}
