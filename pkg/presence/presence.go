// Package presence says which connections a user has, over all edges. It
// belongs to the edges: they write it, workers only read it.
//
// In Redis: a leased key for each node,
//
//	sponge:node:<node>   "1", expires after LeaseTime unless renewed
//
// and under each user a hash with a field for each connection,
//
//	sponge:user:<user>   {<node>/<connection>: <leases>}, expires after EntryTime
//
// where <node> is the edge's name and its start nonce, and <leases> how many
// leases it may have had. Entries of nodes without a lease count for nothing. Edges
// write their entries again well before EntryTime, and at once when their lease
// had lapsed or Redis has come back empty. So entries of dead nodes go by
// themselves, but for users who are always present elsewhere: whoever writes an
// entry again sweeps those.
//
// Whom a node sends away because it is restarted is expected back:
//
//	sponge:back:<user>   "1", expires after BackTime, removed when the user logs out
//
// Nothing can be sent to such a user, but others see no going and coming. It
// outlives the return: who looked for entries just before that, and asks for
// it just after, still finds it.
//
// It must not know frames or sockets.
package presence

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Times of leases and entries.
const (
	LeaseTime  = 10 * time.Second
	RenewEvery = 2 * time.Second // how often an edge renews its lease
	EntryTime  = time.Hour
	Refresh    = 20 * time.Minute // how often an edge writes each entry again
	BackTime   = 15 * time.Second // for which a user is expected back
)

// NodeKey is the key of a node's lease.
func NodeKey(namespace, node string) string { return namespace + "sponge:node:" + node }

// UserKey is the key of a user's entries.
func UserKey(namespace string, user int64) string {
	return namespace + "sponge:user:" + strconv.FormatInt(user, 10)
}

// BackKey is there while a user is expected back.
func BackKey(namespace string, user int64) string {
	return namespace + "sponge:back:" + strconv.FormatInt(user, 10)
}

// Place is where a user can be reached: a connection of a node.
type Place struct {
	Node string
	Conn uint64
}

// Field is the place as a field of a user's hash.
func (p Place) Field() string { return p.Node + "/" + strconv.FormatUint(p.Conn, 10) }

func parseField(s string) (Place, bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return Place{}, false
	}
	conn, err := strconv.ParseUint(s[i+1:], 10, 64)
	return Place{s[:i], conn}, err == nil
}

// Reader looks users up. Not safe for concurrent use: each announcer has its
// own.
type Reader struct {
	redis     redis.UniversalClient
	namespace string
	nodes     map[string]lease
}

type lease struct {
	alive bool
	until time.Time // when to ask again
}

// NewReader reads the presence that edges of a namespace write.
func NewReader(client redis.UniversalClient, namespace string) *Reader {
	return &Reader{redis: client, namespace: namespace, nodes: map[string]lease{}}
}

// leaseCache bounds how long a node that died is still believed in. A result
// sent to it meanwhile is lost, as one sent just before its death would be.
const leaseCache = time.Second

// maxNodes bounds the leases that are remembered: nodes come and go, each start
// of one under another name.
const maxNodes = 10_000

// Places returns, for each user, the connections on living nodes. One round
// trip, and another where a node's lease must be asked for.
func (r *Reader) Places(ctx context.Context, users []int64) ([][]Place, error) {
	pipe := r.redis.Pipeline()
	found := r.Ask(ctx, pipe, users)
	if len(users) > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, err
		}
	}
	return found(ctx)
}

// Ask has a pipeline, which the caller executes, look users up. What it returns
// is Places's answer then, if the pipeline was executed without an error.
func (r *Reader) Ask(ctx context.Context, pipe redis.Pipeliner, users []int64) func(ctx context.Context) ([][]Place, error) {
	cmds := make([]*redis.StringSliceCmd, len(users))
	for i, u := range users {
		cmds[i] = pipe.HKeys(ctx, UserKey(r.namespace, u))
	}
	return func(ctx context.Context) ([][]Place, error) {
		for _, cmd := range cmds {
			if err := cmd.Err(); err != nil {
				return nil, err
			}
		}
		return r.places(ctx, cmds)
	}
}

// places takes only those on living nodes.
func (r *Reader) places(ctx context.Context, cmds []*redis.StringSliceCmd) ([][]Place, error) {
	if len(r.nodes) > maxNodes {
		clear(r.nodes)
	}
	out := make([][]Place, len(cmds))
	now := time.Now()
	var ask []string
	for i, cmd := range cmds {
		for _, field := range cmd.Val() {
			place, ok := parseField(field)
			if !ok {
				continue
			}
			out[i] = append(out[i], place)
			if l, ok := r.nodes[place.Node]; !ok || now.After(l.until) {
				r.nodes[place.Node] = lease{until: now.Add(leaseCache)} // not asked twice
				ask = append(ask, place.Node)
			}
		}
	}
	if err := r.askNodes(ctx, ask); err != nil {
		return nil, err
	}
	for i, places := range out {
		living := places[:0]
		for _, p := range places {
			if r.nodes[p.Node].alive {
				living = append(living, p)
			}
		}
		out[i] = living
	}
	return out, nil
}

// ExpectedBack tells which users are between two edges: one that is restarted
// has sent them away, and they have not had the time to come back.
func (r *Reader) ExpectedBack(ctx context.Context, users []int64) (map[int64]bool, error) {
	if len(users) == 0 {
		return nil, nil
	}
	cmds := make([]*redis.IntCmd, len(users))
	_, err := r.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, u := range users {
			cmds[i] = p.Exists(ctx, BackKey(r.namespace, u))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := map[int64]bool{}
	for i, u := range users {
		out[u] = cmds[i].Val() == 1
	}
	return out, nil
}

// askNodes learns which nodes have a lease. Single commands, not one with many
// keys: a Redis cluster keeps them in different places.
func (r *Reader) askNodes(ctx context.Context, nodes []string) error {
	if len(nodes) == 0 {
		return nil
	}
	cmds := make([]*redis.IntCmd, len(nodes))
	_, err := r.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, n := range nodes {
			cmds[i] = p.Exists(ctx, NodeKey(r.namespace, n))
		}
		return nil
	})
	if err != nil {
		clear(r.nodes) // asked again the next time
		return err
	}
	until := time.Now().Add(leaseCache)
	for i, n := range nodes {
		if cmds[i].Val() == 1 {
			r.nodes[n] = lease{alive: true, until: until}
		} else {
			// Asked again the next time: an edge whose lease had lapsed counts
			// from the moment it has it again, and synchronises from there.
			r.nodes[n] = lease{}
		}
	}
	return nil
}
