package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"sponge/pkg/audit"
	"sponge/pkg/config"
)

// auditCommand reads the log of everything that clients sent.
type auditCommand struct {
	Dir string `placeholder:"DIR" help:"The data folder of a running sponge up: variables that are not set are taken from its sponge.env."`

	List    auditList           `cmd:"" help:"What the log holds: topics, offsets, times, records a day, how far workers have come."`
	Read    auditRead           `cmd:"" help:"Stream frames with their origin, merged by time."`
	Archive auditArchiveCommand `cmd:"" help:"Copy the log into a directory or a bucket, signed, for as long as it must be proved."`
	Check   auditCheckCommand   `cmd:"" help:"Prove an archive complete and unaltered."`
	Key     auditKeyCommand     `cmd:"" help:"Make the key pair that an archive is signed and checked with."`
	Replay  auditReplay         `cmd:"" help:"Replay the log into an empty database: as it is, or as it was."`
	Verify  auditVerify         `cmd:"" help:"Compare every audited row of production with what its log gives."`
}

// auditConfig configures sponge audit.
type auditConfig struct {
	Kafka     []string `env:"SPONGE_KAFKA" envDefault:"127.0.0.1:9092" doc:"Kafka brokers, host:port, separated by commas"`
	Namespace string   `env:"SPONGE_NAMESPACE" doc:"prefix of every topic and Redis key"`
	MySQL     string   `env:"SPONGE_MYSQL" envDefault:"sponge@tcp(127.0.0.1:3306)/sponge" doc:"MySQL DSN as go-sql-driver takes it, with the database" secret:"true"`
	WorkerKey string   `env:"SPONGE_WORKER_KEY" doc:"the workers' secret; for replay and verify only, which open the verifiers of passwords with it" secret:"true"`
}

// Validate reports every fault of the configuration.
func (c *auditConfig) Validate() error {
	var errs []error
	if len(c.Kafka) == 0 {
		errs = append(errs, errors.New("SPONGE_KAFKA: a value is needed"))
	}
	return errors.Join(append(errs, config.Required("SPONGE_MYSQL", c.MySQL))...)
}

// loadFrom is config.Load, where variables that are not set come from the
// cluster that runs from dir; an empty dir is none.
func loadFrom[T any, P interface {
	*T
	config.Validator
}](dir string) (T, error) {
	if dir == "" {
		return config.Load[T, P]()
	}
	var cfg T
	vars, err := readClusterEnv(dir)
	if err != nil {
		return cfg, err
	}
	for _, v := range config.Variables(cfg) {
		if set, ok := os.LookupEnv(v.Name); ok {
			vars[v.Name] = set
		} else if file := os.Getenv(v.Name + config.FileSuffix); file != "" {
			delete(vars, v.Name)
			vars[v.Name+config.FileSuffix] = file
		}
	}
	if cfg, err = config.LoadFrom[T, P](vars); err != nil {
		return cfg, fmt.Errorf("configuration from %s:\n%w", filepath.Join(dir, clusterEnv), err)
	}
	return cfg, nil
}

// clusterEnv is the file in a cluster's folder that says where it runs, for as
// long as it does.
const clusterEnv = "sponge.env"

// readClusterEnv reads the variables of the cluster that runs from dir.
func readClusterEnv(dir string) (map[string]string, error) {
	file := filepath.Join(dir, clusterEnv)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no cluster runs from %s: sponge up --dir %s leaves %s there while it does", dir, dir, clusterEnv)
	}
	if err != nil {
		return nil, fmt.Errorf("--dir: %w", err)
	}
	vars := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("%s: %q is no variable", file, name)
		}
		vars[name] = value
	}
	return vars, nil
}

// openLog opens the log that is asked for: the topics, or with archive a copy of
// them.
func openLog(ctx context.Context, cfg *auditConfig, archive string) (audit.Log, error) {
	if archive != "" {
		return openArchive(ctx, archive)
	}
	return audit.NewTopics(cfg.Kafka, cfg.Namespace, warnings()), nil
}

// warnings is for what people at a terminal should know.
func warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
