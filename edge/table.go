package edge

import (
	"sync"
	"sync/atomic"
)

// numShards spreads connections over locks, and the sweeper's work over time.
const numShards = 64

// table finds connections by id, until their sockets are given back.
type table struct {
	nextID atomic.Uint64
	open   atomic.Int64 // those that are not being closed
	shards [numShards]shard
}

type shard struct {
	mu    sync.RWMutex
	conns map[uint64]*conn
}

func (t *table) init() {
	for i := range t.shards {
		t.shards[i].conns = map[uint64]*conn{}
	}
}

func (t *table) shard(id uint64) *shard { return &t.shards[id%numShards] }

func (t *table) get(id uint64) *conn {
	s := t.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.conns[id]
}

func (t *table) add(c *conn) {
	s := t.shard(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c.id] = c
	t.open.Add(1)
}

func (t *table) remove(id uint64) {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, id)
}

// list appends the connections of one shard to dst.
func (t *table) list(dst []*conn, i int) []*conn {
	s := &t.shards[i]
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, c := range s.conns {
		dst = append(dst, c)
	}
	return dst
}

// all lists every connection.
func (t *table) all() []*conn {
	var out []*conn
	for i := range t.shards {
		out = t.list(out, i)
	}
	return out
}
