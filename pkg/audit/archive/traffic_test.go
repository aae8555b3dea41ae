package archive

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sponge/pkg/envelope"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// traffic makes records of chat as edges do, between users with a connection
// each: text that does not repeat, random frame ids, true proofs.
type traffic struct {
	r      *mathrand.Rand
	words  []string
	conns  []trafficConn
	now    int64 // Unix milliseconds
	offset int64
}

type trafficConn struct {
	user    int64
	conn    uint64
	request uint32
	id      string
	peer    string
	proof   *keys.Proof
}

func newTraffic(t testing.TB, conns int) *traffic {
	key, err := keys.ParseWorkerKey(keys.Generate())
	if err != nil {
		t.Fatal(err)
	}
	x := &traffic{r: mathrand.New(mathrand.NewPCG(1, 2)), words: prose(t), now: 1795400000000}
	for i := range conns {
		_, session := keys.NewToken()
		c := trafficConn{user: int64(1000 + i), conn: uint64(i + 1), peer: fmt.Sprintf("10.0.%d.%d:%d", i/250, i%250, 30000+x.r.IntN(30000))}
		c.proof = key.Prove(c.user, session, trafficNode, c.conn, time.UnixMilli(x.now).Add(time.Hour))
		var id [6]byte
		rand.Read(id[:])
		c.id = base64.RawURLEncoding.EncodeToString(id[:])
		x.conns = append(x.conns, c)
	}
	return x
}

const trafficNode = "edge-1:3f9a1c0b"

// prose is English as people write it, word by word: that of the documents.
func prose(t testing.TB) []string {
	files, err := filepath.Glob("../../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal("no documents to take words from", err)
	}
	var words []string
	for _, name := range append(files, "../../../README.md") {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range strings.Fields(string(b)) {
			if strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,.;:'") == "" {
				words = append(words, w)
			}
		}
	}
	return words
}

// text is about 100 bytes of words in random order: each as frequent as in
// prose, but without what makes prose predictable, so harder to compress.
func (x *traffic) text() string {
	var b strings.Builder
	for b.Len() < 97 {
		b.WriteString(x.words[x.r.IntN(len(x.words))])
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

func (x *traffic) next() queue.Message {
	from := x.r.IntN(len(x.conns))
	c := &x.conns[from]
	to := x.conns[from^1].user
	c.request++
	x.now += int64(x.r.IntN(3))
	value := fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":"%s","id":"%s-%d"}`, to, x.text(), c.id, c.request)
	e := envelope.Envelope{Node: trafficNode, Conn: c.conn, Request: c.request, Arrival: x.now - int64(x.r.IntN(8)), Peer: c.peer, Proof: c.proof}
	rand.Read(e.FrameID[:])
	m := queue.Message{Offset: x.offset, Time: time.UnixMilli(x.now), Key: []byte(protocol.Pair(c.user, to).String()),
		Value: []byte(value), Header: e.Append(nil)}
	x.offset++
	return m
}

// maxRatio is what archived chat may take of what its records took.
const maxRatio = 0.40

func TestArchivesAreSmall(t *testing.T) {
	t.Parallel()
	packed, plain := pack(t, newTraffic(t, 100), 50_000)
	ratio := float64(packed) / float64(plain)
	t.Logf("%d bytes of records take %d in the archive: %.1f %%", plain, packed, 100*ratio)
	if ratio >= maxRatio {
		t.Errorf("archived records take %.1f %% of what they took, not below %.0f %%", 100*ratio, 100*maxRatio)
	}
}

func pack(t testing.TB, x *traffic, records int) (packed, plain int64) {
	s, err := openDir(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	w, err := newFileWriter(t.Context(), s, zip, "sponge.storage", 0, 0, day(time.UnixMilli(x.now)))
	if err != nil {
		t.Fatal(err)
	}
	for range records {
		m := x.next()
		plain += int64(len(m.Key) + len(m.Value) + len(m.Header))
		if err := w.add(&m); err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f.Size, plain
}

// BenchmarkLine writes and reads lines: bytes are those of the lines.
func BenchmarkLine(b *testing.B) {
	x := newTraffic(b, 100)
	var messages []queue.Message
	var lines [][]byte
	for range 1000 {
		m := x.next()
		messages, lines = append(messages, m), append(lines, AppendLine(nil, &m))
	}
	b.Run("append", func(b *testing.B) {
		var line []byte
		for i := 0; b.Loop(); i++ {
			line = AppendLine(line[:0], &messages[i%1000])
			b.SetBytes(int64(len(line)))
		}
	})
	b.Run("parse", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := ParseLine(lines[i%1000]); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(lines[i%1000])))
		}
	})
}

// BenchmarkPack compresses records into a file.
func BenchmarkPack(b *testing.B) {
	var packed, plain int64
	for b.Loop() {
		packed, plain = pack(b, newTraffic(b, 100), 10_000)
		b.SetBytes(plain)
	}
	b.ReportMetric(100*float64(packed)/float64(plain), "%")
}

// BenchmarkRead reads an archive's records through its Log, and proves them.
func BenchmarkRead(b *testing.B) {
	const records = 20_000
	log, s := newLog(), dirStore(b)
	x := newTraffic(b, 100)
	for range records {
		log.Add(storage, 0, x.next())
	}
	runOnce(b, archiver(log, s))
	b.Run("log", func(b *testing.B) {
		for b.Loop() {
			r, err := NewReader(b.Context(), s, nil)
			if err != nil {
				b.Fatal(err)
			}
			readBack(b, r, storage, 0)
		}
		b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if _, err := Check(b.Context(), s, CheckConfig{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}
