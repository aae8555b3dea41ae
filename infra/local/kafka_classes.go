package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

const classArchive = "kafka.jsa"

// shareClasses lets the JVM start from an archive of Kafka's classes, which
// takes half of the time and of the CPU. The archive is good for one Java and
// one set of jars. It is made once, by a broker that starts and stops in a
// folder of its own; where that fails, Kafka starts without it.
func (j *kafkaJVM) shareClasses(ctx context.Context, o Options) error {
	c, err := o.cache("kafka")
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(j.java.version + strings.Join(j.jars, "\n")))
	root, err := c.tree(ctx, "classes-"+hex.EncodeToString(sum[:6]), func(root string) error {
		_, err := os.Stat(filepath.Join(root, classArchive))
		return err
	}, func(ctx context.Context, tmp, root string) ([]string, error) {
		o.Progress("preparing kafka's classes for fast starts")
		return []string{classArchive}, j.archiveClasses(ctx, o, tmp, filepath.Join(root, classArchive))
	})
	switch {
	case err == nil:
		j.classes = filepath.Join(root, classArchive)
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		o.Log.Warn("no archive of kafka's classes", "error", err)
	}
	return nil
}

func (j *kafkaJVM) archiveClasses(ctx context.Context, o Options, tmp, archive string) error {
	o, err := Options{Dir: filepath.Join(tmp, "run"), Log: o.Log}.prepare()
	if err != nil {
		return err
	}
	lock, err := lockDir(ctx, o, 0)
	if err != nil {
		return err
	}
	recorder := *j
	recorder.record = archive
	k, err := recorder.run(ctx, o, KafkaConfig{}, lock)
	if err != nil {
		lock.release()
		return err
	}
	return k.Stop(ctx)
}
