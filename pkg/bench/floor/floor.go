package floor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"sponge/pkg/bench"
	"sponge/pkg/config"
)

// Config is which services are measured, and with what.
type Config struct {
	Kafka     []string `env:"SPONGE_KAFKA" envDefault:"127.0.0.1:9092" doc:"Kafka brokers, host:port, separated by commas"`
	Redis     string   `env:"SPONGE_REDIS" envDefault:"redis://127.0.0.1:6379/0" doc:"Redis URL (redis://, rediss:// or unix://)" secret:"true"`
	MySQL     string   `env:"SPONGE_MYSQL" envDefault:"sponge@tcp(127.0.0.1:3306)/sponge" doc:"MySQL DSN as go-sql-driver takes it, with the database" secret:"true"`
	Namespace string   `env:"SPONGE_NAMESPACE" doc:"prefix of every topic and Redis key"`

	Rate float64 // items a second of the hops
	Size int     // bytes of a message, at least 16
}

// Validate reports every fault of the variables.
func (c *Config) Validate() error {
	return errors.Join(config.Required("SPONGE_MYSQL", c.MySQL), config.Required("SPONGE_REDIS", c.Redis))
}

// cleanWithin bounds the removal of what a run made: some hundred thousand
// rows, mostly.
const cleanWithin = 5 * time.Minute

// Run measures Sponge itself where o has addresses, and then each stage, first
// all of them at the rate, in calm, and then at saturation. It needs schema and
// topics, and refuses to run beside another one on the same database.
func Run(ctx context.Context, o bench.Options, cfg Config) (res *Result, err error) {
	var seed [16]byte
	rand.Read(seed[:]) // never fails
	f, err := newFrames(cfg.Size, seed)
	if err != nil {
		return nil, err
	}
	clean, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var begun []part
	defer func() {
		timeout := time.AfterFunc(cleanWithin, stop)
		defer timeout.Stop()
		if o.Progress != nil && len(begun) > 0 {
			fmt.Fprintln(o.Progress, "removing what the run made")
		}
		for _, one := range slices.Backward(begun) {
			err = errors.Join(err, one.close(clean))
		}
	}()
	run := hex.EncodeToString(seed[:4])
	p := newProduce(cfg.Kafka, cfg.Namespace, run, f)
	s, err := newStore(ctx, cfg.MySQL, p) // first, for its lock keeps other runs away
	if err != nil {
		return nil, err
	}
	r, err := newStream(cfg.Redis, cfg.Namespace, run, f)
	if err != nil {
		return nil, errors.Join(err, s.hangUp())
	}
	for _, one := range []part{s, p, r} {
		begun = append(begun, one)
		if err := one.begin(ctx); err != nil {
			return nil, err
		}
	}

	res = &Result{Case: "floor", Rate: cfg.Rate}
	if len(o.Addrs) > 0 {
		// In this order: at the rate, services that have just started would be slower.
		if res.Chat, err = bench.Chat(ctx, o, pairs, window, cfg.Size); err != nil {
			return nil, fmt.Errorf("chat: %w", err)
		}
		if res.Paced, err = bench.Rate(ctx, o, cfg.Rate, pairs, cfg.Size); err != nil {
			return nil, fmt.Errorf("rate: %w", err)
		}
	}
	for _, st := range []struct {
		name  string
		stage bench.Stage
	}{{"echo", &echo{f}}, {"produce", p}, {"store", s}, {"stream", r}} {
		hop, err := bench.Pace(ctx, o, st.name, cfg.Rate, st.stage)
		if err != nil {
			return nil, err
		}
		res.Stages = append(res.Stages, Stage{Name: st.name, Hop: hop, stage: st.stage})
	}
	for i := range res.Stages { // in this order: store reads what produce leaves
		st := &res.Stages[i]
		if st.Flow, err = bench.Saturate(ctx, o, st.Name, st.stage); err != nil {
			return nil, err
		}
	}
	res.compare()
	return res, nil
}

// part is a stage that has something at the services.
type part interface {
	// begin makes what the stage needs, and removes what is left of runs that
	// were killed.
	begin(ctx context.Context) error
	// close removes what begin and the stage have made, and hangs up. It is
	// called also where begin failed.
	close(ctx context.Context) error
}
