package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

// GroupConfig is what membership in a consumer group needs.
type GroupConfig struct {
	Brokers []string
	ID      string
	Topic   string
	// SessionTimeout is after how long a member that died loses its
	// partitions. A broker that does not allow so short a time gets
	// FallbackTimeout.
	SessionTimeout  time.Duration
	FallbackTimeout time.Duration
	// Fit waits until this process can work, before it joins: a member that
	// cannot would hold partitions that others could serve.
	Fit func(context.Context) error
	Log *slog.Logger
}

// ErrUnfit is what serve returns to leave the group until Fit says otherwise.
var ErrUnfit = errors.New("queue: this member cannot work")

// Generation is one assignment of partitions to this member.
type Generation struct {
	Partitions []int
	g          *kafka.Generation
	topic      string
}

// Commit tells Kafka how far the partitions have been handled, for lag
// displays only: nobody starts from there.
func (g *Generation) Commit(offsets map[int]int64) error {
	if len(offsets) == 0 {
		return nil
	}
	return g.g.CommitOffsets(map[string]map[int]int64{g.topic: offsets})
}

// coordinatorStart is how long a cluster may take to get its groups ready: the
// topic for their offsets is made when the first member asks.
const coordinatorStart = 5 * time.Second

func isStarting(err error) bool {
	return errors.Is(err, kafka.GroupCoordinatorNotAvailable) || errors.Is(err, kafka.GroupLoadInProgress) ||
		errors.Is(err, kafka.NotCoordinatorForGroup)
}

// RunGroup keeps this process a member of a consumer group until ctx ends, and
// calls serve with each assignment. The context that serve gets ends when the
// partitions are taken away; serve must return soon then. It returns nil, or
// ErrUnfit.
func RunGroup(ctx context.Context, cfg GroupConfig, serve func(context.Context, *Generation) error) error {
	timeout := cfg.SessionTimeout
	for ctx.Err() == nil {
		if err := cfg.Fit(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		err := runGroup(ctx, cfg, timeout, serve)
		if errors.Is(err, ErrUnfit) {
			cfg.Log.Warn("group left: its partitions go to others", "group", cfg.ID)
			continue
		}
		if !errors.Is(err, kafka.InvalidSessionTimeout) {
			return err
		}
		if timeout == cfg.FallbackTimeout {
			return fmt.Errorf("the broker allows neither a session timeout of %s nor of %s: %w", cfg.SessionTimeout, timeout, err)
		}
		cfg.Log.Warn("the broker does not allow so short a session timeout: a worker that dies is noticed later; set group.min.session.timeout.ms=1000",
			"wanted", timeout, "used", cfg.FallbackTimeout)
		timeout = cfg.FallbackTimeout
	}
	return nil
}

func runGroup(ctx context.Context, cfg GroupConfig, timeout time.Duration, serve func(context.Context, *Generation) error) error {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: cfg.ID, Brokers: cfg.Brokers, Topics: []string{cfg.Topic},
		GroupBalancers:    []kafka.GroupBalancer{kafka.RangeGroupBalancer{}},
		HeartbeatInterval: min(timeout/5, 500*time.Millisecond),
		SessionTimeout:    timeout,
		RebalanceTimeout:  2 * time.Second,
		JoinGroupBackoff:  100 * time.Millisecond,
		Timeout:           5 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("group %s: %w", cfg.ID, err)
	}
	defer group.Close()
	var warned damper
	started := time.Now()
	for {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, kafka.ErrGroupClosed):
			return nil
		case errors.Is(err, kafka.InvalidSessionTimeout):
			return err
		case isStarting(err) && time.Since(started) < coordinatorStart:
			cfg.Log.Debug("group: no coordinator yet", "group", cfg.ID, "error", err)
			continue
		case err != nil:
			if warned.pass() {
				cfg.Log.Warn("group: trying again", "group", cfg.ID, "error", err)
			}
			continue // Next waits by itself before the next attempt
		}
		mine := &Generation{g: gen, topic: cfg.Topic}
		for _, a := range gen.Assignments[cfg.Topic] {
			mine.Partitions = append(mine.Partitions, a.ID)
		}
		slices.Sort(mine.Partitions)
		done := make(chan error, 1)
		gen.Start(func(genCtx context.Context) {
			var err error
			defer func() { done <- err }()
			both, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			stop := context.AfterFunc(genCtx, func() { cancel(kafka.ErrGenerationEnded) })
			defer stop()
			if err = serve(both, mine); err == nil {
				<-genCtx.Done() // a generation lasts until the group ends it
			}
		})
		select {
		case err := <-done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			group.Close() // ends the generation, which waits for serve
			<-done
			return nil
		}
	}
}
