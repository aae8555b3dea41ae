package storage

import (
	"context"
	"fmt"
	"slices"

	"sponge/pkg/protocol"
	"sponge/workers"
)

// Bounds of the statements that count for many users at once.
const (
	usersAtOnce  = 128  // whose conversations are listed
	newsAtOnce   = 2000 // conversations that are listed
	countsAtOnce = 64   // conversations whose messages are counted
)

// Unread counts, for each of some users, what 14 would bring, up to
// protocol.MaxUnread. Most have little: one statement finds who has news at
// all, and another counts in 64 conversations.
func Unread(ctx context.Context, tx *workers.Tx, users []int64) (map[int64]int64, error) {
	users = slices.Compact(slices.Sorted(slices.Values(users)))
	total := make(map[int64]int64, len(users))
	for len(users) > 0 {
		n := min(len(users), usersAtOnce)
		list, err := news(ctx, tx, users[:n])
		if err != nil {
			return nil, fmt.Errorf("list conversations with news: %w", err)
		}
		if len(list) == newsAtOnce { // the last user's may go on
			last := list[len(list)-1].user
			list = list[:slices.IndexFunc(list, func(p unread) bool { return p.user == last })]
			n, _ = slices.BinarySearch(users, last+1)
			if total[last], err = unreadOf(ctx, tx, last); err != nil {
				return nil, fmt.Errorf("user %d: %w", last, err)
			}
		}
		users = users[n:]
		if err := count(ctx, tx, list, total); err != nil {
			return nil, fmt.Errorf("count messages: %w", err)
		}
	}
	return total, nil
}

// unread is a conversation of a user with messages above the cursor.
type unread struct {
	user int64
	pending
}

// news lists up to newsAtOnce of them, by user: ranges of cursors' primary key,
// conversations by theirs.
func news(ctx context.Context, tx *workers.Tx, users []int64) (list []unread, err error) {
	err = workers.In(ctx, tx, "SELECT c.user_id, c.a, c.b, c.delivered, v.last_seq FROM cursors c FORCE INDEX (PRIMARY)"+
		" STRAIGHT_JOIN conversations v ON v.a = c.a AND v.b = c.b WHERE c.user_id IN ({}) AND v.last_seq > c.delivered"+
		fmt.Sprintf(" ORDER BY c.user_id, c.a, c.b LIMIT %d", newsAtOnce), "?", nil, users, workers.One,
		func(scan func(...any) error) error {
			var p unread
			err := scan(&p.user, &p.conv.A, &p.conv.B, &p.delivered, &p.last)
			list = append(list, p)
			return err
		})
	return list, err
}

// count adds what the conversations have to their users' totals. Somebody who
// has been away for long has much: no more is counted for a user at once than
// may be needed.
func count(ctx context.Context, tx *workers.Tx, list []unread, total map[int64]int64) error {
	for len(list) > 0 {
		var now, later []unread
		most := map[int64]int64{} // what now may add to a user's total
		for _, p := range list {
			switch left := protocol.MaxUnread - total[p.user]; {
			case left <= 0:
			case most[p.user] < left && len(now) < countsAtOnce:
				most[p.user] += p.last - p.delivered
				now = append(now, p)
			default:
				later = append(later, p)
			}
		}
		if err := countOnce(ctx, tx, now, total); err != nil {
			return err
		}
		list = later
	}
	return nil
}

// countOnce counts in up to countsAtOnce conversations by one statement: a
// column for each, a range of the primary key, cut.
func countOnce(ctx context.Context, tx *workers.Tx, list []unread, total map[int64]int64) error {
	if len(list) == 0 {
		return nil
	}
	columns := 1
	for columns < len(list) {
		columns *= 2
	}
	counts, into := make([]int64, columns), make([]any, columns)
	for i := range counts {
		into[i] = &counts[i]
	}
	padded := append(slices.Clone(list), make([]unread, columns-len(list))...) // where there is nothing to count
	err := workers.In(ctx, tx, "SELECT {}", "(SELECT COUNT(*) FROM (SELECT seq FROM messages WHERE a = ? AND b = ? AND seq > ? AND sender_id <> ? LIMIT ?) some)",
		nil, padded, func(a []any, p unread) []any {
			return append(a, p.conv.A, p.conv.B, p.delivered, p.user, protocol.MaxUnread-total[p.user])
		}, func(scan func(...any) error) error { return scan(into...) })
	if err != nil {
		return err
	}
	for i, p := range list {
		total[p.user] = min(total[p.user]+counts[i], protocol.MaxUnread)
	}
	return nil
}

// unreadOf counts for one user, whose conversations may be any number.
func unreadOf(ctx context.Context, tx *workers.Tx, user int64) (int64, error) {
	total := map[int64]int64{}
	_, err := eachPending(ctx, tx, user, func(p pending) (enough bool, err error) {
		err = countOnce(ctx, tx, []unread{{user, p}}, total)
		return total[user] >= protocol.MaxUnread, err
	})
	return total[user], err
}
