package archive

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/queue"
)

func TestFilesAndCheckpointsAreBounded(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 50)
	a := archiver(log, s)
	a.cfg.FileSize, a.cfg.Checkpoint = 4<<10, 5<<10
	var last Progress
	a.cfg.Progress = func(p Progress) { last = p }
	res := runOnce(t, a)
	if res.Files < 10 || res.Manifests < 2 || res.Head.Number != int64(res.Manifests) {
		t.Errorf("got %+v", res)
	}
	if last.Done != 101 || last.Total != 101 {
		t.Errorf("progress ended with %+v", last)
	}
	rep, err := Check(t.Context(), s, CheckConfig{Topics: log})
	if err != nil || rep.Records != 101 || rep.Compared != 101 {
		t.Errorf("got %+v, %v", rep, err)
	}
}

func TestGapsAreNeverSkipped(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 10)
	runOnce(t, archiver(log, s))
	fill(t, log, 10)
	log.Drop(storage, 1, 13)
	res, err := archiver(log, s).RunOnce(t.Context())
	var gap *GapError
	if !errors.As(err, &gap) || gap.Partition != 1 || gap.Next != 10 || gap.Held.First != 13 {
		t.Errorf("got %v", err)
	}
	if err == nil || !strings.Contains(err.Error(), "sponge.storage/1: offsets 10 to 12 are gone") {
		t.Errorf("got %v", err)
	}
	if res.Records != 11 { // all but partition 1
		t.Errorf("got %+v", res)
	}
	if err := archiver(log, s).Run(t.Context(), time.Hour); !errors.As(err, &gap) {
		t.Errorf("as a service: %v", err)
	}

	log, s = newLog(), dirStore(t)
	fill(t, log, 10)
	runOnce(t, archiver(log, s))
	log.Truncate(storage, 0, 5)
	if _, err := archiver(log, s).RunOnce(t.Context()); !errors.As(err, &gap) || !strings.Contains(err.Error(), "truncated or made anew") {
		t.Errorf("got %v", err)
	}
}

// TestTopicThatIsAnother: it goes on where the archive ends, but is not the same.
func TestTopicThatIsAnother(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 10)
	runOnce(t, archiver(log, s))
	another := newLog()
	fill(t, another, 20)
	_, err := archiver(another, s).RunOnce(t.Context())
	wants(t, err, ErrDiffers, storage+"/0")
	fill(t, log, 10)
	log.Drop(storage, 0, 10) // there is nothing left to know it by
	runOnce(t, archiver(log, s))
	if rep, err := Check(t.Context(), s, CheckConfig{Topics: log}); err != nil || rep.Records != 42 {
		t.Errorf("got %+v, %v", rep, err)
	}
}

// TestOffsetsThatABrokerLacks are no gap: the file covers them and says how many
// records it has.
func TestOffsetsThatABrokerLacks(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	for _, offset := range []int64{3, 4, 8, 12} {
		log.Add(storage, 0, queue.Message{Offset: offset, Time: start.Add(time.Duration(offset) * 10 * time.Second)})
	}
	log.Drop(storage, 0, 3)
	runOnce(t, archiver(log, s))
	rep, err := Check(t.Context(), s, CheckConfig{Topics: log})
	if err != nil || rep.Lacking != 6 || rep.Records != 4 || rep.Files != 2 {
		t.Errorf("got %+v, %v", rep, err)
	}
	log.Add(storage, 0, queue.Message{Offset: 20, Time: start})
	runOnce(t, archiver(log, s))
	r, err := NewReader(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	sameRecords(t, readBack(t, r, storage, 0), readBack(t, log, storage, 0))
}

func TestClockThatGoesBack(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	for i := range 20 {
		log.Add(storage, 0, queue.Message{Time: start.Add(time.Duration(i%2) * time.Hour)})
	}
	if res := runOnce(t, archiver(log, s)); res.Files != 2 {
		t.Errorf("got %+v", res)
	}
	r, err := NewReader(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Duration{0, time.Minute, time.Hour, 2 * time.Hour} {
		want, _ := log.OffsetsAt(t.Context(), storage, start.Add(at))
		if got, err := r.OffsetsAt(t.Context(), storage, start.Add(at)); err != nil || got[0] != want[0] {
			t.Errorf("%s: got %v, %v, want %v", at, got, err, want)
		}
	}
}

func TestLag(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 10)
	a := archiver(log, s)
	a.cfg.Lag, a.cfg.Now = time.Minute, func() time.Time { return start.Add(65 * time.Second) }
	if res := runOnce(t, a); res.Records != 11 { // of five seconds, and the journal's
		t.Errorf("got %+v", res)
	}
	a.cfg.Lag = 0
	if res := runOnce(t, a); res.Records != 10 {
		t.Errorf("got %+v", res)
	}
}

func TestAnotherKeyOrNamespace(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 1)
	runOnce(t, archiver(log, s))
	a := archiver(log, s)
	a.cfg.Key = key(2)
	_, err := a.RunOnce(t.Context())
	wants(t, err, ErrKey, manifestName(1))
	a = archiver(log, s)
	a.cfg.Namespace = "x."
	_, err = Check(t.Context(), s, CheckConfig{Namespace: &a.cfg.Namespace})
	wants(t, err, ErrNamespace, manifestName(1))
	_, err = a.RunOnce(t.Context())
	wants(t, err, ErrNamespace, manifestName(1))
}

// hooked is a Store whose commits can be looked into.
type hooked struct {
	Store
	commit func(name string, do func() error) error
	write  func(p []byte) error
}

type hookedBlob struct {
	Blob
	h *hooked
}

func (h *hooked) Create(ctx context.Context) (Blob, error) {
	b, err := h.Store.Create(ctx)
	return &hookedBlob{b, h}, err
}

func (b *hookedBlob) Write(p []byte) (int, error) {
	if b.h.write != nil {
		if err := b.h.write(p); err != nil {
			return 0, err
		}
	}
	return b.Blob.Write(p)
}

func (b *hookedBlob) Commit(ctx context.Context, name string) error {
	if b.h.commit == nil {
		return b.Blob.Commit(ctx, name)
	}
	return b.h.commit(name, func() error { return b.Blob.Commit(ctx, name) })
}

func TestTwoArchiversDoNotFork(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 10)
	h := &hooked{Store: s}
	h.commit = func(name string, do func() error) error {
		if name == manifestName(1) {
			h.commit = nil
			fill(t, log, 1)
			runOnce(t, archiver(log, s)) // the other one is faster
		}
		return do()
	}
	if _, err := archiver(log, h).RunOnce(t.Context()); !errors.Is(err, ErrForked) {
		t.Errorf("got %v", err)
	}
	rep, err := Check(t.Context(), s, CheckConfig{Topics: log})
	if err != nil || rep.Records != 24 || rep.Manifests != 1 || len(rep.Unnamed) == 0 {
		t.Errorf("got %+v, %v", rep, err)
	}
	if res := runOnce(t, archiver(log, h)); res.Records != 0 {
		t.Errorf("got %+v", res)
	}
}

// TestAnswersThatGotLost: the store has what was put, the archiver thinks not.
func TestAnswersThatGotLost(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 10)
	h := &hooked{Store: s, commit: func(name string, do func() error) error { return errors.Join(do(), ErrExists) }}
	runOnce(t, archiver(log, h))
	if rep, err := Check(t.Context(), s, CheckConfig{Topics: log}); err != nil || rep.Records != 21 || len(rep.Unnamed) != 0 {
		t.Errorf("got %+v, %v", rep, err)
	}
}

func TestRunThatDiesBeforeItsManifest(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 10)
	died := errors.New("died")
	h := &hooked{Store: s, commit: func(name string, do func() error) error {
		if strings.HasPrefix(name, manifestDir) {
			return died
		}
		return do()
	}}
	if res, err := archiver(log, h).RunOnce(t.Context()); !errors.Is(err, died) || res != (Result{}) {
		t.Errorf("got %+v, %v", res, err)
	}
	if res := runOnce(t, archiver(log, s)); res.Files != 3 { // the same files are taken
		t.Errorf("got %+v", res)
	}
	if rep, err := Check(t.Context(), s, CheckConfig{Topics: log}); err != nil || len(rep.Unnamed) != 0 {
		t.Errorf("got %+v, %v", rep, err)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 10)
	h := &hooked{Store: s}
	h.write = func([]byte) error { return &fs.PathError{Op: "write", Path: s.root, Err: syscall.ENOSPC} }
	_, err := archiver(log, h).RunOnce(t.Context())
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(s.root); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	h.write = nil
	runOnce(t, archiver(log, h))
}

// TestStoreThatOverwrites: it ignores the condition, as old buckets do.
func TestStoreThatOverwrites(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 1)
	h := &hooked{Store: s, commit: func(name string, do func() error) error {
		if err := do(); !errors.Is(err, ErrExists) {
			return err
		}
		return nil
	}}
	if _, err := archiver(log, h).RunOnce(t.Context()); !errors.Is(err, ErrOverwrites) {
		t.Errorf("got %v", err)
	}
}

// failing is a Log whose storage breaks off.
type failing struct{ audit.Log }

type failingStream struct {
	audit.Stream
	left int
}

func (f failing) Open(ctx context.Context, topic string, ranges map[int]queue.Bounds) (audit.Stream, error) {
	s, err := f.Log.Open(ctx, topic, ranges)
	if topic == storage {
		s = &failingStream{s, 3}
	}
	return s, err
}

func (s *failingStream) Next(ctx context.Context, p int) ([]queue.Message, error) {
	if s.left--; s.left < 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return s.Stream.Next(ctx, p)
}

// TestWholeFilesAreKept: a run that fails keeps what it finished.
func TestWholeFilesAreKept(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	fill(t, log, 50)
	res, err := archiver(failing{log}, s).RunOnce(t.Context())
	if !errors.Is(err, io.ErrUnexpectedEOF) || res.Manifests != 1 || res.Records != 50 {
		t.Errorf("got %+v, %v", res, err)
	}
	if res := runOnce(t, archiver(log, s)); res.Records != 51 {
		t.Errorf("got %+v", res)
	}
	if rep, err := Check(t.Context(), s, CheckConfig{Topics: log}); err != nil || rep.Records != 101 || len(rep.Unnamed) != 0 {
		t.Errorf("got %+v, %v", rep, err)
	}
}

func TestService(t *testing.T) {
	t.Parallel()
	s := dirStore(t)
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		a := NewArchiver(Config{Log: log, Store: s, Key: key(1), Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx, time.Hour) }()
		for i := range 3 {
			synctest.Wait()
			fill(t, log, 5)
			time.Sleep(time.Hour)
			synctest.Wait()
			if last, err := head(ctx, s, nil); err != nil || last == nil || last.Number != int64(i+1) {
				t.Fatalf("after %d hours: %v, %v", i+1, last, err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
