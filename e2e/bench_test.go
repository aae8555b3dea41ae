package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestBench loads a store, uses a cluster on it, and measures its floor.
func TestBench(t *testing.T) {
	t.Parallel()
	c, err := startRoles("bench", 1, []string{"login", "friend", "group", "storage"})
	if err != nil {
		t.Fatal(err)
	}
	run := func(into any, args ...string) {
		t.Helper()
		stdout, stderr, err := runToEnd(c.roles.env, append([]string{"bench"}, args...)...)
		if err != nil {
			t.Fatalf("sponge bench %s: %v\n%s", strings.Join(args, " "), err, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), into); err != nil {
			t.Fatalf("%v in:\n%s", err, stdout)
		}
	}
	load := []string{"load", "--accounts", "30", "--groups", "5", "--messages", "300", "--long", "150", "--members", "20", "--json"}
	var loaded struct {
		FirstAccount, LastAccount, FirstGroup, LastGroup, LargeGroup, LongSeq int
		Password                                                              string
	}
	run(&loaded, load...)
	if loaded.FirstAccount != 1 || loaded.LastAccount != 30 || loaded.LastGroup != 5 || loaded.LargeGroup != 6 || loaded.LongSeq != 150 {
		t.Errorf("loaded %+v", loaded)
	}
	_, stderr, err := runToEnd(c.roles.env, append([]string{"bench"}, load...)...)
	if err == nil || !strings.Contains(stderr, "--yes") {
		t.Errorf("a store in use was loaded: %v\n%s", err, stderr)
	}

	conn := dial(t, c.edge(0))
	me := account{id: 1, password: loaded.Password}
	conn.sendLogin(me, "")
	conn.wantReply(`{"msgType":101,"code":0,"USERID":1,"name":"$text","token":"$text","unread":"$count"}`)
	conn.must(conn.call(`{"msgType":16,"TOID":30,"before":51,"limit":1}`),
		`{"msgType":116,"code":0,"messages":[{"msgType":4,"FROMID":30,"TOID":1,"msg":"$text","sendTime":"$count",`+
			`"seq":50,"msgId":"$text","time":"$count"}],"more":true,"lastSeq":150}`)
	conn.must(conn.call(`{"msgType":9,"GROUPID":6,"msg":"all of you"}`),
		`{"msgType":109,"code":0,"GROUPID":6,"seq":1,"msgId":"$text","time":"$count"}`)

	var floor struct {
		Slowest          string
		SlowestPerSecond float64
		HopsP50Ms        float64
		ChatRatio        float64
		Stages           []struct{ Stage string }
		Chat             struct{ Acked, Lost, Duplicated int }
	}
	run(&floor, "floor", "--addr", c.edge(0), "--duration", "300ms", "--warmup", "0s", "--settle", "20s", "--rate", "50", "--json")
	if len(floor.Stages) != 4 || floor.Slowest == "" || floor.SlowestPerSecond <= 0 || floor.HopsP50Ms <= 0 ||
		floor.ChatRatio <= 0 || floor.Chat.Acked == 0 || floor.Chat.Lost+floor.Chat.Duplicated > 0 {
		t.Errorf("%+v", floor)
	}
}
