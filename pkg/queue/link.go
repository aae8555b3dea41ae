package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

const (
	clientID = "sponge"
	dialTime = 3 * time.Second
	// linkIdle is how long a link is used again: brokers end silent ones after
	// ten minutes.
	linkIdle = 5 * time.Minute
	// lookUpTime bounds the question who leads, to one broker.
	lookUpTime = 2 * time.Second
)

// errNotSent means that a link could not even send a request.
var errNotSent = errors.New("queue: no connection to the broker")

// link is a connection to one broker, for one request at a time, in the
// goroutine that asks. kafka-go's pool would pass each request to a goroutine
// and its answer back, and look for brokers once a second; a lone record would
// cost more in turns than in work. Not safe for concurrent use.
type link struct {
	addr string // of the connection
	conn *protocol.Conn
	stop func() bool // ends the watch over ctx
	used time.Time
}

// do sends a request to a broker and returns its answer. within bounds all of
// it. ctx must be the same each time; its end ends a request that
// is under way. After an error nothing is left of the connection, and the error
// is errNotSent where the broker has certainly not got the request.
func (l *link) do(ctx context.Context, addr string, within time.Duration, req protocol.Message) (protocol.Message, error) {
	if l.conn != nil && (l.addr != addr || time.Since(l.used) > linkIdle) {
		l.close()
	}
	l.used = time.Now()
	end := l.used.Add(within)
	if l.conn == nil {
		conn, err := dial(ctx, addr, end)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotSent, err)
		}
		l.addr, l.conn = addr, conn
		l.stop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	}
	if err := l.conn.SetDeadline(end); err != nil || ctx.Err() != nil {
		l.close()
		return nil, fmt.Errorf("%w: %w", errNotSent, errors.Join(err, ctx.Err()))
	}
	res, err := l.conn.RoundTrip(req)
	if err != nil {
		l.close()
		return nil, errors.Join(err, ctx.Err())
	}
	return res, nil
}

// close may be called again.
func (l *link) close() {
	if l.conn != nil {
		l.stop()
		_ = l.conn.Close()
		l.conn = nil
	}
}

// dial connects and agrees on the versions of requests, for dialTime and until
// end at most.
func dial(ctx context.Context, addr string, end time.Time) (*protocol.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, dialTime)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn := protocol.NewConn(nc, clientID)
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	res, err := conn.RoundTrip(new(apiversions.Request))
	if !stop() && err == nil {
		err = ctx.Err()
	}
	versions, ok := res.(*apiversions.Response)
	switch {
	case err != nil:
	case !ok:
		err = fmt.Errorf("unexpected response %T", res)
	case versions.ErrorCode != 0:
		err = kafka.Error(versions.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", addr, errors.Join(err, conn.Close()))
	}
	known := make(map[protocol.ApiKey]int16, len(versions.ApiKeys))
	for _, v := range versions.ApiKeys {
		key := protocol.ApiKey(v.ApiKey)
		known[key] = key.SelectVersion(v.MinVersion, v.MaxVersion)
	}
	conn.SetVersions(known)
	return conn, nil
}

// directory is who leads what.
type directory struct {
	addrs  map[int]string                          // of brokers, by id
	topics map[string][]metadata.ResponsePartition // of those that exist
	errs   map[string]error                        // of those that do not
}

// lookUp asks the first of the brokers that answers who leads the partitions of
// topics. It begins with any of them.
func lookUp(ctx context.Context, brokers []string, topics ...string) (*directory, error) {
	failed := errors.New("queue: no broker tells who leads")
	for _, i := range rand.Perm(len(brokers)) {
		var l link
		res, err := l.do(ctx, brokers[i], lookUpTime, &metadata.Request{TopicNames: topics})
		l.close()
		meta, ok := res.(*metadata.Response)
		if err == nil && !ok {
			err = fmt.Errorf("unexpected response %T", res)
		}
		if err == nil {
			return newDirectory(meta), nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

func newDirectory(meta *metadata.Response) *directory {
	d := &directory{addrs: map[int]string{}, topics: map[string][]metadata.ResponsePartition{}, errs: map[string]error{}}
	for _, b := range meta.Brokers {
		d.addrs[int(b.NodeID)] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	for _, t := range meta.Topics {
		if t.ErrorCode != 0 {
			d.errs[t.Name] = kafka.Error(t.ErrorCode)
		} else {
			d.topics[t.Name] = t.Partitions
		}
	}
	return d
}

// leader is the broker that leads a partition, -1 where there is none.
func (d *directory) leader(p *metadata.ResponsePartition) int {
	if _, ok := d.addrs[int(p.LeaderID)]; !ok {
		return -1
	}
	return int(p.LeaderID)
}
