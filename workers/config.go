package workers

import (
	"errors"
	"fmt"
	"time"

	"sponge/pkg/config"
	"sponge/pkg/keys"
)

// Config configures a worker process.
type Config struct {
	Kafka     []string `env:"SPONGE_KAFKA" envDefault:"127.0.0.1:9092" doc:"Kafka brokers, host:port, separated by commas"`
	Redis     string   `env:"SPONGE_REDIS" envDefault:"redis://127.0.0.1:6379/0" doc:"Redis URL (redis://, rediss:// or unix://)" secret:"true"`
	MySQL     string   `env:"SPONGE_MYSQL" envDefault:"sponge@tcp(127.0.0.1:3306)/sponge" doc:"MySQL DSN as go-sql-driver takes it, with the database" secret:"true"`
	Namespace string   `env:"SPONGE_NAMESPACE" doc:"prefix of every topic and Redis key"`
	WorkerKey string   `env:"SPONGE_WORKER_KEY" doc:"the workers' secret, from sponge keys: opens sealed passwords, signs session proofs" secret:"true"`

	MaxBatch        int           `env:"SPONGE_WORKER_BATCH" envDefault:"500" doc:"most records of one transaction, 1 to 5000"`
	Lanes           int           `env:"SPONGE_WORKER_LANES" envDefault:"2" doc:"transactions of a group that a worker may have under way, 1 to 16; each serves its share of the partitions"`
	SessionTimeout  time.Duration `env:"SPONGE_WORKER_SESSION_TIMEOUT" envDefault:"1500ms" doc:"after how long a dead worker's partitions go to others, where the broker allows it"`
	FallbackTimeout time.Duration `env:"SPONGE_WORKER_SESSION_FALLBACK" envDefault:"6s" doc:"the same for brokers that do not allow it"`
	ProofTime       time.Duration `env:"SPONGE_WORKER_PROOF_TIME" envDefault:"30m" doc:"how long a session proof holds; edges renew it at half of that, and notice then that a session was ended elsewhere"`
	SessionTime     time.Duration `env:"SPONGE_WORKER_TOKEN_TIME" envDefault:"720h" doc:"how long a session token logs in again after its last use"`
	DeadInRow       int           `env:"SPONGE_WORKER_DEAD_IN_ROW" envDefault:"5" doc:"so many frames in a row that no handler can take stop their partition, 1 to 1000"`

	ArgonMemory     uint32 `env:"SPONGE_ARGON2_MEMORY" envDefault:"19456" doc:"argon2id memory in KiB for new passwords; OWASP's minimum is 19456 with 2 passes"`
	ArgonIterations uint32 `env:"SPONGE_ARGON2_ITERATIONS" envDefault:"2" doc:"argon2id passes for new passwords"`
	Hashers         int    `env:"SPONGE_ARGON2_PARALLEL" envDefault:"0" doc:"passwords hashed at the same time; 0: one for each core"`
}

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	var errs []error
	if _, err := keys.ParseWorkerKey(c.WorkerKey); err != nil {
		errs = append(errs, fmt.Errorf("SPONGE_WORKER_KEY: %w", err))
	}
	if c.MaxBatch < 1 || c.MaxBatch > 5000 {
		errs = append(errs, fmt.Errorf("SPONGE_WORKER_BATCH: %d is not from 1 to 5000", c.MaxBatch))
	}
	if c.Lanes < 1 || c.Lanes > 16 {
		errs = append(errs, fmt.Errorf("SPONGE_WORKER_LANES: %d is not from 1 to 16", c.Lanes))
	}
	if c.DeadInRow < 1 || c.DeadInRow > 1000 {
		errs = append(errs, fmt.Errorf("SPONGE_WORKER_DEAD_IN_ROW: %d is not from 1 to 1000", c.DeadInRow))
	}
	if c.ArgonMemory < 8 || c.ArgonMemory > 4<<20 || c.ArgonIterations < 1 || c.ArgonIterations > 100 {
		errs = append(errs, errors.New("SPONGE_ARGON2_MEMORY is from 8 to 4194304 KiB, SPONGE_ARGON2_ITERATIONS from 1 to 100"))
	}
	errs = append(errs,
		config.Required("SPONGE_MYSQL", c.MySQL),
		config.Required("SPONGE_REDIS", c.Redis),
		config.Positive("SPONGE_WORKER_SESSION_TIMEOUT", c.SessionTimeout),
		config.Positive("SPONGE_WORKER_SESSION_FALLBACK", c.FallbackTimeout),
		config.Positive("SPONGE_WORKER_PROOF_TIME", c.ProofTime),
		config.Positive("SPONGE_WORKER_TOKEN_TIME", c.SessionTime))
	return errors.Join(errs...)
}
