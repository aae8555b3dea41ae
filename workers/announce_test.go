package workers

import (
	"testing"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
)

// TestMoreTellsSince: whoever goes on with a synchronisation is told from when.
func TestMoreTellsSince(t *testing.T) {
	t.Parallel()
	for _, more := range []bool{false, true} {
		out := entries{byNode: map[string]*nodeEntry{}}
		f := &Frame{Envelope: envelope.Envelope{Kind: envelope.Sync, Node: "a:1", Conn: 7, Since: 99}}
		out.reply(f, &Outcome{Reply: []byte("{}\n"), More: more}, &whereabouts{})
		want := int64(0)
		if more {
			want = 99
		}
		err := channel.Decode(out.node("a:1").last, func(r *channel.Result) {
			if r.More != more || r.Since != want {
				t.Errorf("more %t, since %d; want %t, %d", r.More, r.Since, more, want)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}
