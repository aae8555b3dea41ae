package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"sponge/pkg/envelope"
	"sponge/pkg/queue"
)

// AppendLine writes a record as a line of a file, without the newline, such that
// ParseLine gives the very same record back, whatever bytes it has:
//
//	{"offset":7,"time":"2026-11-23T03:22:51.123Z",       the record's
//	 "arrival":"…","request":3,"frameId":"0a…",          the envelope's, of the
//	 "kind":"report","since":1703078264002,              frame's first header; kind
//	 "ranges":[[6,8,1,5]],                               but for a client's own,
//	 "node":"e1:x","conn":12,"peer":"…",                 since and ranges where
//	 "user":6,"proof":"base64",                          there are any
//	 "headers":[{"key":"error","value":"…"}],            the others
//	 "key":"u:6:8","frame":{…}}                          the record's key and value
//
// A header that is no envelope, or would not be encoded again to the same bytes,
// is "header" in base64 in place of the envelope's fields. Bytes that JSON
// cannot hold as they are get a name that ends in Base64: frameBase64,
// keyBase64, valueBase64. What a record lacks is left out. Names keep their
// order; what is the same for all frames of a connection stands together, which
// is what compresses well. Times outside of the years 0 to 9999 are numbers
// (Unix milliseconds).
func AppendLine(dst []byte, m *queue.Message) []byte {
	dst = strconv.AppendInt(append(dst, `{"offset":`...), m.Offset, 10)
	dst = appendTime(append(dst, `,"time":`...), m.Time.UnixMilli())
	if m.Header != nil {
		dst = appendHeader(dst, m.Header)
	}
	if len(m.Rest) > 0 {
		dst = appendRest(dst, m.Rest)
	}
	if m.Key != nil {
		dst = appendBytes(dst, `,"key`, m.Key)
	}
	switch v := m.Value; {
	case v == nil:
	case json.Valid(v) && utf8.Valid(v) && bytes.IndexByte(v, '\n') < 0 && bytes.IndexByte(v, '\r') < 0:
		dst = append(append(dst, `,"frame":`...), v...)
	default:
		dst = appendBase64(append(dst, `,"frameBase64":`...), v)
	}
	return append(dst, '}')
}

func appendHeader(dst, header []byte) []byte {
	var e envelope.Envelope
	if e.Parse(header) != nil || !utf8.ValidString(e.Node) || !utf8.ValidString(e.Peer) ||
		!bytes.Equal(e.Append(make([]byte, 0, len(header))), header) {
		return appendBase64(append(dst, `,"header":`...), header)
	}
	dst = appendTime(append(dst, `,"arrival":`...), e.Arrival)
	dst = strconv.AppendUint(append(dst, `,"request":`...), uint64(e.Request), 10)
	dst = hex.AppendEncode(append(dst, `,"frameId":"`...), e.FrameID[:])
	dst = append(dst, '"')
	switch e.Kind {
	case envelope.FromClient:
	case envelope.Report, envelope.Sync, envelope.Renew:
		dst = append(append(append(dst, `,"kind":"`...), e.Kind.String()...), '"')
	default:
		dst = strconv.AppendUint(append(dst, `,"kind":`...), uint64(e.Kind), 10)
	}
	if e.Since != 0 {
		dst = strconv.AppendInt(append(dst, `,"since":`...), e.Since, 10)
	}
	for i, r := range e.Ranges {
		if i == 0 {
			dst = append(dst, `,"ranges":[[`...)
		} else {
			dst = append(dst, `,[`...)
		}
		for j, n := range [...]int64{r.Conversation.A, r.Conversation.B, r.From, r.To} {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendInt(dst, n, 10)
		}
		dst = append(dst, ']')
	}
	if len(e.Ranges) > 0 {
		dst = append(dst, ']')
	}
	dst = appendString(append(dst, `,"node":`...), e.Node)
	dst = strconv.AppendUint(append(dst, `,"conn":`...), e.Conn, 10)
	dst = appendString(append(dst, `,"peer":`...), e.Peer)
	if e.Proof != nil {
		dst = strconv.AppendInt(append(dst, `,"user":`...), e.Proof.User(), 10)
		dst = appendBase64(append(dst, `,"proof":`...), e.Proof[:])
	}
	return dst
}

func appendRest(dst []byte, rest []queue.Header) []byte {
	dst = append(dst, `,"headers":[`...)
	for i, h := range rest {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendBytes(dst, `{"key`, []byte(h.Key))
		if h.Value != nil {
			dst = appendBytes(dst, `,"value`, h.Value)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendBytes writes a field whose name begins with name: as a string where b is
// text, else in base64.
func appendBytes(dst []byte, name string, b []byte) []byte {
	dst = append(dst, name...)
	if !utf8.Valid(b) {
		return appendBase64(append(dst, `Base64":`...), b)
	}
	return appendString(append(dst, `":`...), b)
}

func appendBase64(dst, b []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(dst, '"'), b), '"')
}

// appendString writes s, which is UTF-8, as a JSON string.
func appendString[T string | []byte](dst []byte, s T) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	begin := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[begin:i]...)
		begin = i + 1
		if c < ' ' {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = append(dst, '\\', c)
		}
	}
	return append(append(dst, s[begin:]...), '"')
}

// Times with four digits of the year, in Unix milliseconds.
const (
	minTime = -62167219200000 // 0000-01-01
	maxTime = 253402300799999 // 9999-12-31T23:59:59.999
)

// timeForm is ISO 8601 in UTC, to the millisecond.
const timeForm = "2006-01-02T15:04:05.000Z"

func appendTime(dst []byte, ms int64) []byte {
	if ms < minTime || ms > maxTime {
		return strconv.AppendInt(dst, ms, 10)
	}
	dst = time.UnixMilli(ms).UTC().AppendFormat(append(dst, '"'), timeForm)
	return append(dst, '"')
}
