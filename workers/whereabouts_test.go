package workers

import (
	"fmt"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"sponge/infra/local"
	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/presence"
	"sponge/pkg/protocol"
)

// TestPushesFollowWhoMoves: what is sent to where somebody was reaches where
// they are, too, and nobody is sent the same twice.
func TestPushesFollowWhoMoves(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server, err := local.StartRedis(ctx, local.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })

	nodes := []string{"a:1", "b:1"}
	writers := map[string]*presence.Writer{}
	for _, n := range nodes {
		writers[n] = presence.NewWriter(client, "", n)
		if _, err := writers[n].Renew(ctx); err != nil {
			t.Fatal(err)
		}
		if err := client.XAdd(ctx, &redis.XAddArgs{Stream: channel.Key("", n), ID: "0-1", Values: []any{channel.Field, ""}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	move := func(node string, user int64, conn uint64, there bool) {
		t.Helper()
		if err := writers[node].Write(ctx, []presence.Change{{User: user, Conn: conn, There: there}}); err != nil {
			t.Fatal(err)
		}
	}
	a := &announcer{redis: client, presence: presence.NewReader(client, "")}
	a.start(nil)
	seq := int64(0)
	// say has user 1, on connection 7 of a:1, write to user 2, and returns who gets
	// what, as "node/connection".
	say := func() (pushed, answered []string) {
		t.Helper()
		seq++
		before := map[string]int64{}
		for _, n := range nodes {
			before[n] = client.XLen(ctx, channel.Key("", n)).Val()
		}
		j := &job{
			frames:   []*Frame{{User: 1, Envelope: envelope.Envelope{Node: "a:1", Conn: 7, Request: 1}}},
			outcomes: []Outcome{{Reply: []byte("{}\n"), Push: &Push{Conversation: protocol.Conversation{A: 1, B: 2}, Seq: seq, Payload: []byte("{}\n")}}},
		}
		if err := a.announce(ctx, j); err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			entries := client.XRange(ctx, channel.Key("", n), "-", "+").Val()
			for _, e := range entries[before[n]:] {
				err := channel.Decode([]byte(e.Values[channel.Field].(string)), func(r *channel.Result) {
					for _, conn := range r.Conns {
						place := fmt.Sprintf("%s/%d", n, conn)
						if r.Push {
							pushed = append(pushed, place)
						} else {
							answered = append(answered, place)
						}
					}
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		return pushed, answered
	}
	expect := func(what string, places ...string) {
		t.Helper()
		pushed, answered := say()
		slices.Sort(pushed)
		if !slices.Equal(pushed, places) || !slices.Equal(answered, []string{"a:1/7"}) {
			t.Errorf("%s: pushed to %q, answered %q; want %q", what, pushed, answered, places)
		}
	}
	move("a:1", 1, 7, true)
	expect("nobody is there")
	move("a:1", 2, 3, true)
	expect("2 has come", "a:1/3")
	expect("2 is still there", "a:1/3")
	move("b:1", 2, 4, true)
	expect("2 has a second device", "a:1/3", "b:1/4")
	move("a:1", 2, 3, false)
	expect("the first one is gone, which the edge knows", "a:1/3", "b:1/4")
	expect("and workers, then", "b:1/4")
}
