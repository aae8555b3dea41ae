//go:build faults

package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"sponge/pkg/protocol"
)

// What stops partitions for good, or needs a disk of its own, has a cluster of
// its own.

// TestDiskFull fills the disk of MySQL.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	stores := filepath.Join(t.TempDir(), "small")
	if err := os.MkdirAll(stores, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", stores, "tmpfs", 0, "size=400m"); err != nil {
		t.Fatalf("a small disk is needed, and only root can mount one: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(stores, syscall.MNT_DETACH) })
	seed := runSeed(t)
	s := newStage(t, "full", clusterOptions{binary: build(t), stores: filepath.Join(stores, "mysql")}, seed)
	ballast := filepath.Join(stores, "ballast")
	full := &fault{name: "the disk of MySQL is full for 6 s", bar: backBar, doubles: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
		if err := fill(ballast); err != nil {
			return time.Time{}, err
		}
		pause(ctx, 6*time.Second)
		if err := os.Remove(ballast); err != nil {
			return time.Time{}, err
		}
		since, died, err := s.c.supervised(ctx)
		if died {
			s.t.Log("MariaDB has aborted, as it may where it finds no room for a page, and was started again")
		}
		return since, err
	}, finish: func(ctx context.Context, s *stage) error {
		return s.somebodySays("storage", "is full")
	}}
	s.report(t, s.play(full, *rounds, seed))
}

// dying is for how long a server still answers that has found that it must end:
// it writes down why.
const dying = 2 * time.Second

// supervised has MySQL started again if it has ended by itself, as whoever runs
// it does, and tells since when it answers.
func (c *cluster) supervised(ctx context.Context) (since time.Time, died bool, err error) {
	for since.IsZero() || time.Since(since) < dying {
		select {
		case <-c.mysql.Done():
			if died {
				return time.Time{}, true, c.mysql.Err()
			}
			died, since = true, time.Time{}
			if err := c.startMySQL(ctx); err != nil {
				return time.Time{}, true, err
			}
		default:
		}
		switch err := c.db.PingContext(ctx); {
		case ctx.Err() != nil:
			return time.Time{}, died, errors.Join(ctx.Err(), err)
		case err != nil:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		pause(ctx, 20*time.Millisecond)
	}
	return since, died, nil
}

// fill writes until there is no room left.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}

// somebodySays looks for a text in the logs of a group's workers.
func (s *stage) somebodySays(group, what string) error {
	for _, p := range s.c.worker[group] {
		if text, err := os.ReadFile(p.log); err != nil || bytes.Contains(text, []byte(what)) {
			return err
		}
	}
	return fmt.Errorf("no %s worker says %q", group, what)
}

// stopped is how many partitions the workers say that they have stopped.
func (s *stage) stopped() (n int, err error) {
	for _, p := range s.c.worker["storage"] {
		text, err := p.get("/metrics")
		if err != nil {
			return 0, err
		}
		n += int(metric(text, "sponge_worker_partition_stopped"))
	}
	return n, nil
}

// talkFor has everybody talk for some bursts, and wait for all answers.
func (s *stage) talkFor(ctx context.Context, bursts int) error {
	s.l.begin(false)
	for range bursts {
		select {
		case <-s.l.bursts:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.l.end()
	return s.l.settle(ctx)
}

// defaultsBar is within which partitions of a dead worker answer again where
// the broker allows no shorter sessions than Kafka's default.
const defaultsBar = 8 * time.Second

// TestFaultsAtKafkasDefaults kills workers whose sessions last for 6 s, which
// is the least that a broker allows by default.
func TestFaultsAtKafkasDefaults(t *testing.T) {
	t.Parallel()
	seed := runSeed(t)
	s := newStage(t, "defaults", clusterOptions{binary: build(t), env: []string{"SPONGE_WORKER_SESSION_TIMEOUT=6s"}}, seed)
	all := kills()
	f := all[slices.IndexFunc(all, func(f *fault) bool { return f.name == "kill -9 of a storage worker" })]
	f.name += ", sessions of 6 s"
	f.bar = defaultsBar
	s.report(t, s.play(f, *rounds, seed))
}

// TestFaultsThatLast takes services away for longer than a frame may wait for
// its answer: what Kafka did not get is refused (503), and has not happened;
// what is in doubt (504) is settled by its repeat.
func TestFaultsThatLast(t *testing.T) {
	t.Parallel()
	seed := runSeed(t)
	s := newStage(t, "last", clusterOptions{binary: build(t)}, seed)
	// Everybody tries again less and less often meanwhile.
	const away, bar = 12 * time.Second, 2 * backBar
	outage := func(name string, code protocol.Code, kill func(*cluster), start func(*cluster, context.Context) error) {
		f := &fault{name: name + " is away for 12 s", bar: bar, doubles: true, strike: func(ctx context.Context, s *stage) (time.Time, error) {
			kill(s.c)
			pause(ctx, away)
			err := start(s.c, ctx)
			return time.Now(), err
		}, finish: func(context.Context, *stage) error {
			s.h.mu.Lock()
			defer s.h.mu.Unlock()
			if s.h.codes[code] == 0 {
				return fmt.Errorf("nothing was answered with %d", code)
			}
			return nil
		}}
		s.report(t, s.play(f, *rounds, seed))
	}
	outage("Kafka", protocol.NotAccepted, func(c *cluster) {
		for _, l := range linksOf(c.edges, linkKafka) {
			l.cut() // else the proxies would take what nobody gets
		}
		c.kafka.Kill()
	}, func(c *cluster, ctx context.Context) error {
		err := c.startKafka(ctx)
		for _, l := range linksOf(c.edges, linkKafka) {
			err = errors.Join(err, l.mend())
		}
		return err
	})
	outage("Redis", protocol.Unknown, func(c *cluster) { c.redis.Kill() }, (*cluster).startRedis)
	outage("MySQL", protocol.Unknown, func(c *cluster) { c.mysql.Kill() }, (*cluster).startMySQL)
}

// TestTopicRecreated deletes the topic of chat frames and makes it anew, as
// somebody might who wants to "clean up". Its partitions stop loudly, and
// nothing is numbered anew.
func TestTopicRecreated(t *testing.T) {
	t.Parallel()
	s := newStage(t, "recreated", clusterOptions{binary: build(t)}, runSeed(t))
	s.torn = true // its records are gone
	ctx, cancel := context.WithTimeout(t.Context(), roundLimit)
	defer cancel()
	if err := s.talkFor(ctx, 6); err != nil {
		t.Fatal(err)
	}
	before, err := s.fingerprint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	name := protocol.TopicStorage.Name()
	client := &kafka.Client{Addr: kafka.TCP(s.c.kafka.Addr()), Timeout: 5 * time.Second}
	if r, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{name}}); err != nil || r.Errors[name] != nil {
		t.Fatal(err, r.Errors)
	}
	if err := s.l.until(ctx, func() error {
		r, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: storagePartitions, ReplicationFactor: 1}}})
		if err == nil {
			err = r.Errors[name]
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s.l.begin(false) // frames go into the new topic
	defer s.l.end()
	if err := s.l.until(ctx, func() error {
		n, err := s.stopped()
		if err == nil && n == 0 {
			err = errors.New("no partition has stopped")
		}
		return errors.Join(err, s.somebodySays("storage", "PARTITION STOPPED"))
	}); err != nil {
		t.Fatal(err)
	}
	for range 8 { // whatever is said now must not be stored
		<-s.l.bursts
	}
	after, err := s.fingerprint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, after) {
		t.Errorf("rows changed:\n%v\n%v", before, after)
	}
	if told := s.acknowledged(); len(told) > 0 {
		t.Errorf("%d messages were acknowledged, such as %q", len(told), told[0].text)
	}
	remember(&result{fault: &fault{name: "the topic of chat frames is deleted and made anew: its partitions stop"}, rounds: 1, again: []time.Duration{0}})
}

// fingerprint is what the conversations that everybody talks in look like.
func (s *stage) fingerprint(ctx context.Context) ([]string, error) {
	rows, err := s.c.db.QueryContext(ctx, "SELECT CONCAT_WS(' ', a, b, COUNT(*), MAX(seq), SUM(CRC32(CONCAT(seq, HEX(frame_id))))) FROM messages GROUP BY a, b ORDER BY a, b")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		out = append(out, line)
	}
	return out, rows.Err()
}

// TestStoreRestored gives MySQL an older copy of its data under running
// workers. Partitions stop loudly. When the operator, who sees that the topics
// are whole, starts the workers again, the topics give back what the copy
// lacks, under the same numbers.
func TestStoreRestored(t *testing.T) {
	t.Parallel()
	s := newStage(t, "restored", clusterOptions{binary: build(t)}, runSeed(t))
	s.torn = true // numbers of the journal were given twice
	ctx, cancel := context.WithTimeout(t.Context(), 2*roundLimit)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.talkFor(ctx, 4))
	must(s.c.mysql.Stop(ctx))
	_, err := output(exec.CommandContext(ctx, "cp", "-a", s.c.stores, s.c.stores+".copy"), os.Environ())
	must(err)
	must(s.c.startMySQL(ctx))
	must(s.talkFor(ctx, 8))
	told := s.acknowledged()

	s.c.mysql.Kill()
	must(os.RemoveAll(s.c.stores))
	must(os.Rename(s.c.stores+".copy", s.c.stores))
	must(s.c.startMySQL(ctx))
	if s.allThere(ctx, told) == nil {
		t.Fatal("the copy is not older")
	}
	s.l.begin(false)
	must(s.l.until(ctx, func() error {
		n, err := s.stopped()
		if err == nil && n == 0 {
			err = errors.New("no partition has stopped")
		}
		return errors.Join(err, s.somebodySays("storage", "PARTITION STOPPED"))
	}))
	s.l.end()

	for _, p := range s.c.workers() {
		must(p.stop())
		must(p.restart())
	}
	told = append(told, s.acknowledged()...) // by partitions that the copy was not too old for
	must(s.l.until(ctx, func() error { return s.allThere(ctx, told) }))
	remember(&result{fault: &fault{name: "MySQL is restored from an older copy: partitions stop; restarted, the topics give everything back"},
		rounds: 1, again: []time.Duration{0}, verdict: verdict{acknowledged: len(told)}})
}

// acknowledged are the messages of the chapter whose place was told.
func (s *stage) acknowledged() (out []message) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	for _, m := range s.h.texts {
		if m.seq > 0 {
			out = append(out, *m)
		}
	}
	return out
}

// allThere looks for messages in the places that were told.
func (s *stage) allThere(ctx context.Context, list []message) error {
	for _, m := range list {
		var body []byte
		err := s.c.db.QueryRowContext(ctx, "SELECT body FROM messages WHERE a = ? AND b = ? AND seq = ?", m.stream.conv.A, m.stream.conv.B, m.seq).Scan(&body)
		if err != nil || !bytes.Contains(body, []byte(`"`+m.text+`"`)) {
			return fmt.Errorf("%q was acknowledged as %s %d: %w: %s", m.text, m.stream.conv, m.seq, err, body)
		}
	}
	return nil
}
