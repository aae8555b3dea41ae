package archive

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sponge/pkg/queue"
)

// threeRuns is an archive of three manifests, and its log.
func threeRuns(t testing.TB) (*dir, func(CheckConfig) (*Report, error), []Head) {
	t.Helper()
	log, s := newLog(), dirStore(t)
	var heads []Head
	for range 3 {
		fill(t, log, 20)
		heads = append(heads, runOnce(t, archiver(log, s)).Head)
	}
	return s, func(cfg CheckConfig) (*Report, error) {
		if cfg.Key == nil {
			cfg.Key = public(key(1))
		}
		return Check(t.Context(), s, cfg)
	}, heads
}

func names(t testing.TB, s Store, prefix string) []string {
	t.Helper()
	var out []string
	for name, err := range s.Names(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, name)
	}
	return out
}

// overwrite does what no store lets anybody do.
func overwrite(t testing.TB, s *dir, name string, b []byte) {
	t.Helper()
	path := s.path(name)
	os.Remove(path) // it may not be writable, or not there
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func slurp(t testing.TB, s *dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wants fails unless err is a Fault of this reason that names name.
func wants(t testing.TB, err, reason error, name string) {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) || !errors.Is(err, reason) || f.Name != name {
		t.Errorf("got %v, want %s: %v", err, name, reason)
	}
}

// TestEveryFlippedBitIsFound flips a bit in every byte of every file and
// manifest: each by itself must be found, and its file named.
func TestEveryFlippedBitIsFound(t *testing.T) {
	t.Parallel()
	log, s := newLog(), dirStore(t)
	for range 2 {
		fill(t, log, 2)
		runOnce(t, archiver(log, s))
	}
	for _, name := range names(t, s, "") {
		whole := slurp(t, s, name)
		for i := range whole {
			b := bytes.Clone(whole)
			b[i] ^= 1 << (i % 8)
			overwrite(t, s, name, b)
			_, err := Check(t.Context(), s, CheckConfig{Key: public(key(1))})
			var f *Fault
			if !errors.As(err, &f) || f.Name != name {
				t.Fatalf("bit %d of byte %d of %s: got %v", i%8, i, name, err)
			}
			if !strings.HasPrefix(name, manifestDir) && !errors.Is(err, ErrHash) {
				t.Fatalf("byte %d of %s: got %v", i, name, err)
			}
		}
		overwrite(t, s, name, whole)
	}
	if _, err := Check(t.Context(), s, CheckConfig{Key: public(key(1))}); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

func TestFilesThatAreNotWhatTheyWere(t *testing.T) {
	t.Parallel()
	s, check, _ := threeRuns(t)
	files := names(t, s, storage)
	name, other := files[1], slurp(t, s, files[0])
	whole := slurp(t, s, name)
	for _, c := range []struct {
		what   string
		change func()
		reason error
	}{
		{"removed", func() { os.Remove(s.path(name)) }, ErrMissing},
		{"cut", func() { overwrite(t, s, name, whole[:len(whole)-7]) }, ErrSize},
		{"empty", func() { overwrite(t, s, name, nil) }, ErrSize},
		{"longer", func() { overwrite(t, s, name, append(bytes.Clone(whole), 0)) }, ErrSize},
		{"another's", func() { overwrite(t, s, name, other) }, ErrSize},
	} {
		c.change()
		_, err := check(CheckConfig{})
		wants(t, err, c.reason, name)
		// Who only reads finds it, too.
		r, err := NewReader(t.Context(), s, nil)
		if err != nil {
			t.Fatal(err)
		}
		var rerr error
		for p := range 2 {
			b, _ := r.Bounds(t.Context(), storage)
			_, err := readRange(t.Context(), r, storage, p, b[p])
			rerr = errors.Join(rerr, err)
		}
		wants(t, rerr, c.reason, name)
		overwrite(t, s, name, whole)
	}
	if _, err := check(CheckConfig{}); err != nil {
		t.Fatal(err)
	}
}

func TestManifestsThatAreNotWhatTheyWere(t *testing.T) {
	t.Parallel()
	s, check, heads := threeRuns(t)
	one, two, three := manifestName(1), manifestName(2), manifestName(3)
	whole := map[string][]byte{}
	for _, name := range []string{one, two, three} {
		whole[name] = slurp(t, s, name)
	}
	forge := func(n int64, k ed25519.PrivateKey, change func(*Manifest)) []byte {
		m, err := open(whole[manifestName(n)], n, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(&m.Manifest)
		b, err := m.seal(k)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	drop := func(m *Manifest) { m.Files = m.Files[1:] }
	mine, thief := key(1), key(2)
	for _, c := range []struct {
		what   string
		change func()
		reason error
		name   string
	}{
		{"the first removed", func() { os.Remove(s.path(one)) }, ErrNumber, one},
		{"one in the middle removed", func() { os.Remove(s.path(two)) }, ErrNumber, two},
		{"two swapped", func() { overwrite(t, s, two, whole[three]); overwrite(t, s, three, whole[two]) }, ErrNumber, two},
		{"one moved up", func() { overwrite(t, s, two, whole[three]); os.Remove(s.path(three)) }, ErrNumber, two},
		{"signed by another key", func() { overwrite(t, s, two, forge(2, thief, drop)) }, ErrKey, two},
		{"altered, not signed again", func() {
			overwrite(t, s, two, bytes.Replace(whole[two], []byte(`"records":20`), []byte(`"records":21`), 1))
		}, ErrSignature, two},
		{"cut", func() { overwrite(t, s, two, whole[two][:100]) }, ErrManifest, two},
		{"a field beside", func() { overwrite(t, s, two, append(bytes.TrimSuffix(whole[two], []byte("}\n")), `,"x":1}`...)) }, ErrManifest, two},
		{"a newer format", func() { overwrite(t, s, three, forge(3, mine, func(m *Manifest) { m.Format = Format + 1 })) }, ErrFormat, three},
		{"a stranger's file", func() { overwrite(t, s, manifestDir+"x.json", nil) }, ErrManifest, manifestDir + "x.json"},

		// With the key itself: what it did not sign in this order is found, and what
		// does not add up.
		{"rewritten with the key", func() { overwrite(t, s, two, forge(2, mine, func(m *Manifest) { m.Time = m.Time.Add(1) })) }, ErrChain, three},
		{"the first names one before", func() { overwrite(t, s, one, forge(1, mine, func(m *Manifest) { m.Previous = heads[2].Hash })) }, ErrChain, one},
		{"another namespace", func() { overwrite(t, s, three, forge(3, mine, func(m *Manifest) { m.Namespace = "x." })) }, ErrNamespace, three},
		{"a file left out at the end", func() { overwrite(t, s, three, forge(3, mine, drop)) }, ErrGap, three},
		{"a file twice", func() {
			overwrite(t, s, three, forge(3, mine, func(m *Manifest) { m.Files = append(m.Files, m.Files[0]) }))
		}, ErrGap, ""},
		{"more held than files", func() {
			overwrite(t, s, three, forge(3, mine, func(m *Manifest) { m.Held["sponge.dead"][0] = Span{Next: 3} }))
		}, ErrGap, three},
		{"wrong hash of the last record", func() {
			overwrite(t, s, three, forge(3, mine, func(m *Manifest) {
				f := &m.Files[0]
				f.LastHash = strings.Repeat("0", 32)
				held := m.Held[f.Topic][f.Partition]
				held.LastHash = f.LastHash
				m.Held[f.Topic][f.Partition] = held
			}))
		}, ErrContent, ""},
		{"a file elsewhere", func() {
			overwrite(t, s, three, forge(3, mine, func(m *Manifest) { m.Files[0].Path = storage + "/../../x" }))
		}, ErrManifest, three},
		{"wrong count", func() { overwrite(t, s, three, forge(3, mine, func(m *Manifest) { m.Files[0].Records-- })) }, ErrContent, ""},
		{"wrong length", func() { overwrite(t, s, three, forge(3, mine, func(m *Manifest) { m.Files[0].Unpacked-- })) }, ErrContent, ""},
		{"wrong times", func() { overwrite(t, s, three, forge(3, mine, func(m *Manifest) { m.Files[0].MaxTime++ })) }, ErrContent, ""},
		{"wrong number of records", func() { overwrite(t, s, three, forge(3, mine, func(m *Manifest) { m.Files[0].Records = 1 << 40 })) }, ErrManifest, three},
	} {
		t.Run(c.what, func(t *testing.T) {
			c.change()
			_, err := check(CheckConfig{})
			if c.name == "" {
				if !errors.Is(err, c.reason) {
					t.Errorf("got %v, want %v", err, c.reason)
				}
			} else {
				wants(t, err, c.reason, c.name)
			}
		})
		os.Remove(s.path(manifestDir + "x.json"))
		for name, b := range whole {
			overwrite(t, s, name, b)
		}
	}
	if _, err := check(CheckConfig{}); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// TestACutTailNeedsAHead: manifests alone cannot tell that the last of them and
// its files went; the head that somebody wrote down can.
func TestACutTailNeedsAHead(t *testing.T) {
	t.Parallel()
	s, check, heads := threeRuns(t)
	for _, h := range heads {
		if _, err := check(CheckConfig{Head: h}); err != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
	_, err := check(CheckConfig{Head: Head{2, heads[0].Hash}})
	wants(t, err, ErrHead, manifestName(2))
	_, err = check(CheckConfig{Head: Head{4, heads[2].Hash}})
	wants(t, err, ErrHead, manifestName(4))
	os.Remove(s.path(manifestName(3)))
	rep, err := check(CheckConfig{})
	if err != nil || len(rep.Unnamed) != 3 {
		t.Errorf("got %v, %v", rep, err)
	}
	_, err = check(CheckConfig{Head: heads[2]})
	wants(t, err, ErrHead, manifestName(3))
}

func TestWithoutATrustedKey(t *testing.T) {
	t.Parallel()
	s, _, _ := threeRuns(t)
	if rep, err := Check(t.Context(), s, CheckConfig{}); err != nil || !rep.Key.Equal(public(key(1))) {
		t.Errorf("got %v, %v", rep, err)
	}
	m, err := load(t.Context(), s, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.seal(key(2))
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, s, manifestName(3), b)
	_, err = Check(t.Context(), s, CheckConfig{})
	wants(t, err, ErrKey, manifestName(3))
	_, err = Check(t.Context(), s, CheckConfig{Key: public(key(3))})
	wants(t, err, ErrKey, manifestName(1))
}

// TestLinesThatDoNotAddUp: of a file whose lines were altered, also with a
// manifest signed for it, what its manifest says must hold.
func TestLinesThatDoNotAddUp(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func([]string) []string{
		"one left out":   func(l []string) []string { return slices.Delete(l, 3, 4) },
		"two swapped":    func(l []string) []string { l[3], l[4] = l[4], l[3]; return l },
		"one twice":      func(l []string) []string { return slices.Insert(l, 3, l[3]) },
		"one unreadable": func(l []string) []string { l[3] = strings.Replace(l[3], `"time":`, `"tome":`, 1); return l },
		"no JSON":        func(l []string) []string { l[3] = strings.Replace(l[3], `"frame":{`, `"frame":[`, 1); return l },
		"none":           func(l []string) []string { return nil },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			log, s := newLog(), dirStore(t)
			fill(t, log, 10)
			zip, err := newEncoder()
			if err != nil {
				t.Fatal(err)
			}
			w, err := newFileWriter(t.Context(), s, zip, storage, 0, 0, day(start))
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, m := range readBack(t, log, storage, 0) {
				lines = append(lines, string(AppendLine(nil, &m)))
				w.file.Last = m.Offset
				w.file.Records++
				w.file.Unpacked += int64(len(lines[len(lines)-1]) + 1)
			}
			for _, l := range change(lines) {
				zip.Write([]byte(l + "\n"))
			}
			f, err := w.commit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m := &Manifest{Format: Format, Number: 1, Held: map[string]map[int]Span{storage: {0: {0, 10, f.LastHash}}}, Files: []File{f}}
			b, err := m.seal(key(1))
			if err != nil {
				t.Fatal(err)
			}
			if err := put(t.Context(), s, manifestName(1), b); err != nil {
				t.Fatal(err)
			}
			_, err = Check(t.Context(), s, CheckConfig{Key: public(key(1))})
			wants(t, err, ErrContent, f.Path)
		})
	}
}

func TestArchiveAgainstTopics(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		change func(m *queue.Message)
		says   string
	}{
		"the frame":  {func(m *queue.Message) { m.Value = []byte(`{}`) }, "offset 7 has other bytes"},
		"the key":    {func(m *queue.Message) { m.Key = nil }, "offset 7 has key"},
		"the header": {func(m *queue.Message) { m.Header = bytes.ToUpper(m.Header) }, "offset 7 has other headers"},
		"one more":   {func(m *queue.Message) { m.Rest = []queue.Header{{Key: "x"}} }, "offset 7 has other headers"},
		"the time":   {func(m *queue.Message) { m.Time = m.Time.Add(time.Millisecond) }, "offset 7 has time"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			log, s := newLog(), dirStore(t)
			fill(t, log, 10)
			runOnce(t, archiver(log, s))
			fill(t, log, 10) // not archived yet
			log.Drop(storage, 1, 4)
			if rep, err := Check(t.Context(), s, CheckConfig{Topics: log}); err != nil || rep.Compared != 17 {
				t.Fatal(rep, err)
			}
			if !log.Change(storage, 1, 7, c.change) {
				t.Fatal("nothing to change")
			}
			_, err := Check(t.Context(), s, CheckConfig{Topics: log})
			wants(t, err, ErrDiffers, storage+"/1")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	log, s := newLog(), dirStore(t)
	fill(t, log, 10)
	runOnce(t, archiver(log, s))
	log.Truncate(storage, 0, 9)
	_, err := Check(t.Context(), s, CheckConfig{Topics: log})
	wants(t, err, ErrDiffers, storage+"/0")
	fill(t, log, 10)
	_, err = Check(t.Context(), s, CheckConfig{Topics: log}) // made anew, as it were
	wants(t, err, ErrDiffers, storage+"/0")
	log.Drop(storage, 0, 12)
	_, err = Check(t.Context(), s, CheckConfig{Topics: log})
	wants(t, err, ErrGap, storage+"/0")
}

func TestHeads(t *testing.T) {
	t.Parallel()
	want := Head{12, strings.Repeat("0a", 32)}
	if got, err := ParseHead(want.String()); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"", "12", "12:", "0:" + want.Hash, "x:" + want.Hash, "12:" + want.Hash[2:]} {
		if _, err := ParseHead(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

// TestManifestIsJSON: a reader who has no Sponge can make sense of it.
func TestManifestIsJSON(t *testing.T) {
	t.Parallel()
	s, _, _ := threeRuns(t)
	var got struct {
		Manifest  map[string]any
		PublicKey string
		Signature string
	}
	if err := json.Unmarshal(slurp(t, s, manifestName(2)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Manifest["number"] != 2.0 || got.PublicKey != KeyText(public(key(1))) || len(got.Manifest["files"].([]any)) != 3 {
		t.Errorf("got %+v", got)
	}
	if _, err := os.Stat(filepath.Join(s.root, manifestDir)); err != nil {
		t.Error(err)
	}
}
