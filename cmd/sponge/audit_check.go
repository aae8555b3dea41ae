package main

import (
	"context"
	"fmt"
	"time"

	"sponge/pkg/audit"
	"sponge/pkg/audit/archive"
)

// auditCheckConfig configures sponge audit check.
type auditCheckConfig struct {
	Kafka     []string `env:"SPONGE_KAFKA" envDefault:"127.0.0.1:9092" doc:"Kafka brokers, host:port, separated by commas"`
	Namespace string   `env:"SPONGE_NAMESPACE" doc:"prefix of every topic and Redis key"`
	ArchiveConfig
}

// Validate reports every fault of the configuration.
func (c *auditCheckConfig) Validate() error { return c.ArchiveConfig.Validate() }

// auditCheckCommand proves an archive.
type auditCheckCommand struct {
	Archive string `required:"" placeholder:"LOCATION" help:"The archive: a directory, or s3://bucket/prefix."`
	Key     string `placeholder:"PUBLIC" help:"The public key that it must be signed with, in place of SPONGE_AUDIT_PUBLIC_KEY."`
	Head    string `placeholder:"N:HASH" help:"A head that was written down earlier: the archive must still hold it. Only so is a tail found that was cut off."`
	Topics  bool   `help:"Compare the archive with the topics, record by record, where both hold the same offsets."`
}

// Help is the long help.
func (auditCheckCommand) Help() string {
	return `Reads the whole archive. Each manifest must be signed, and follow from the one
before; each file must be there with the size and SHA-256 that its manifest says;
each line must be a record, and each partition's offsets go on without a gap.
Prints what it has proved; else names the first file, record or gap that is wrong,
and exits with 1.`
}

// Run checks.
func (c *auditCheckCommand) Run(ctx context.Context, parent *auditCommand) error {
	cfg, err := loadFrom[auditCheckConfig](parent.Dir)
	if err != nil {
		return err
	}
	check := archive.CheckConfig{}
	if check.Key, err = cfg.trusted(c.Key); err != nil {
		return err
	}
	if c.Head != "" {
		if check.Head, err = archive.ParseHead(c.Head); err != nil {
			return fmt.Errorf("--head: %w", err)
		}
	}
	store, err := archive.OpenStore(c.Archive, false, cfg.store(archive.Retention{}))
	if err != nil {
		return err
	}
	if c.Topics {
		check.Topics = audit.NewTopics(cfg.Kafka, cfg.Namespace, warnings())
		check.Namespace = &cfg.Namespace
	}
	bar := newProgressLine()
	check.Progress = func(p archive.CheckProgress) {
		if p.Compared > 0 {
			bar.show("compare", p.Compared, p.Records, " records", "")
		} else {
			bar.show("check", p.Bytes>>20, p.TotalBytes>>20, " MiB", "")
		}
	}
	r, err := archive.Check(ctx, store, check)
	bar.end()
	if err != nil {
		return err
	}
	c.print(r, check.Key != nil)
	return nil
}

func (c *auditCheckCommand) print(r *archive.Report, trusted bool) {
	fmt.Println("the archive is complete and unaltered")
	fmt.Printf("  manifests  %d, each following from the one before\n", r.Manifests)
	if trusted {
		fmt.Printf("  signed     all with the key to trust, %s\n", archive.KeyText(r.Key))
	} else {
		fmt.Printf("  signed     all with %s; nobody said (--key) whether that is the right one\n", archive.KeyText(r.Key))
	}
	fmt.Printf("  files      %d, %s (%s of lines)\n", r.Files, megabytes(r.Size), megabytes(r.Unpacked))
	fmt.Printf("  records    %d, from %s to %s\n", r.Records, r.First.Format(time.RFC3339), r.Last.Format(time.RFC3339))
	if r.Lacking > 0 {
		fmt.Printf("  lacking    %d offsets that the brokers had no record for\n", r.Lacking)
	}
	if c.Topics {
		fmt.Printf("  topics     %d of the records are there, too, and are the same\n", r.Compared)
	}
	if c.Head != "" {
		fmt.Printf("  goes back  to %s\n", c.Head)
	}
	fmt.Printf("  head       %s\n", r.Head)
	for _, name := range r.Unnamed {
		fmt.Printf("note: no manifest names %s; it is no part of the archive\n", name)
	}
}
