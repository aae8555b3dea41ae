package workers

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"sponge/pkg/keys"
	"sponge/pkg/presence"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
)

// group serves one topic as a member of its consumer group.
type group struct {
	topic    protocol.Topic
	handler  Handler
	cfg      *Config
	db       *sql.DB
	redis    redis.UniversalClient
	key      *keys.WorkerKey
	journal  *journalWriter
	dead     *deadLetters
	metrics  *metrics
	log      *slog.Logger
	assigned func() // called when a generation's partitions have been taken over
}

func (g *group) name() string { return g.cfg.Namespace + g.topic.Name() }

func (g *group) run(ctx context.Context) error {
	return queue.RunGroup(ctx, queue.GroupConfig{
		Brokers: g.cfg.Kafka, ID: g.name(), Topic: g.name(),
		SessionTimeout: g.cfg.SessionTimeout, FallbackTimeout: g.cfg.FallbackTimeout, Fit: g.fit, Log: g.log,
	}, g.serve)
}

// fit waits until MySQL has the schema and Redis answers.
func (g *group) fit(ctx context.Context) error {
	wait := newBackOff()
	for {
		err := g.try(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		g.log.Warn("waiting to work (sponge migrate makes the schema)", "error", err)
		pause(ctx, wait.NextBackOff())
	}
}

func (g *group) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, unfitAfter)
	defer cancel()
	rows, err := g.db.QueryContext(ctx, "SELECT topic FROM applied LIMIT 0")
	if err != nil {
		return fmt.Errorf("MySQL: %w", err)
	}
	if err := rows.Close(); err != nil {
		return fmt.Errorf("MySQL: %w", err)
	}
	if err := g.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// unfitAfter is for how long a member tries to take partitions over before it
// leaves them to others.
const unfitAfter = 5 * time.Second

// serve works on one generation's partitions until it ends.
func (g *group) serve(ctx context.Context, gen *queue.Generation) error {
	g.log.Info("partitions assigned", "partitions", len(gen.Partitions))
	owned := g.metrics.owned.WithLabelValues(g.topic.Group())
	owned.Set(float64(len(gen.Partitions)))
	defer owned.Set(0)
	started, wait := time.Now(), newBackOff()
	for ctx.Err() == nil {
		parts, err := g.takeOver(ctx, gen.Partitions)
		if err == nil {
			err = g.publishMissing(ctx, parts)
		}
		if err == nil {
			g.work(ctx, gen, parts)
			return nil
		}
		if ctx.Err() == nil {
			g.log.Warn("take over partitions: trying again", "error", err)
			pause(ctx, wait.NextBackOff())
		}
		if time.Since(started) > unfitAfter {
			return queue.ErrUnfit
		}
	}
	return nil
}

// takeOver reads where MySQL stands with each partition, and compares it with
// what Kafka holds.
func (g *group) takeOver(ctx context.Context, ids []int) ([]*partition, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	bounds, err := queue.Offsets(ctx, g.cfg.Kafka, g.name(), ids)
	if err != nil {
		return nil, err
	}
	args := make([]any, 0, 2*len(ids))
	for _, id := range ids {
		args = append(args, g.topic.Group(), id)
	}
	_, err = g.db.ExecContext(ctx, "INSERT IGNORE INTO applied (topic, `partition`, next_offset, announced, last_hash) VALUES "+
		repeat("(?,?,0,0,'')", len(ids)), args...)
	if err != nil {
		return nil, fmt.Errorf("make rows in applied: %w", err)
	}
	rows, err := g.db.QueryContext(ctx, "SELECT `partition`, next_offset, announced, last_hash FROM applied WHERE topic = ?", g.topic.Group())
	if err != nil {
		return nil, fmt.Errorf("read applied: %w", err)
	}
	defer rows.Close()
	var parts []*partition
	for rows.Next() {
		var hash []byte
		p := &partition{}
		if err := rows.Scan(&p.id, &p.next, &p.announce, &hash); err != nil {
			return nil, err
		}
		copy(p.lastHash[:], hash)
		if slices.Contains(ids, p.id) {
			parts = append(parts, p)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(parts, func(a, b *partition) int { return a.id - b.id })
	for _, p := range parts {
		p.first = bounds[p.id].First
		if err := p.compare(bounds[p.id]); err != nil {
			p.stopped.Store(true)
			g.metrics.stopped.WithLabelValues(g.topic.Group(), fmt.Sprint(p.id)).Set(1)
			g.log.Error("PARTITION STOPPED: nothing of it is handled until an operator decides and the worker is restarted",
				"partition", p.id, "next_offset", p.next, "first", bounds[p.id].First, "end", bounds[p.id].Next, "error", err)
		}
	}
	return parts, nil
}

// compare tells whether a topic can be the one that MySQL has applied.
func (p *partition) compare(b queue.Bounds) error {
	switch {
	case p.next > b.Next:
		return fmt.Errorf("the topic ends before what was applied: %w", ErrOtherTopic)
	case p.next < b.First:
		return fmt.Errorf("records were deleted before they were handled: %w", ErrOtherTopic)
	}
	return nil
}

// start is where a partition is read from: at what must be announced again,
// and at least at the record whose hash is known, if Kafka still has it.
func (p *partition) start() int64 {
	return max(min(p.announce, p.next-1), p.first)
}

// work runs lanes, their announcers and the fetcher over the partitions until
// ctx ends.
func (g *group) work(ctx context.Context, gen *queue.Generation, parts []*partition) {
	if len(parts) == 0 {
		g.assigned()
		<-ctx.Done()
		return
	}
	starts := map[int]int64{}
	for _, p := range parts {
		if !p.stopped.Load() {
			starts[p.id] = p.start()
		}
	}
	fetcher := queue.NewFetcher(queue.FetcherConfig{Brokers: g.cfg.Kafka, Topic: g.name(), Log: g.log}, starts)
	var lanes []*lane
	sink := inboxes{}
	for i := range min(g.cfg.Lanes, len(parts)) {
		var mine []*partition
		for k := i; k < len(parts); k += g.cfg.Lanes {
			mine = append(mine, parts[k])
		}
		l := g.newLane(mine, fetcher)
		for _, p := range mine {
			sink[p.id] = l.in
		}
		lanes = append(lanes, l)
	}

	var wg sync.WaitGroup
	wg.Go(func() { fetcher.Run(ctx, sink) })
	wg.Go(func() { g.commitLoop(ctx, gen, lanes) })
	for _, l := range lanes {
		wg.Go(func() { l.announce.run(ctx) })
		wg.Go(func() {
			l.run(ctx)
			close(l.announce.jobs)
		})
	}
	g.assigned()
	wg.Wait()
}

func (g *group) newLane(parts []*partition, fetcher *queue.Fetcher) *lane {
	announced := map[int]int64{}
	for _, p := range parts {
		announced[p.id] = p.announce
	}
	a := &announcer{topic: g.topic, namespace: g.cfg.Namespace, redis: g.redis,
		presence: presence.NewReader(g.redis, g.cfg.Namespace), db: g.db, journal: g.journal,
		metrics: g.metrics, log: g.log}
	a.start(announced)
	in := newInbox(parts)
	in.limit, in.room = waitingBytes/g.cfg.Lanes, fetcher.Wake
	l := &lane{topic: g.topic, handler: g.handler, maxBatch: g.cfg.MaxBatch, deadMax: g.cfg.DeadInRow, db: g.db, parser: newParser(g.topic, g.key),
		in: in, forget: fetcher.Forget, announce: a, dead: g.dead, republish: g.publishFrom, metrics: g.metrics, log: g.log}
	in.lost = l.lost
	return l
}

// commitLoop tells Kafka how far the group has come, for lag displays.
func (g *group) commitLoop(ctx context.Context, gen *queue.Generation, lanes []*lane) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	last := map[int]int64{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed := map[int]int64{}
		for _, l := range lanes {
			l.announce.mu.Lock()
			for p, offset := range l.announce.done {
				if last[p] != offset {
					changed[p], last[p] = offset, offset
				}
			}
			l.announce.mu.Unlock()
		}
		if err := gen.Commit(changed); err != nil && ctx.Err() == nil && !strings.Contains(err.Error(), "rebalance") {
			g.log.Debug("commit offsets for displays", "error", err)
		}
	}
}
