package view

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// csv is RFC 4180 with a header line. Its fields are those of jsonl; what an
// entry lacks is empty.
type csv struct{ outcomes bool }

// Head implements Format.
func (c csv) Head(dst []byte) []byte {
	dst = append(dst, "time,topic,partition,offset,frameId,kind,node,conn,user,peer,type,"...)
	if c.outcomes {
		dst = append(dst, "state,journal,seq,"...)
	}
	return append(dst, "error,source,header,frame,row,raw\r\n"...)
}

// Append implements Format.
func (c csv) Append(dst []byte, e *Entry) []byte {
	dst = append(appendTime(dst, e.at(), time.UTC), ',')
	dst = append(appendField(dst, e.Topic), ',')
	dst = append(strconv.AppendInt(dst, int64(e.Partition), 10), ',')
	dst = append(strconv.AppendInt(dst, e.Offset, 10), ',')
	if e.enveloped {
		dst = append(hex.AppendEncode(dst, e.envelope.FrameID[:]), ',')
		dst = append(append(dst, e.envelope.Kind.String()...), ',')
		dst = append(appendField(dst, e.envelope.Node), ',')
		dst = append(strconv.AppendUint(dst, e.envelope.Conn, 10), ',')
		dst = append(appendNonZero(dst, e.user()), ',')
		dst = append(appendField(dst, e.envelope.Peer), ',')
	} else {
		dst = append(dst, ",,,,,,"...)
	}
	if t := e.frameType(); t >= 0 {
		dst = strconv.AppendInt(dst, int64(t), 10)
	}
	dst = append(dst, ',')
	if c.outcomes {
		dst = append(append(dst, e.Outcome.State.String()...), ',')
		dst = append(appendNonZero(dst, e.Outcome.Journal), ',')
		dst = append(appendNonZero(dst, e.Outcome.Seq), ',')
	}
	if e.class == dead {
		dst = appendField(dst, e.rest("error"))
		dst = appendField(append(dst, ','), e.rest("source"))
		dst = append(dst, ',')
	} else {
		dst = append(dst, ",,"...)
	}
	if e.class != rows && !e.enveloped {
		dst = base64.StdEncoding.AppendEncode(dst, e.Header)
	}
	dst = append(dst, ',')
	switch {
	case !e.json():
		dst = base64.StdEncoding.AppendEncode(append(dst, ",,"...), e.Value)
	case e.class == rows:
		dst = append(appendField(append(dst, ','), e.Value), ',')
	default:
		dst = append(appendField(dst, e.Value), ",,"...)
	}
	return append(dst, '\r', '\n')
}

func appendNonZero(dst []byte, n int64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(dst, n, 10)
}

// appendField quotes a field where it must be.
func appendField[T string | []byte](dst []byte, s T) []byte {
	quoted := false
	for i := range len(s) {
		if strings.IndexByte("\",\r\n", s[i]) >= 0 {
			quoted = true
			break
		}
	}
	if !quoted {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}
