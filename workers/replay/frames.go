package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sponge/pkg/audit"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/workers"
)

// Frame is a frame that has to do with a row.
type Frame struct {
	Topic     string
	Partition int
	Offset    int64
	Arrived   time.Time
	User      int64
	Text      string // as the topic has it
}

// MarshalJSON implements json.Marshaler: the frame stands as it is where it is JSON.
func (f Frame) MarshalJSON() ([]byte, error) {
	out := struct {
		Topic     string    `json:"topic"`
		Partition int       `json:"partition"`
		Offset    int64     `json:"offset"`
		Arrived   time.Time `json:"time"`
		User      int64     `json:"user,omitempty"`
		Frame     any       `json:"frame"`
	}{f.Topic, f.Partition, f.Offset, f.Arrived.UTC(), f.User, f.Text}
	if json.Valid([]byte(f.Text)) {
		out.Frame = json.RawMessage(f.Text)
	}
	return marshal(out)
}

// MarshalJSON implements json.Marshaler.
func (f Finding) MarshalJSON() ([]byte, error) {
	out := struct {
		Finding    string            `json:"finding"`
		Table      string            `json:"table,omitempty"`
		Key        map[string]string `json:"key,omitempty"`
		Production map[string]string `json:"production,omitempty"`
		Log        map[string]string `json:"log,omitempty"`
		Frames     []Frame           `json:"frames,omitempty"`
	}{Finding: f.Text, Frames: f.Frames}
	if d := f.Difference; d != nil {
		out.Table, out.Key = d.Table, map[string]string{}
		for i, k := range d.Key {
			out.Key[k] = d.At[i]
		}
		out.Production, out.Log = d.differing(d.Found, d.Made), d.differing(d.Made, d.Found)
	}
	return marshal(out)
}

// marshal is json.Marshal for people, who need no HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// differing are the values of one side that the other has otherwise.
func (d *Difference) differing(values, others []string) map[string]string {
	if values == nil {
		return nil
	}
	out := map[string]string{}
	for i, c := range d.Columns {
		if others == nil || values[i] != others[i] {
			out[c] = printable(values[i])
		}
	}
	return out
}

// framesOf is how many frames are told of for a row: the last ones.
const framesOf = 5

// String says in a sentence how the row differs.
func (d *Difference) String() string {
	switch {
	case d.Made == nil:
		return "the row is in production, and no frame in the log made it"
	case d.Found == nil:
		return "the row is missing in production"
	}
	return "the row is not what the log gives"
}

// printable shows a value: bytes as hex.
func printable(v string) string {
	if !utf8.ValidString(v) || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' }) {
		return fmt.Sprintf("0x%x", v)
	}
	return v
}

// frames looks up, for the differing rows that are shown, the frames that made
// them or should have. Only partitions that may have them are read.
func (c *verifier) frames(ctx context.Context) error {
	var looks []*look
	for i := range c.verdict.Findings {
		if f := &c.verdict.Findings[i]; f.Difference != nil {
			if l := lookFor(f); l != nil {
				looks = append(looks, l)
			}
		}
	}
	if len(looks) == 0 {
		return nil
	}
	ranges := map[string]map[int]queue.Bounds{}
	readers := map[string]*workers.Reader{}
	total := int64(0)
	for topic := range protocol.NumTopics {
		var needed bool
		for _, l := range looks {
			needed = needed || l.topic == topic
		}
		if !needed {
			continue
		}
		held, err := c.Log.Bounds(ctx, topic.Name())
		if err != nil {
			return err
		}
		parts := map[int]queue.Bounds{}
		for _, l := range looks {
			if l.topic != topic {
				continue
			}
			for id, b := range held {
				if l.key == nil || protocol.Partition(l.key, len(held)) == id {
					parts[id] = b
				}
			}
		}
		for _, b := range parts {
			total += b.Next - b.First
		}
		ranges[topic.Name()] = parts
		readers[topic.Name()] = workers.NewReader(topic)
	}
	done := int64(0)
	return audit.Merge(ctx, c.Log, ranges, func(r *audit.Record) error {
		if done++; done%10_000 == 0 {
			c.report("look for frames", done, total)
		}
		var f workers.Frame
		m := r.Message
		if readers[r.Topic].Read(&f, r.Partition, &m) != nil {
			return nil
		}
		f.Believe()
		for _, l := range looks {
			if l.topic.Name() == r.Topic && l.made(&f) {
				l.finding.add(Frame{r.Topic, r.Partition, r.Offset, time.UnixMilli(f.Time()), f.User, string(m.Value)})
			}
		}
		return nil
	})
}

func (f *Finding) add(frame Frame) {
	if f.Frames = append(f.Frames, frame); len(f.Frames) > framesOf {
		f.Frames = slices.Delete(f.Frames, 0, 1)
	}
}

// look is what frames of a finding are known by.
type look struct {
	finding *Finding
	topic   protocol.Topic
	key     []byte // of their records; nil: any
	made    func(*workers.Frame) bool
}

func lookFor(found *Finding) *look {
	d := found.Difference
	l := &look{finding: found}
	conv := protocol.Conversation{A: d.number("a"), B: d.number("b")}
	switch d.Table {
	case "users":
		l.topic = protocol.TopicLogin
		l.made = func(f *workers.Frame) bool { return f.Type == protocol.Register && isOneOf(f.Time(), d, "created_at") }
	case "groups":
		l.topic = protocol.TopicGroup
		l.made = func(f *workers.Frame) bool {
			return f.Type == protocol.CreateGroup && isOneOf(f.Time(), d, "created_at")
		}
	case "members":
		l.topic = protocol.TopicGroup
		l.made = func(f *workers.Frame) bool {
			return f.User == d.number("user_id") && (f.Type == protocol.JoinGroup && f.UserID(protocol.FieldGroup) == d.number("group_id") ||
				f.Type == protocol.CreateGroup && isOneOf(f.Time(), d, "joined_at"))
		}
	case "friends":
		l.topic = protocol.TopicFriend
		pair := protocol.Pair(d.number("user_id"), d.number("friend_id"))
		l.made = func(f *workers.Frame) bool {
			return f.Type == protocol.Befriend && protocol.Pair(f.User, f.UserID(protocol.FieldU2)) == pair
		}
	case "conversations":
		l.topic, l.key = protocol.TopicStorage, []byte(conv.String())
		l.made = func(f *workers.Frame) bool { return isChat(f) && f.Conversation() == conv }
	case "messages":
		l.topic, l.key = protocol.TopicStorage, []byte(conv.String())
		l.made = func(f *workers.Frame) bool {
			id := string(f.Envelope.FrameID[:])
			at := slices.Index(d.Columns, "frame_id")
			return isChat(f) && (d.Found != nil && d.Found[at] == id || d.Made != nil && d.Made[at] == id)
		}
	case "cursors":
		user := d.number("user_id")
		l.topic, l.key = protocol.TopicStorage, protocol.AppendUserKey(nil, user)
		l.made = func(f *workers.Frame) bool {
			if f.User != user {
				return false
			}
			return f.Type == protocol.Received && f.Envelope.Kind == envelope.FromClient && f.Conversation() == conv ||
				slices.ContainsFunc(f.Envelope.Ranges, func(r envelope.Range) bool { return r.Conversation == conv })
		}
	default:
		return nil
	}
	return l
}

func isChat(f *workers.Frame) bool { return f.Type == protocol.Chat || f.Type == protocol.GroupChat }

// isOneOf reports whether a number is in a column of either row.
func isOneOf(n int64, d *Difference, column string) bool {
	at := slices.Index(d.Columns, column)
	text := fmt.Sprint(n)
	return d.Found != nil && d.Found[at] == text || d.Made != nil && d.Made[at] == text
}
