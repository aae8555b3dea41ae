package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/audit/archive"
	"sponge/pkg/config"
	"sponge/pkg/telemetry"
)

// ArchiveConfig configures every command that opens an archive. Its name is
// exported, since the fields of one that is not would be left out where it is
// embedded.
type ArchiveConfig struct {
	PublicKey  string `env:"SPONGE_AUDIT_PUBLIC_KEY" doc:"public key that an archive must be signed with, from sponge audit key; empty: an archive's own is taken"`
	S3Endpoint string `env:"SPONGE_AUDIT_S3_ENDPOINT" doc:"host:port or URL of an S3-compatible store for s3:// archives, http:// for one without TLS; empty: Amazon's. Credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws/credentials, or the machine's role"`
	S3Region   string `env:"SPONGE_AUDIT_S3_REGION" doc:"the bucket's region; empty: the store is asked"`
}

// Validate reports every fault of the configuration.
func (c *ArchiveConfig) Validate() error {
	_, err := c.trusted("")
	return err
}

// trusted is the key to trust: the one given by a flag, else the configured
// one, else nil.
func (c *ArchiveConfig) trusted(flag string) (ed25519.PublicKey, error) {
	for _, k := range []struct{ name, text string }{{"--key", flag}, {"SPONGE_AUDIT_PUBLIC_KEY", c.PublicKey}} {
		if k.text == "" {
			continue
		}
		key, err := archive.ParsePublicKey(k.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
		return key, nil
	}
	return nil, nil
}

func (c *ArchiveConfig) store(retention archive.Retention) archive.StoreConfig {
	return archive.StoreConfig{Endpoint: c.S3Endpoint, Region: c.S3Region, Retention: retention}
}

// openArchive opens an archive as a log.
func openArchive(ctx context.Context, location string) (audit.Log, error) {
	cfg, err := config.Load[ArchiveConfig]()
	if err != nil {
		return nil, err
	}
	store, err := archive.OpenStore(location, false, cfg.store(archive.Retention{}))
	if err != nil {
		return nil, err
	}
	key, err := cfg.trusted("")
	if err != nil {
		return nil, err
	}
	return archive.NewReader(ctx, store, key)
}

// auditArchiveConfig configures sponge audit archive.
type auditArchiveConfig struct {
	Kafka     []string `env:"SPONGE_KAFKA" envDefault:"127.0.0.1:9092" doc:"Kafka brokers, host:port, separated by commas"`
	Namespace string   `env:"SPONGE_NAMESPACE" doc:"prefix of every topic and Redis key"`
	Key       string   `env:"SPONGE_AUDIT_KEY" secret:"true" doc:"secret key that archives are signed with, from sponge audit key; only who writes the archive may have it"`
	ArchiveConfig
}

// Validate reports every fault of the configuration.
func (c *auditArchiveConfig) Validate() error {
	err := config.Required("SPONGE_AUDIT_KEY", c.Key)
	if err == nil {
		_, err = c.key()
	}
	return errors.Join(err, c.ArchiveConfig.Validate())
}

func (c *auditArchiveConfig) key() (ed25519.PrivateKey, error) {
	key, err := archive.ParseKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("SPONGE_AUDIT_KEY: %w", err)
	}
	return key, nil
}

// auditArchiveCommand copies the topics into an archive.
type auditArchiveCommand struct {
	To         string        `required:"" placeholder:"LOCATION" help:"The archive: a directory, or s3://bucket/prefix. It is made where there is none."`
	Every      time.Duration `placeholder:"DURATION" help:"Go on as a service and archive so often, such as 1h. Without: once."`
	Lag        time.Duration `placeholder:"DURATION" help:"Leave records that are younger for the next time."`
	RetainDays int           `placeholder:"N" help:"Have the bucket refuse to remove what is put there, for so many days. It needs object lock."`
	RetainMode string        `default:"GOVERNANCE" enum:"GOVERNANCE,COMPLIANCE" help:"GOVERNANCE: who has a special right may remove it earlier. COMPLIANCE: nobody may, whatever happens."`
}

// Help is the long help.
func (auditArchiveCommand) Help() string {
	return `Goes on where the archive ends. A run that found something new writes files and
then one manifest, which names them and is signed with SPONGE_AUDIT_KEY: what no
manifest names is no part of the archive. Records that retention removed before
they were archived are an error that names them; the rest is archived all the
same. Only one archiver may write to an archive; a second does no harm.

The line that it prints ends with the archive's head, a number and a hash: who
writes it down elsewhere can have sponge audit check prove later that nothing was
cut off.`
}

// Run archives once or as a service.
func (c *auditArchiveCommand) Run(ctx context.Context, parent *auditCommand) error {
	t, terr := config.Load[telemetry.Config]()
	cfg, err := loadFrom[auditArchiveConfig](parent.Dir)
	if err := errors.Join(terr, err); err != nil {
		return err
	}
	if c.Every < 0 || c.Lag < 0 {
		return errors.New("--every and --lag are not below 0")
	}
	key, err := cfg.key()
	if err != nil {
		return err
	}
	trusted, err := cfg.trusted("")
	if err != nil {
		return err
	}
	if own := key.Public().(ed25519.PublicKey); trusted != nil && !trusted.Equal(own) {
		return errors.New("SPONGE_AUDIT_KEY and SPONGE_AUDIT_PUBLIC_KEY are not of one pair")
	}
	store, err := archive.OpenStore(c.To, true, cfg.store(archive.Retention{Mode: c.RetainMode, Days: c.RetainDays}))
	if err != nil {
		return err
	}
	log := t.Logger(os.Stderr).With("role", "archive")
	bar := newProgressLine()
	a := archive.NewArchiver(archive.Config{Log: audit.NewTopics(cfg.Kafka, cfg.Namespace, log), Store: store, Key: key,
		Namespace: cfg.Namespace, Lag: c.Lag, Logger: log,
		Progress: func(p archive.Progress) { bar.show("archive", p.Done, p.Total, " records", "") }})
	if c.Every > 0 {
		bar.on = false // the log tells
		return a.Run(ctx, c.Every)
	}
	res, err := a.RunOnce(ctx)
	bar.end()
	switch {
	case res.Manifests > 0:
		fmt.Printf("archived %d records in %d files, %s (%s of lines); head %s\n",
			res.Records, res.Files, megabytes(res.Size), megabytes(res.Unpacked), res.Head)
	case err == nil && res.Head.Number > 0:
		fmt.Printf("nothing new; head %s\n", res.Head)
	case err == nil:
		fmt.Println("nothing to archive yet")
	}
	return err
}

// auditKeyCommand makes the keys of an archive.
type auditKeyCommand struct{}

// Run prints a new key pair.
func (auditKeyCommand) Run() error {
	secret, public := archive.GenerateKey()
	fmt.Printf("SPONGE_AUDIT_KEY=%s\nSPONGE_AUDIT_PUBLIC_KEY=%s\n", secret, public)
	return nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
