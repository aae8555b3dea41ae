package presence

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Change is one connection that a user got or lost.
type Change struct {
	User  int64
	Conn  uint64
	There bool // else it is gone
}

// Writer writes the lease of a node and the entries of its connections. Safe
// for concurrent use; changes of the same connection keep their order only if
// one goroutine writes them.
type Writer struct {
	redis     redis.UniversalClient
	namespace string
	node      string
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
		return false, nil
	}
	return false, fmt.Errorf("renew the lease: %w", err)
}

// Write applies changes in order, in one round trip. On an error any of them
// may have been applied; all of them may be written again.
func (w *Writer) Write(ctx context.Context, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	_, err := w.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, c := range changes {
			key, field := UserKey(w.namespace, c.User), Place{w.node, c.Conn}.Field()
			if c.There {
				p.HSet(ctx, key, field, "")
				p.Expire(ctx, key, EntryTime)
			} else {
				p.HDel(ctx, key, field)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write presence: %w", err)
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
