package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// TestSecrets uses passwords and tokens, rightly and wrongly, and then reads every
// record of every topic and every log: none holds one of them.
func TestSecrets(t *testing.T) {
	t.Parallel()
	c := get(t, sharedRoles)
	a := users(t, c, 1)[0]
	const wrong = "the-wrong-secret-of-TestSecrets"
	for _, text := range []string{
		`{"msgType":1,"USERID":$,"password":@}`,
		`{"msgType":1,"USERID":$,"token":@}`,
		`{"msgType":1,"USERID":"x","password":@}`,
		`{"msgType":1,"USERID":$,"passw\u006frd":@}`,
		`{"msgType":1,"USERID":$,"PassWord":@}`,
		`{"msgType":1,"USERID":$,"password":[@]}`,
		`{"msgType":1,"USERID":$,"password":{"password":@}}`,
		`{"msgType":1,"USERID":$,"password":"x","password":@}`,
		`{"msgType":2,"name":"x","password":@}`,
		`{"msgType":2,"name":"x","password":"x","token":@}`,
		`{"msgType":4,"TOID":$,"msg":"x","password":@}`,
		`{"msgType":4,"TOID":$,"msg":"x","TOKEN":@}`,
		`{"msgType":15,"keyword":"x","token":@}`,
	} {
		a.write(strings.NewReplacer("$", fmt.Sprint(a.id), "@", js(wrong)).Replace(text) + "\n")
		a.reply()
	}
	a.sendLogin(a.account, "") // by token
	a.wantLogin(a.account, `0`)
	secrets := []string{wrong, a.password, a.token}

	records := 0
	eachRecord(t, c, func(m kafka.Message) {
		records++
		parts := [][]byte{m.Key, m.Value}
		for _, h := range m.Headers {
			parts = append(parts, []byte(h.Key), h.Value)
		}
		for _, secret := range secrets {
			if text := bytes.Join(parts, []byte(" ")); bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s/%d holds %q: %s", m.Topic, m.Partition, secret, text)
			}
		}
	})
	if records < 10 {
		t.Errorf("only %d records in the topics", records)
	}
	suite.mu.Lock()
	defer suite.mu.Unlock()
	for _, p := range suite.processes {
		log, err := os.ReadFile(p.log)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if bytes.Contains(log, []byte(secret)) {
				t.Errorf("the log of %s holds %q", p.name, secret)
			}
		}
	}
}

// eachRecord reads the topics of a deployment from their start to what is their end
// when it comes there.
func eachRecord(t *testing.T, c *cluster, visit func(kafka.Message)) {
	t.Helper()
	b := get(t, services)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := kafka.DialContext(ctx, "tcp", b.kafka.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	partitions, err := conn.ReadPartitions()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range partitions {
		if strings.HasPrefix(p.Topic, namespace(c.roles.name)) {
			readPartition(ctx, t, b.kafka.Addr(), p, visit)
		}
	}
}

func readPartition(ctx context.Context, t *testing.T, addr string, p kafka.Partition, visit func(kafka.Message)) {
	t.Helper()
	conn, err := kafka.DialLeader(ctx, "tcp", addr, p.Topic, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	first, last, err := conn.ReadOffsets()
	if err != nil {
		t.Fatal(err)
	}
	if first == last {
		return
	}
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{addr}, Topic: p.Topic, Partition: p.ID, MaxWait: 100 * time.Millisecond, ReadLagInterval: -1,
	})
	defer r.Close()
	if err := r.SetOffset(first); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		visit(m)
		if m.Offset >= last-1 {
			return
		}
	}
}
