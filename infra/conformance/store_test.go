package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"

	"sponge/workers"
)

// Numbers of the store's errors.
const (
	lockTimeout = 1205
	deadlock    = 1213
)

func number(err error) uint16 {
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		return my.Number
	}
	return 0
}

// transact runs work in a transaction with the settings of a worker's session.
func transact(t *testing.T, db *sql.DB, work func(tx *workers.Tx) error) error {
	t.Helper()
	return workers.Transact(limit(t), db, false, work)
}

func mustTransact(t *testing.T, db *sql.DB, work func(tx *workers.Tx) error) {
	t.Helper()
	if err := transact(t, db, work); err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(limit(t), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t *testing.T, db *sql.DB, query string, args ...any) (n int) {
	t.Helper()
	if err := db.QueryRowContext(limit(t), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// addUsers makes users 1 to n, of whom every second is left out.
func addUsers(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	for id := 1; id <= n; id += 2 {
		exec(t, db, "INSERT INTO users (id, name, verifier, created_at) VALUES (?,?,'',0)", id, fmt.Sprint("user", id))
	}
}

// ids are what a query in a transaction gives.
func ids(ctx context.Context, tx *workers.Tx, query, item string, list []int64) ([]int64, error) {
	var out []int64
	err := workers.In(ctx, tx, query, item, nil, list, workers.One, func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		out = append(out, id)
		return err
	})
	return out, err
}

// A transaction sees what others committed meanwhile, and nothing else.
func TestReadCommitted(t *testing.T) {
	t.Parallel()
	db := database(t)
	other, err := db.BeginTx(limit(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Rollback() //nolint:errcheck // committed
	if _, err := other.Exec("UPDATE sequences SET last_id = 7 WHERE name = 'users'"); err != nil {
		t.Fatal(err)
	}
	mustTransact(t, db, func(tx *workers.Tx) error {
		for _, want := range []int64{0, 7} {
			var last int64
			if _, err := tx.Get(limit(t), "SELECT last_id FROM sequences WHERE name = ?", []any{"users"}, &last); err != nil {
				return err
			}
			if last != want {
				t.Errorf("read %d, want %d", last, want)
			}
			if want == 0 {
				if err := other.Commit(); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Locks are on the rows that were asked for, and nowhere else: neighbours can
// be locked, and rows inserted between them.
func TestLocksAreOnRowsAlone(t *testing.T) {
	t.Parallel()
	db := database(t)
	addUsers(t, db, 400)
	const lock, free = "SELECT id FROM users FORCE INDEX (PRIMARY) WHERE id IN ({}) ORDER BY id FOR UPDATE", "SELECT id FROM users FORCE INDEX (PRIMARY) WHERE id IN ({}) ORDER BY id FOR UPDATE SKIP LOCKED"
	var wanted, others []int64
	for id := int64(1); id <= 400; id++ {
		if id%4 == 1 {
			wanted = append(wanted, id)
		} else {
			others = append(others, id)
		}
	}
	mustTransact(t, db, func(tx *workers.Tx) error {
		got, err := ids(limit(t), tx, lock, "?", wanted)
		if err != nil || !slices.Equal(got, wanted) {
			t.Errorf("locked %v, %v", got, err)
		}
		mustTransact(t, db, func(second *workers.Tx) error {
			skipped, err := ids(limit(t), second, free, "?", slices.Concat(wanted[:50], others))
			if err != nil || len(skipped) != 100 || slices.ContainsFunc(skipped, func(id int64) bool { return id%4 != 3 }) {
				t.Errorf("of locked and free rows: %v, %v", skipped, err)
			}
			second.Write("INSERT INTO users (id, name, verifier, created_at) VALUES (2,'',0,0), (401,'',0,0)")
			return nil
		})
		return nil
	})
}

// The same for a list of conversations, whose key has two columns; also where
// there are so few that the optimizer would rather look at all.
func TestLocksOfPairsAreOnRowsAlone(t *testing.T) {
	t.Parallel()
	const lock = "SELECT a, b, last_seq FROM conversations FORCE INDEX (PRIMARY) WHERE (a, b) IN ({}) ORDER BY a, b FOR UPDATE"
	for _, n := range []int{3, 12, 30, 300} {
		db := database(t)
		var wanted, others [][2]int
		for b := range n {
			exec(t, db, "INSERT INTO conversations (a, b, last_seq) VALUES (?,?,0)", 1+b%2, 1000+b)
			if k := [2]int{1 + b%2, 1000 + b}; b%3 == 0 {
				wanted = append(wanted, k)
			} else {
				others = append(others, k)
			}
		}
		exec(t, db, "ANALYZE TABLE conversations") // now the optimizer knows
		in := func(tx *workers.Tx, query string, list [][2]int) (got int) {
			t.Helper()
			err := workers.In(limit(t), tx, query, "(?,?)", nil, list,
				func(a []any, k [2]int) []any { return append(a, k[0], k[1]) }, func(scan func(...any) error) error {
					got++
					var row [3]int
					return scan(&row[0], &row[1], &row[2])
				})
			if err != nil {
				t.Error(err)
			}
			return got
		}
		mustTransact(t, db, func(tx *workers.Tx) error {
			if got := in(tx, lock, wanted); got != len(wanted) {
				t.Errorf("locked %d of %d", got, len(wanted))
			}
			mustTransact(t, db, func(second *workers.Tx) error {
				if got := in(second, lock+" SKIP LOCKED", others); got != len(others) {
					t.Errorf("of %d, %d others of %d are free", n, got, len(others))
				}
				return nil
			})
			return nil
		})
	}
}

// Two that lock in different orders don't wait for ever: one of them is told,
// nothing of it remains, and it is not a frame's fault.
func TestDeadlockIsToldAndPasses(t *testing.T) {
	t.Parallel()
	db := database(t)
	var both, done sync.WaitGroup // both hold their first lock
	both.Add(2)
	errs := make([]error, 2)
	names := []string{"groups", "users"}
	for i := range errs {
		done.Go(func() {
			arrived := sync.OnceFunc(both.Done)
			defer arrived()
			errs[i] = transact(t, db, func(tx *workers.Tx) error {
				if _, err := workers.LockSequence(limit(t), tx, names[i], true); err != nil {
					return err
				}
				workers.AdvanceSequence(tx, names[i], 5)
				arrived()
				both.Wait()
				workers.AdvanceSequence(tx, names[1-i], 6)
				return nil
			})
		})
	}
	done.Wait()
	lost := slices.IndexFunc(errs, func(err error) bool { return number(err) == deadlock })
	if lost < 0 || errs[1-lost] != nil {
		t.Fatalf("ends: %v", errs)
	}
	if fault := workers.FaultOf(errs[lost]); fault != workers.FaultOurs {
		t.Errorf("a deadlock's fault is %v", fault)
	}
	won := 1 - lost
	if n := count(t, db, "SELECT last_id FROM sequences WHERE name = ?", names[won]); n != 5 {
		t.Errorf("of the one that won: %d", n)
	}
	if n := count(t, db, "SELECT last_id FROM sequences WHERE name = ?", names[lost]); n != 6 {
		t.Errorf("something of the one that lost has stayed: %d", n)
	}
}

// Who waits for a lock is told so in time, and it is not a frame's fault.
func TestLockWaitEnds(t *testing.T) {
	t.Parallel()
	db := database(t)
	holder, err := db.BeginTx(limit(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Rollback() //nolint:errcheck // nothing was written
	if _, err := holder.Exec("SELECT last_id FROM sequences WHERE name = 'users' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	for _, exclusive := range []bool{true, false} {
		err := transact(t, db, func(tx *workers.Tx) error {
			_, err := workers.LockSequence(limit(t), tx, "users", exclusive)
			return err
		})
		if number(err) != lockTimeout || workers.FaultOf(err) != workers.FaultOurs {
			t.Errorf("end of the wait: %v, whose fault is %v", err, workers.FaultOf(err))
		}
	}
}

// Several may share a sequence's lock to conclude that an id does not exist.
func TestSequencesAreShared(t *testing.T) {
	t.Parallel()
	db := database(t)
	mustTransact(t, db, func(tx *workers.Tx) error {
		if _, err := workers.LockSequence(limit(t), tx, "users", false); err != nil {
			return err
		}
		return transact(t, db, func(second *workers.Tx) error {
			_, err := workers.LockSequence(limit(t), second, "users", false)
			return err
		})
	})
}

// Ids come from rows: each once, without gaps, also when some are rolled back.
func TestIdsComeFromRows(t *testing.T) {
	t.Parallel()
	db := database(t)
	failed := errors.New("rolled back")
	var givers sync.WaitGroup
	for worker := range 4 {
		givers.Go(func() {
			for i := range 20 {
				err := transact(t, db, func(tx *workers.Tx) error {
					last, err := workers.LockSequence(limit(t), tx, "users", true)
					if err != nil {
						return err
					}
					tx.Write("INSERT INTO users (id, name, verifier, created_at) VALUES (?,?,'',0)", last+1, fmt.Sprint(worker))
					workers.AdvanceSequence(tx, "users", last+1)
					if i%4 != 3 {
						return nil
					}
					return failed
				})
				if err != nil && !errors.Is(err, failed) {
					t.Error(err)
				}
			}
		})
	}
	givers.Wait()
	if n, highest := count(t, db, "SELECT COUNT(*) FROM users"), count(t, db, "SELECT MAX(id) FROM users"); n != 60 || highest != 60 {
		t.Errorf("%d ids up to %d, want 60", n, highest)
	}
}

// A worker that freezes in a transaction loses its session, and with it the
// locks: the next owner gets the rows soon.
func TestFrozenSessionLosesItsLocks(t *testing.T) {
	t.Parallel()
	db := database(t)
	exec(t, db, "INSERT INTO applied (topic, `partition`, next_offset, announced, last_hash) VALUES ('storage',1,5,5,'')")
	err := transact(t, db, func(frozen *workers.Tx) error {
		const lock = "SELECT next_offset FROM applied FORCE INDEX (PRIMARY) WHERE topic = 'storage' AND `partition` IN ({}) ORDER BY `partition` FOR UPDATE SKIP LOCKED"
		if got, err := ids(limit(t), frozen, lock, "?", []int64{1}); err != nil || len(got) != 1 {
			t.Fatalf("locked %v, %v", got, err)
		}
		frozen.Write("UPDATE applied SET next_offset = 99")
		if _, err := ids(limit(t), frozen, lock, "?", []int64{1}); err != nil { // sends it
			return err
		}
		skipped := 0
		eventually(t, "the next owner gets the row", func() bool {
			var got []int64
			mustTransact(t, db, func(tx *workers.Tx) (err error) {
				got, err = ids(limit(t), tx, lock, "?", []int64{1})
				return err
			})
			if len(got) == 0 {
				skipped++
				return false
			}
			if got[0] != 5 {
				t.Errorf("it sees what was not committed: %d", got[0])
			}
			return true
		})
		if skipped == 0 {
			t.Error("the row was never locked")
		}
		frozen.Write("UPDATE applied SET next_offset = 99")
		return nil
	})
	if err == nil || workers.FaultOf(err) != workers.FaultOurs {
		t.Errorf("the frozen worker went on: %v", err)
	}
	if n := count(t, db, "SELECT next_offset FROM applied"); n != 5 {
		t.Errorf("next offset %d, want 5", n)
	}
}

// Upserts take the new values by VALUES(), may combine them with the old ones,
// and INSERT IGNORE leaves a row as it is.
func TestUpserts(t *testing.T) {
	t.Parallel()
	db := database(t)
	type row struct{ part, next, announced int }
	upsert := func(rows ...row) {
		t.Helper()
		mustTransact(t, db, func(tx *workers.Tx) error {
			workers.Insert(tx, "INSERT INTO applied (topic, `partition`, next_offset, announced, last_hash) VALUES {}"+
				" ON DUPLICATE KEY UPDATE next_offset = VALUES(next_offset), announced = GREATEST(announced, VALUES(announced)), last_hash = VALUES(last_hash)",
				"(?,?,?,?,?)", rows, func(a []any, r row) []any {
					return append(a, "storage", r.part, r.next, r.announced, []byte(strings.Repeat("h", 16)))
				})
			return nil
		})
	}
	for _, part := range []int{1, 2} { // the second time, the row is there
		exec(t, db, "INSERT IGNORE INTO applied (topic, `partition`, next_offset, announced, last_hash) VALUES ('storage',1,0,0,''), ('storage',?,0,0,'')", part)
	}
	if n := count(t, db, "SELECT COUNT(*) FROM applied WHERE last_hash = REPEAT(CHAR(0), 16)"); n != 2 {
		t.Errorf("%d hashes of nothing, padded with zeros", n)
	}
	upsert(row{1, 10, 8}, row{2, 20, 0}, row{3, 30, 30})
	upsert(row{1, 11, 7})
	exec(t, db, "INSERT IGNORE INTO applied (topic, `partition`, next_offset, announced, last_hash) VALUES ('storage',1,0,0,'')")
	for part, want := range map[int]string{1: "11 8", 2: "20 0", 3: "30 30"} {
		var got string
		err := db.QueryRow("SELECT CONCAT(next_offset, ' ', announced) FROM applied WHERE topic = 'storage' AND `partition` = ? AND last_hash = ?",
			part, []byte(strings.Repeat("h", 16))).Scan(&got)
		if err != nil || got != want {
			t.Errorf("partition %d: %q, want %q: %v", part, got, want, err)
		}
	}
}

// The journal's numbers rise with each row; a rollback leaves a gap.
func TestJournalNumbersRise(t *testing.T) {
	t.Parallel()
	db := database(t)
	var numbers []int64
	failed := errors.New("rolled back")
	for i := range 4 {
		err := transact(t, db, func(tx *workers.Tx) error {
			tx.Write("INSERT INTO journal (topic, rules, ranges, inputs, dead) VALUES (?,?,?,?,?)", "storage", 1, []byte("[]"), nil, nil)
			var n int64
			_, err := tx.Get(limit(t), "SELECT LAST_INSERT_ID()", nil, &n)
			numbers = append(numbers, n)
			if i == 1 {
				return failed
			}
			return err
		})
		if err != nil && !errors.Is(err, failed) {
			t.Fatal(err)
		}
	}
	if !slices.IsSorted(numbers) || len(slices.Compact(slices.Clone(numbers))) != 4 || count(t, db, "SELECT COUNT(*) FROM journal") != 3 {
		t.Errorf("numbers: %v", numbers)
	}
}

// Text is kept whole in any script, and compared as it is: no two spellings
// are one. Bytes are compared as bytes.
func TestTextAndBytes(t *testing.T) {
	t.Parallel()
	db := database(t)
	texts := []string{"你好", "👩‍👩‍👧‍👦", "a", "A", "á", "a\u0301", "a ", "", strings.Repeat("🙂", 64)}
	for i, text := range texts {
		exec(t, db, "INSERT INTO users (id, name, verifier, created_at) VALUES (?,?,'',0)", i+1, text)
		exec(t, db, "INSERT INTO name_grams (gram, user_id) VALUES (?,1)", []byte(text)[:min(8, len(text))])
	}
	for i, text := range texts {
		var got string
		if err := db.QueryRow("SELECT name FROM users WHERE id = ?", i+1).Scan(&got); err != nil || got != text {
			t.Errorf("%q came back as %q, %v", text, got, err)
		}
		// Of the collations that compare byte by byte, utf8mb4_bin leaves spaces
		// at the end out of account.
		if n := count(t, db, "SELECT COUNT(*) FROM users WHERE CAST(name AS BINARY) = ?", []byte(text)); n != 1 {
			t.Errorf("%d users are called %q", n, text)
		}
		if n := count(t, db, "SELECT COUNT(*) FROM name_grams WHERE gram = ?", []byte(text)[:min(8, len(text))]); n != 1 {
			t.Errorf("%d grams are %q", n, text)
		}
	}
	if n := count(t, db, "SELECT COUNT(*) FROM users WHERE name = 'A'"); n != 1 {
		t.Errorf("%d users are called A", n)
	}
	frame := make([]byte, 16) // of all bytes, also zeros at the end
	frame[0], frame[1] = 0xff, 0x80
	exec(t, db, "INSERT INTO messages (a, b, seq, frame_id, sender_id, sent_at, content_hash, body) VALUES (1,2,1,?,1,0,REPEAT('x',32),'')", frame)
	if n := count(t, db, "SELECT COUNT(*) FROM messages WHERE a = 1 AND b = 2 AND frame_id = ?", frame); n != 1 {
		t.Error("a frame id is not found by its bytes")
	}
}

// The store refuses what it cannot hold, instead of cutting it, and its
// numbers say whose fault that is.
func TestWhatCannotBeHeldIsRefused(t *testing.T) {
	t.Parallel()
	db := database(t)
	const user = "INSERT INTO users (id, name, verifier, created_at) VALUES (?,?,?,?)"
	exec(t, db, user, 1, "taken", "", 0)
	for name, test := range map[string]struct {
		args []any
		want workers.Fault
	}{
		"again":        {[]any{1, "x", "", 0}, workers.FaultRepeat},
		"too long":     {[]any{2, strings.Repeat("x", 65), "", 0}, workers.FaultFrame},
		"nothing":      {[]any{2, nil, "", 0}, workers.FaultFrame},
		"no UTF-8":     {[]any{2, "\xff\xfe", "", 0}, workers.FaultFrame},
		"no number":    {[]any{2, "x", "", "soon"}, workers.FaultFrame},
		"out of range": {[]any{2, "x", "", "9223372036854775808"}, workers.FaultFrame},
	} {
		err := transact(t, db, func(tx *workers.Tx) error {
			tx.Write(user, test.args...)
			return nil
		})
		if err == nil || workers.FaultOf(err) != test.want {
			t.Errorf("%s: %v, whose fault is %v, want %v", name, err, workers.FaultOf(err), test.want)
		}
	}
	if n := count(t, db, "SELECT COUNT(*) FROM users"); n != 1 {
		t.Errorf("%d users", n)
	}
}

// A commit is on the disk before it is answered, and a page of messages fits
// into one answer.
func TestStoreSettings(t *testing.T) {
	t.Parallel()
	db := database(t)
	if n := count(t, db, "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit"); n != 1 {
		t.Errorf("innodb_flush_log_at_trx_commit is %d", n)
	}
	if n := count(t, db, "SELECT @@GLOBAL.max_allowed_packet"); n < 16<<20 {
		t.Errorf("max_allowed_packet is %d", n)
	}
}
