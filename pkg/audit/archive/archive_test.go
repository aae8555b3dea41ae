package archive

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/audit/audittest"
	"sponge/pkg/queue"
)

const (
	storage = "sponge.storage"
	journal = "sponge.journal"
)

// start is a minute before midnight, so that a partition's records have two
// days.
var start = time.Date(2026, 11, 22, 23, 59, 0, 0, time.UTC)

// key is a key pair that only tests have.
func key(seed byte) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte{seed})
	return ed25519.NewKeyFromSeed(sum[:])
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// newLog is a log with all topics.
func newLog() *audittest.Log {
	log := new(audittest.Log)
	for _, topic := range audit.AllTopics() {
		log.Create(topic, 2)
	}
	return log
}

// fill adds n records to both partitions of storage, a second apart, and one to
// the journal.
func fill(t testing.TB, log *audittest.Log, n int) {
	x := newTraffic(t, 10)
	for i := range n {
		for p := range 2 {
			m := x.next()
			m.Offset, m.Time = 0, start.Add(time.Duration(i)*time.Second)
			log.Add(storage, p, m)
		}
	}
	log.Add(journal, 0, queue.Message{Value: []byte(`{"number":1}`), Time: start})
}

func archiver(log audit.Log, s Store) *Archiver {
	return NewArchiver(Config{Log: log, Store: s, Key: key(1), Logger: slog.New(slog.DiscardHandler)})
}

func runOnce(t testing.TB, a *Archiver) Result {
	t.Helper()
	res, err := a.RunOnce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func dirStore(t testing.TB) *dir {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), "archive"), true, StoreConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return s.(*dir)
}

// readBack reads a topic's partition whole.
func readBack(t testing.TB, log audit.Log, topic string, p int) []queue.Message {
	t.Helper()
	bounds, err := log.Bounds(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	out, err := readRange(t.Context(), log, topic, p, bounds[p])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readRange(ctx context.Context, log audit.Log, topic string, p int, b queue.Bounds) (out []queue.Message, err error) {
	s, err := log.Open(ctx, topic, map[int]queue.Bounds{p: b})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for {
		m, err := s.Next(ctx, p)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, m...)
	}
}

// sameRecords compares what two logs hold of a partition.
func sameRecords(t testing.TB, got, want []queue.Message) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if d := differ(&got[i], &want[i]); d != "" {
			t.Fatal(d)
		}
	}
}

func TestArchiveAndReadBack(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 500)
	res := runOnce(t, archiver(log, s))
	// Two partitions with two days each, and the journal.
	if res.Files != 5 || res.Records != 1001 || res.Manifests != 1 || res.Head.Number != 1 {
		t.Errorf("got %+v", res)
	}
	if again := runOnce(t, archiver(log, s)); again != (Result{Head: res.Head}) {
		t.Errorf("with nothing new: %+v", again)
	}
	fill(t, log, 7)
	if res := runOnce(t, archiver(log, s)); res.Records != 15 || res.Head.Number != 2 {
		t.Errorf("got %+v", res)
	}
	r, err := NewReader(t.Context(), s, public(key(1)))
	if err != nil {
		t.Fatal(err)
	}
	for p := range 2 {
		sameRecords(t, readBack(t, r, storage, p), readBack(t, log, storage, p))
		sameRecords(t, readBack(t, r, journal, p), readBack(t, log, journal, p))
	}
	want, err := readRange(t.Context(), log, storage, 1, queue.Bounds{First: 55, Next: 503})
	if err != nil {
		t.Fatal(err)
	}
	got, err := readRange(t.Context(), r, storage, 1, queue.Bounds{First: 55, Next: 503})
	if err != nil {
		t.Fatal(err)
	}
	sameRecords(t, got, want)
	rep, err := Check(t.Context(), s, CheckConfig{Key: public(key(1)), Head: res.Head, Topics: log})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Files != 8 || rep.Records != 1016 || rep.Manifests != 2 || rep.Compared != 1016 || rep.Lacking != 0 || len(rep.Unnamed) != 0 ||
		!rep.First.Equal(start) || !rep.Last.Equal(start.Add(499*time.Second)) {
		t.Errorf("got %+v", rep)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 100)
	runOnce(t, archiver(log, s))
	var got []string
	for name, err := range s.Names(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSuffix(name, name[strings.LastIndexByte(name, '-')+1:]))
	}
	want := []string{"", "sponge.journal/2026-11-22/p000-00000000000000000000-00000000000000000000-"}
	for _, at := range []string{"2026-11-22/p000-00000000000000000000-00000000000000000059-", "2026-11-22/p001-00000000000000000000-00000000000000000059-",
		"2026-11-23/p000-00000000000000000060-00000000000000000099-", "2026-11-23/p001-00000000000000000060-00000000000000000099-"} {
		want = append(want, storage+"/"+at)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(s.root, tempPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestOffsetsAt(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 100)
	runOnce(t, archiver(log, s))
	r, err := NewReader(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Duration{-time.Hour, 0, time.Second, 1500 * time.Millisecond, 60 * time.Second, 99 * time.Second, time.Hour} {
		want, _ := log.OffsetsAt(t.Context(), storage, start.Add(at))
		got, err := r.OffsetsAt(t.Context(), storage, start.Add(at))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, %v, want %v", at, got, err, want)
		}
	}
}

func TestWhatAnArchiveDoesNotHold(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 10)
	if _, err := NewReader(t.Context(), s, nil); err == nil || !strings.Contains(err.Error(), "no archive in") {
		t.Errorf("an empty directory: %v", err)
	}
	runOnce(t, archiver(log, s))
	r, err := NewReader(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Bounds(t.Context(), "sponge.none"); !errors.Is(err, audit.ErrNoTopic) {
		t.Errorf("got %v", err)
	}
	var re *audit.RangeError
	for _, b := range []queue.Bounds{{First: 0, Next: 11}, {First: -1, Next: 3}} {
		if _, err := r.Open(t.Context(), storage, map[int]queue.Bounds{0: b}); !errors.As(err, &re) {
			t.Errorf("%v: %v", b, err)
		}
	}
	if _, err := r.Open(t.Context(), storage, map[int]queue.Bounds{5: {}}); !errors.As(err, &re) {
		t.Errorf("no such partition: %v", err)
	}
	if got, err := readRange(t.Context(), r, storage, 0, queue.Bounds{First: 20, Next: 20}); err != nil || len(got) > 0 {
		t.Errorf("an empty range: %v, %v", got, err)
	}
	if _, err := OpenStore(filepath.Join(t.TempDir(), "none"), false, StoreConfig{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such directory: %v", err)
	}
}
