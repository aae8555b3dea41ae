package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"sponge/pkg/audit/view"
	"sponge/pkg/protocol"
	"sponge/pkg/queue"
	"sponge/workers"
)

// auditList tells what the log holds.
type auditList struct {
	Topic   []string `placeholder:"TOPIC" help:"Only this topic; give it again for more."`
	Days    int      `default:"7" help:"Count the records of so many days, today included; 0: none."`
	Format  string   `default:"table" enum:"table,jsonl" help:"table or jsonl (an object a topic)."`
	Archive string   `placeholder:"LOCATION" help:"Look at an archive instead of the topics."`
}

// Help is the long help.
func (auditList) Help() string {
	return `LAG is how many records wait for workers, as MySQL has it; GROUP LAG how many
the topic's consumer group has not told Kafka of yet, which comes a little later.
Records are counted by their offsets, days in this machine's time zone.`
}

// Run prints to stdout.
func (c *auditList) Run(ctx context.Context, parent *auditCommand) (err error) {
	if c.Days < 0 || c.Days > 1000 {
		return fmt.Errorf("--days: %d is not from 0 to 1000", c.Days)
	}
	cfg, err := loadFrom[auditConfig](parent.Dir)
	if err != nil {
		return err
	}
	log, err := openLog(ctx, &cfg, c.Archive)
	if err != nil {
		return err
	}
	o := view.ListOptions{Days: c.Days, Now: time.Now(), Zone: time.Local}
	for _, t := range c.Topic {
		o.Topics = append(o.Topics, view.TopicName(t))
	}
	if c.Archive == "" {
		o.Committed = cfg.committed
		if o.Applied, err = appliedOffsets(ctx, cfg.MySQL); err != nil {
			fmt.Fprintln(os.Stderr, "sponge: the lag of workers is not known:", err)
		}
	}
	holdings, err := view.List(ctx, log, o)
	if err != nil {
		return err
	}
	return view.WriteHoldings(os.Stdout, c.Format, holdings, time.Local)
}

// committed is how far a topic's consumer group has told Kafka that it is. The
// group is named like the topic.
func (c *auditConfig) committed(ctx context.Context, topic string, partitions []int) (map[int]int64, error) {
	return queue.Committed(ctx, c.Kafka, c.Namespace+topic, c.Namespace+topic, partitions)
}

// appliedTime bounds the wait for a MySQL that does not answer.
const appliedTime = 5 * time.Second

// appliedOffsets is how far workers have come, by topic and partition.
func appliedOffsets(ctx context.Context, dsn string) (map[string]map[int]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, appliedTime)
	defer cancel()
	db, err := workers.OpenDB(dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT topic, `partition`, next_offset FROM applied")
	if err != nil {
		return nil, fmt.Errorf("MySQL: %w", err)
	}
	defer rows.Close()
	out := map[string]map[int]int64{}
	for rows.Next() {
		var group string
		var partition int
		var next int64
		if err := rows.Scan(&group, &partition, &next); err != nil {
			return nil, fmt.Errorf("MySQL: %w", err)
		}
		topic, err := protocol.TopicOf(group)
		if err != nil {
			return nil, err
		}
		if out[topic.Name()] == nil {
			out[topic.Name()] = map[int]int64{}
		}
		out[topic.Name()][partition] = next
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("MySQL: %w", err)
	}
	return out, nil
}
