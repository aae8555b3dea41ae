//go:build faults

package faults

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"sponge/pkg/protocol"
)

// row is a message as MySQL has it.
type row struct {
	seq    int64
	sender int64
	text   string
}

// verdict is what a chapter came to.
type verdict struct {
	sent, acknowledged int
	lost, renumbered   int
	doubles, repeats   int // on one connection; on later ones of the device
	doubled            []string
	filled             int // that came only by 16
	filledSome         []string
	unpushed           int // that came only after the device had connected anew
	slowest            time.Duration
	codes              map[protocol.Code]int
	wrong              []string
}

// checker compares the history with the rows and the topics.
type checker struct {
	c       *cluster
	l       *load
	seqs    map[protocol.Conversation]int64 // the last one of the chapter before
	offsets map[string][]int64              // behind the last record that was looked at, of each topic's partitions
	covered map[string][]int64              // behind the last record that the journal tells of, as far as it was read
	journal int64                           // its last number that was read
	told    map[int64]bool                  // numbers that the journal's topic has
	copies  map[string][]int64              // of the chapter's messages in the log: their offsets
	sums    map[protocol.Conversation]int64 // of the rows up to seqs
}

// newChecker begins at the beginning: with empty topics and tables.
func newChecker(ctx context.Context, c *cluster, l *load) (*checker, error) {
	k := &checker{c: c, l: l, seqs: map[protocol.Conversation]int64{}, offsets: map[string][]int64{}, covered: map[string][]int64{}, told: map[int64]bool{}, sums: map[protocol.Conversation]int64{}}
	for t, n := range partitions() {
		k.offsets[t], k.covered[t] = make([]int64, n), make([]int64, n)
	}
	return k, nil
}

// partitions are those of every topic that is looked at.
func partitions() map[string]int {
	parts := map[string]int{protocol.TopicJournal: 1}
	for t := range protocol.NumTopics {
		parts[t.Name()] = otherPartitions
	}
	parts[protocol.TopicStorage.Name()] = storagePartitions
	return parts
}

// chapter compares, once nobody talks any more and every message has its
// answer. With an error the verdict holds what was found before it.
func (k *checker) chapter(ctx context.Context) (*verdict, error) {
	v := &verdict{}
	// What is in doubt may still be applied; only then are the rows final.
	if err := k.l.until(ctx, func() error {
		ends, err := k.ends(ctx)
		if err == nil {
			err = k.applied(ctx, ends)
		}
		return err
	}); err != nil {
		v.fault("%v", err)
	}
	if err := k.untouched(ctx, v); err != nil {
		return v, err
	}
	stored := map[protocol.Conversation][]row{}
	for conv := range k.l.members {
		rows, err := k.rows(ctx, conv)
		if err != nil {
			return v, err
		}
		stored[conv] = rows
	}
	k.stored(v, stored)
	if err := k.delivered(ctx, v, stored); err != nil {
		return v, err
	}
	for _, p := range k.l.probes {
		v.wrong = append(v.wrong, p.check(ctx, k.c.db)...)
	}
	if err := k.topics(ctx, v, stored); err != nil {
		return v, err
	}
	k.order(v)
	h := k.l.h
	h.mu.Lock()
	for _, d := range slices.Concat(k.l.steady, k.l.roaming) {
		h.overdue(d.wire)
	}
	v.doubles, v.doubled, v.repeats, v.slowest, v.codes = h.doubles, h.doubled, h.repeats, h.slowest, h.codes
	v.filled, v.filledSome = k.filled(stored)
	v.wrong = append(v.wrong, h.wrong...)
	h.mu.Unlock()
	return v, k.remember(ctx)
}

// filled counts what came to steady devices only because they asked with 16.
// Called with the history's mutex held.
func (k *checker) filled(stored map[protocol.Conversation][]row) (n int, some []string) {
	for _, d := range k.l.steady {
		for conv := range stored {
			for seq, pushed := range k.l.h.arrivals[conv][d] {
				m := k.l.h.texts[k.l.h.at[spot{conv, seq}]]
				if pushed || m == nil || m.from == d {
					continue
				}
				if n++; len(some) < 8 {
					some = append(some, fmt.Sprintf("%s %d from %s to %s", conv, seq, m.from.name, d.name))
				}
			}
		}
	}
	return n, some
}

func (k *checker) rows(ctx context.Context, conv protocol.Conversation) ([]row, error) {
	rows, err := k.c.db.QueryContext(ctx, "SELECT seq, sender_id, body FROM messages WHERE a = ? AND b = ? AND seq > ? ORDER BY seq", conv.A, conv.B, k.seqs[conv])
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		var r row
		var body []byte
		if err := rows.Scan(&r.seq, &r.sender, &body); err != nil {
			return nil, err
		}
		var f wireFrame
		if err := json.Unmarshal(append(bytes.TrimRight(body, "}"), '}'), &f); err != nil {
			return nil, fmt.Errorf("body of %s %d: %w: %s", conv, r.seq, err, body)
		}
		r.text = f.Text
		out = append(out, r)
	}
	return out, rows.Err()
}

// stored checks that what was acknowledged is there once, with the number
// that was told, and that numbers have no gaps.
func (k *checker) stored(v *verdict, stored map[protocol.Conversation][]row) {
	h := k.l.h
	h.mu.Lock()
	defer h.mu.Unlock()
	there := map[string]spot{}
	for at, text := range h.at {
		rows, first := stored[at.conv], k.seqs[at.conv]+1
		if i := at.seq - first; i < 0 || i >= int64(len(rows)) || rows[i].text != text {
			v.fault("NOT STORED: %q was told to be %s %d", text, at.conv, at.seq)
		}
	}
	for conv, rows := range stored {
		next := k.seqs[conv] + 1
		for _, r := range rows {
			if r.seq != next {
				v.fault("GAP: %s has seq %d after %d", conv, r.seq, next-1)
			}
			next = r.seq + 1
			if before, ok := there[r.text]; ok {
				v.renumbered++
				v.fault("TWICE: %q is %s %d and %s %d", r.text, before.conv, before.seq, conv, r.seq)
			}
			there[r.text] = spot{conv, r.seq}
			m := h.texts[r.text]
			switch {
			case m == nil:
				v.fault("nobody sent %q, which is %s %d", r.text, conv, r.seq)
			case m.stream.conv != conv || m.from.user != r.sender:
				v.fault("%q is in %s from %d, and was sent to %s by %d", r.text, conv, r.sender, m.stream.conv, m.from.user)
			case m.code == protocol.NotAccepted && m.sends == 1:
				v.fault("NOT NOTHING: %q was refused with 503, and is %s %d", r.text, conv, r.seq)
			}
		}
		k.seqs[conv] = next - 1
	}
	for text, m := range h.texts {
		if m.sends > 0 {
			v.sent++
		}
		if m.seq == 0 {
			continue
		}
		v.acknowledged++
		at, ok := there[text]
		switch {
		case !ok:
			v.lost++
			v.fault("LOST: %q was acknowledged as %s %d", text, m.stream.conv, m.seq)
		case at.seq != m.seq:
			v.renumbered++
			v.fault("RENUMBERED: %q was told %d, and is %s %d", text, m.seq, at.conv, at.seq)
		}
	}
}

// orderLimit is below the time after which an edge gives a frame up.
const orderLimit = 9 * time.Second

// untouched checks that what earlier chapters stored is as it was.
func (k *checker) untouched(ctx context.Context, v *verdict) error {
	for conv, last := range k.seqs {
		sum, err := k.sum(ctx, conv, last)
		if err != nil {
			return err
		}
		if before, ok := k.sums[conv]; ok && before != sum {
			v.fault("CHANGED: the first %d messages of %s are not what they were", last, conv)
		}
	}
	return nil
}

// remember notes what the next chapter must find untouched.
func (k *checker) remember(ctx context.Context) error {
	for conv, last := range k.seqs {
		sum, err := k.sum(ctx, conv, last)
		if err != nil {
			return err
		}
		k.sums[conv] = sum
	}
	return nil
}

// sum is a fingerprint of a conversation's first messages.
func (k *checker) sum(ctx context.Context, conv protocol.Conversation, upTo int64) (sum int64, err error) {
	err = k.c.db.QueryRowContext(ctx, "SELECT COALESCE(SUM(CRC32(CONCAT(seq, HEX(frame_id), body))), 0) FROM messages WHERE a = ? AND b = ? AND seq <= ?",
		conv.A, conv.B, upTo).Scan(&sum)
	return sum, err
}

// order checks that a sender's messages are in the order of sending, where no
// refusal and no doubt came between.
func (k *checker) order(v *verdict) {
	h := k.l.h
	h.mu.Lock()
	defer h.mu.Unlock()
	streams := map[*stream][]*message{}
	for _, m := range h.texts {
		// What waited for so long was answered with 503 or 504, heard or not.
		if m.seq > 0 && !m.refused && m.acked.Sub(m.sent) < orderLimit {
			streams[m.stream] = append(streams[m.stream], m)
		}
	}
	for s, list := range streams {
		slices.SortFunc(list, func(a, b *message) int { return a.order - b.order })
		for i := 1; i < len(list); i++ {
			if list[i].seq < list[i-1].seq {
				v.fault("ORDER: %s sent %q before %q, and they are %d and %d; in the log at %d and %d", s.name,
					list[i-1].text, list[i].text, list[i-1].seq, list[i].seq, k.copies[list[i-1].text], k.copies[list[i].text])
			}
		}
	}
}

// deliveryLimit is for how long a message may still be on its way after its
// sender has its answer: longer than an edge takes to notice that something
// is missing.
const deliveryLimit = 15 * time.Second

// delivered checks that everybody got everything: by itself where the
// connection lived, else after connecting anew.
func (k *checker) delivered(ctx context.Context, v *verdict, stored map[protocol.Conversation][]row) error {
	missing := func() (devices map[*device]int, some string) {
		h := k.l.h
		h.mu.Lock()
		defer h.mu.Unlock()
		devices = map[*device]int{}
		for conv, rows := range stored {
			for _, d := range k.l.members[conv] {
				got := h.arrivals[conv][d]
				for _, r := range rows {
					_, came := got[r.seq]
					if m := h.texts[r.text]; !came && (m == nil || m.from != d) {
						devices[d]++
						some = fmt.Sprintf("%q, %s %d, for %s", r.text, conv, r.seq, d.name)
					}
				}
			}
		}
		return devices, some
	}
	wait := func() map[*device]int {
		ctx, cancel := context.WithTimeout(ctx, deliveryLimit)
		defer cancel()
		_ = k.l.until(ctx, func() error {
			if left, _ := missing(); len(left) > 0 {
				return errors.New("not all is delivered")
			}
			return nil
		})
		left, _ := missing()
		return left
	}
	left := wait()
	if len(left) == 0 {
		return nil
	}
	_, some := missing()
	for d, n := range left {
		v.unpushed += n
		d.drop(k.l.h)
	}
	v.fault("NOT PUSHED: %d messages, such as %s", v.unpushed, some)
	for d, n := range wait() {
		v.lost += n
		_, some := missing()
		v.fault("NOT DELIVERED: %d messages to %s, such as %s", n, d.name, some)
	}
	return nil
}

// topics checks that the log holds what was stored, that all of the log was
// applied, and that the journal tells of every record once.
func (k *checker) topics(ctx context.Context, v *verdict, stored map[protocol.Conversation][]row) error {
	var ends map[string][]int64
	err := k.l.until(ctx, func() (err error) {
		if ends, err = k.ends(ctx); err != nil {
			return err
		}
		return k.applied(ctx, ends)
	})
	if err != nil {
		v.fault("%v", err)
		return nil
	}
	k.copies = map[string][]int64{}
	storage := protocol.TopicStorage.Name()
	for p, from := range k.offsets[storage] {
		if err := k.read(ctx, storage, p, from, ends[storage][p], func(offset int64, value []byte) {
			var f wireFrame
			if json.Unmarshal(value, &f) == nil && f.Text != "" {
				k.copies[f.Text] = append(k.copies[f.Text], offset)
			}
		}); err != nil {
			return err
		}
	}
	for conv, rows := range stored {
		for _, r := range rows {
			if len(k.copies[r.text]) == 0 {
				v.fault("NOT IN THE LOG: %q, which is %s %d", r.text, conv, r.seq)
			}
		}
	}
	for t := range protocol.NumTopics {
		k.offsets[t.Name()] = ends[t.Name()]
	}
	return k.journalled(ctx, v, ends)
}

// applied tells what is not.
func (k *checker) applied(ctx context.Context, ends map[string][]int64) error {
	for t := range protocol.NumTopics {
		for p, end := range ends[t.Name()] {
			var next int64
			err := k.c.db.QueryRowContext(ctx, "SELECT next_offset FROM applied WHERE topic = ? AND `partition` = ?", t.Group(), p).Scan(&next)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if next != end {
				return fmt.Errorf("NOT APPLIED: %s/%d ends at %d, and is applied up to %d", t.Name(), p, end, next)
			}
		}
	}
	return nil
}

// journalled checks that the journal's ranges follow each other without gap
// and overlap, in MySQL; and that the journal's topic has the same rows.
func (k *checker) journalled(ctx context.Context, v *verdict, ends map[string][]int64) error {
	rows, err := k.c.db.QueryContext(ctx, "SELECT number, topic, ranges FROM journal WHERE number > ? ORDER BY number", k.journal)
	if err != nil {
		return err
	}
	defer rows.Close()
	next := k.covered
	numbers := map[int64]bool{}
	for rows.Next() {
		var number int64
		var group string
		var text []byte
		var ranges [][3]int64
		if err := rows.Scan(&number, &group, &text); err != nil {
			return err
		}
		if err := json.Unmarshal(text, &ranges); err != nil {
			return fmt.Errorf("journal row %d: %w", number, err)
		}
		numbers[number] = true
		k.journal = number
		t, err := protocol.TopicOf(group)
		if err != nil {
			return err
		}
		for _, r := range ranges {
			if at := next[t.Name()]; at[r[0]] != r[1] {
				v.fault("JOURNAL: row %d begins at %s/%d %d, and the one before ends at %d", number, group, r[0], r[1], at[r[0]])
			}
			next[t.Name()][r[0]] = r[2] + 1
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for t := range protocol.NumTopics {
		for p, end := range ends[t.Name()] {
			if at := next[t.Name()][p]; at < end {
				v.fault("JOURNAL: %s/%d ends at %d, and the journal at %d", t.Name(), p, end, at)
			}
		}
	}
	return k.published(ctx, v, numbers)
}

// published checks the journal's topic, which gets the rows a moment later.
func (k *checker) published(ctx context.Context, v *verdict, numbers map[int64]bool) error {
	err := k.l.until(ctx, func() error {
		at := k.offsets[protocol.TopicJournal][0]
		ends, err := k.ends(ctx)
		if err != nil {
			return err
		}
		end := ends[protocol.TopicJournal][0]
		err = k.read(ctx, protocol.TopicJournal, 0, at, end, func(_ int64, value []byte) {
			var r struct{ Number int64 }
			if json.Unmarshal(value, &r) == nil {
				k.told[r.Number] = true
			}
		})
		if err != nil {
			return err
		}
		k.offsets[protocol.TopicJournal][0] = end
		var missing []int64
		for n := range numbers {
			if !k.told[n] {
				missing = append(missing, n)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("JOURNAL TOPIC: %d rows are missing, such as %d", len(missing), missing[0])
		}
		return nil
	})
	if err != nil {
		v.fault("%v", err)
	}
	return nil
}

// ends are the offsets behind the last record of every topic.
func (k *checker) ends(ctx context.Context) (map[string][]int64, error) {
	client := &kafka.Client{Addr: kafka.TCP(k.c.kafka.Addr()), Timeout: 5 * time.Second}
	parts := partitions()
	ask := map[string][]kafka.OffsetRequest{}
	for t, n := range parts {
		for p := range n {
			ask[t] = append(ask[t], kafka.LastOffsetOf(p))
		}
	}
	r, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: ask})
	if err != nil {
		return nil, err
	}
	out := map[string][]int64{}
	for t, n := range parts {
		out[t] = make([]int64, n)
		for _, p := range r.Topics[t] {
			if p.Error != nil {
				return nil, p.Error
			}
			out[t][p.Partition] = p.LastOffset
		}
	}
	return out, nil
}

// read calls each with the values of a partition's records.
func (k *checker) read(ctx context.Context, topic string, partition int, from, to int64, each func(offset int64, value []byte)) error {
	if from >= to {
		return nil
	}
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{k.c.kafka.Addr()}, Topic: topic, Partition: partition, MaxBytes: 10 << 20, MaxWait: 50 * time.Millisecond, ReadLagInterval: -1})
	defer r.Close()
	if err := r.SetOffset(from); err != nil {
		return err
	}
	for {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return err
		}
		each(m.Offset, m.Value)
		if m.Offset >= to-1 {
			return nil
		}
	}
}

func (v *verdict) fault(format string, args ...any) {
	if len(v.wrong) < 50 {
		v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
	}
}
