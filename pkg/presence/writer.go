package presence

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// Change is one connection that a user got or lost.
type Change struct {
	User  int64
	Conn  uint64
	There bool // else it is gone
	Back  bool // with it gone: the user was asked to connect to another edge
	Out   bool // with it gone: the user has logged out, and is not expected back
}

// Writer writes the lease of a node and the entries of its connections. Safe
// for concurrent use; changes of the same connection keep their order only if
// one goroutine writes them.
type Writer struct {
	redis     redis.UniversalClient
	namespace string
	node      string
	leases    atomic.Int64 // how many it may have had
}

// NewWriter writes for one node, name:nonce.
func NewWriter(client redis.UniversalClient, namespace, node string) *Writer {
	return &Writer{redis: client, namespace: namespace, node: node}
}

// Renew writes the node's lease for another LeaseTime, and reports whether it
// was there: if not, the entries may be gone, too.
func (w *Writer) Renew(ctx context.Context) (there bool, err error) {
	err = w.redis.SetArgs(ctx, NodeKey(w.namespace, w.node), "1", redis.SetArgs{TTL: LeaseTime, Get: true}).Err()
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, redis.Nil):
		w.leases.Add(1)
		return false, nil
	}
	w.leases.Add(1) // perhaps: the answer alone may be lost
	return false, fmt.Errorf("renew the lease: %w", err)
}

// Write applies changes in order, in one round trip. On an error any of them
// may have been applied; all of them may be written again.
func (w *Writer) Write(ctx context.Context, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	leases := w.leases.Load()
	_, err := w.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, c := range changes {
			key, field := UserKey(w.namespace, c.User), Place{w.node, c.Conn}.Field()
			if c.There {
				p.HSet(ctx, key, field, leases)
				p.Expire(ctx, key, EntryTime)
				continue
			}
			switch {
			case c.Back:
				p.Set(ctx, BackKey(w.namespace, c.User), "1", BackTime)
			case c.Out:
				p.Del(ctx, BackKey(w.namespace, c.User))
			}
			p.HDel(ctx, key, field)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write presence: %w", err)
	}
	return nil
}

// removeUnchanged removes an entry that says what it said when it was read: a
// node that was only stopped for a while, and has another lease since, writes
// its entries anew.
const removeUnchanged = `if redis.call("HGET", KEYS[1], ARGV[1]) == ARGV[2] then return redis.call("HDEL", KEYS[1], ARGV[1]) end return 0`

// Sweep removes the users' entries of nodes that have no lease. An error leaves
// some of them.
func (w *Writer) Sweep(ctx context.Context, users []int64) error {
	if len(users) == 0 {
		return nil
	}
	read := make([]*redis.MapStringStringCmd, len(users))
	if _, err := w.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, user := range users {
			read[i] = p.HGetAll(ctx, UserKey(w.namespace, user))
		}
		return nil
	}); err != nil {
		return fmt.Errorf("sweep presence: read entries: %w", err)
	}
	// Leases are asked for behind the entries: see removeUnchanged.
	leases := map[string]*redis.IntCmd{}
	if _, err := w.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, entries := range read {
			for field := range entries.Val() {
				if place, ok := parseField(field); ok && place.Node != w.node && leases[place.Node] == nil {
					leases[place.Node] = p.Exists(ctx, NodeKey(w.namespace, place.Node))
				}
			}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("sweep presence: read leases: %w", err)
	}
	if _, err := w.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, entries := range read {
			for field, said := range entries.Val() {
				place, _ := parseField(field)
				if lease := leases[place.Node]; lease != nil && lease.Val() == 0 {
					p.Eval(ctx, removeUnchanged, []string{UserKey(w.namespace, users[i])}, field, said)
				}
			}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("sweep presence: remove entries: %w", err)
	}
	return nil
}

// Remove deletes the lease: the node is going, and its entries count for
// nothing from now on.
func (w *Writer) Remove(ctx context.Context) error {
	if err := w.redis.Del(ctx, NodeKey(w.namespace, w.node)).Err(); err != nil {
		return fmt.Errorf("remove the lease: %w", err)
	}
	return nil
}
