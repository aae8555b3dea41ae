package floor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"sponge/pkg/channel"
	"sponge/pkg/envelope"
	"sponge/pkg/protocol"
)

const (
	// batchItems is how many messages an entry tells of at saturation: half of
	// what is under way, while the other half is being stored.
	batchItems = flying / 2
	// unread bounds the entries that wait for the reader.
	unread = flying / batchItems

	readBlock = 500 * time.Millisecond
	readCount = 64
	trimBytes = 16 << 20 // that were read, and are then removed
	streamTTL = time.Hour
)

// stream adds entries to a Redis stream and reads them, each as large as what
// workers tell an edge of so many messages.
type stream struct {
	client *redis.Client
	key    string
	frames *frames
}

// newStream makes a client, which connects on demand.
func newStream(url, namespace, run string, f *frames) (*stream, error) {
	options, err := redis.ParseURL(url)
	if err != nil { // it may hold the password
		return nil, errors.New("SPONGE_REDIS is no Redis URL: redis://:password@host:6379/0 is one")
	}
	options.Protocol = 2
	return &stream{client: redis.NewClient(options), key: namespace + "sponge:floor:" + run, frames: f}, nil
}

// begin makes the stream, by an entry of nothing. Should this process be
// killed, it expires.
func (s *stream) begin(ctx context.Context) error {
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.XAdd(ctx, &redis.XAddArgs{Stream: s.key, ID: "0-*", Values: []any{channel.Field, ""}})
		p.Expire(ctx, s.key, streamTTL)
		return nil
	})
	if err != nil {
		return fmt.Errorf("make a stream: %w", err)
	}
	return nil
}

func (s *stream) close(ctx context.Context) error {
	return errors.Join(s.client.Del(ctx, s.key).Err(), s.client.Close())
}

// entry is what workers tell of items: to each sender a reply, to each
// recipient a push.
func (s *stream) entry(dst []byte, items []int64, now int64) []byte {
	for _, n := range items {
		conv, frame, id := conversation(pairOf(n)), s.frames.append(nil, n), s.frames.id(n).String()
		shown := []envelope.Range{{Conversation: conv, From: 1 << 20, To: 1 << 20}}
		reply := channel.Result{Conns: []uint64{uint64(1000 + pairOf(n))}, Request: uint32(n), Shown: shown,
			Payload: protocol.NewReply(nil, protocol.Chat, protocol.OK, []byte(`"1234567890123.abc"`)).
				Int("TOID", conv.B).Int("seq", 1<<20).Text("msgId", id).Int("time", now).End()}
		push := channel.Result{Push: true, Conns: []uint64{uint64(2000 + pairOf(n))}, Sender: conv.A, Shown: shown,
			Payload: append(protocol.AppendPush(nil, frame[:len(frame)-1], 1<<20, id, now), '\n')}
		dst = push.Append(reply.Append(dst))
	}
	return dst
}

func (s *stream) add(ctx context.Context, entry []byte) error {
	err := s.client.XAdd(ctx, &redis.XAddArgs{Stream: s.key, ID: "0-*", Values: []any{channel.Field, entry}}).Err()
	if err != nil {
		return fmt.Errorf("add to the stream: %w", err)
	}
	return nil
}

// read hands entries to took, from those that are added after from, until ctx
// ends.
func (s *stream) read(ctx context.Context, from string, took func(entry string)) error {
	size := 0
	for ctx.Err() == nil {
		got, err := s.client.XRead(ctx, &redis.XReadArgs{Streams: []string{s.key, from}, Count: readCount, Block: readBlock}).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return ended(ctx, fmt.Errorf("read the stream: %w", err))
		}
		for _, m := range got[0].Messages {
			entry, _ := m.Values[channel.Field].(string)
			took(entry)
			from = m.ID
			size += len(entry)
		}
		if size >= trimBytes {
			size = 0
			if err := s.client.XTrimMinID(ctx, s.key, from).Err(); err != nil {
				return ended(ctx, fmt.Errorf("trim the stream: %w", err))
			}
		}
	}
	return nil
}

// last is the newest entry's id.
func (s *stream) last(ctx context.Context) (string, error) {
	info, err := s.client.XInfoStream(ctx, s.key).Result()
	if err != nil {
		return "", fmt.Errorf("ask how far the stream goes: %w", err)
	}
	return info.LastGeneratedID, nil
}

// Saturate implements bench.Stage.
func (s *stream) Saturate(ctx context.Context, done func(int)) error {
	items := make([]int64, batchItems)
	for i := range items {
		items[i] = int64(i)
	}
	entry := s.entry(nil, items, time.Now().UnixMilli())
	from, err := s.last(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	room := make(chan struct{}, unread)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		return s.read(ctx, from, func(string) {
			done(batchItems)
			<-room
		})
	})
	work.Go(func() error {
		for {
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			if err := s.add(ctx, entry); err != nil {
				return ended(ctx, err)
			}
		}
	})
	return work.Wait()
}

// Carry implements bench.Stage.
func (s *stream) Carry(ctx context.Context, items <-chan int64, arrived func(int64)) error {
	from, err := s.last(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		var bad error
		err := s.read(ctx, from, func(entry string) {
			err := channel.Decode([]byte(entry), func(r *channel.Result) {
				if n, ok := numberIn(r.Payload); ok && r.Push {
					arrived(n)
				}
			})
			bad = errors.Join(bad, err)
		})
		return errors.Join(err, bad)
	})
	work.Go(func() error {
		var entry []byte
		for {
			batch, _ := take(ctx, items, mostRows, nil)
			if len(batch) == 0 {
				return nil
			}
			entry = s.entry(entry[:0], batch, time.Now().UnixMilli())
			if err := s.add(ctx, entry); err != nil {
				return ended(ctx, err)
			}
		}
	})
	return work.Wait()
}
