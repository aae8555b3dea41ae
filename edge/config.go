package edge

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"sponge/pkg/config"
	"sponge/pkg/keys"
	"sponge/pkg/protocol"
)

// Config is an edge node's configuration.
type Config struct {
	Kafka     []string `env:"SPONGE_KAFKA" envDefault:"127.0.0.1:9092" doc:"Kafka brokers to begin with, host:port, separated by commas."`
	Redis     string   `env:"SPONGE_REDIS" envDefault:"redis://127.0.0.1:6379/0" doc:"Redis server, as a redis://, rediss:// or unix:// URL." secret:"true"`
	Namespace string   `env:"SPONGE_NAMESPACE" doc:"Prefix of every topic and Redis key; the same for all roles of a cluster."`
	SealKey   string   `env:"SPONGE_SEAL_KEY" doc:"Public key, 32 bytes in base64, that passwords and tokens are sealed with; required."`

	Node          string   `env:"SPONGE_EDGE_NODE" doc:"Name of this node, 1 to 64 letters, digits, dots, dashes or underscores; unique in the cluster. Empty for the host's name."`
	Listen        []string `env:"SPONGE_EDGE_LISTEN" envDefault:":8000" doc:"TCP addresses to listen on, host:port, separated by commas."`
	SharedListen  []string `env:"SPONGE_EDGE_SHARED_LISTEN" doc:"TCP addresses that several edges of this machine listen on together (Linux only), separated by commas."`
	WebListen     string   `env:"SPONGE_EDGE_WEB_LISTEN" doc:"TCP address that serves WebSockets at /ws; empty for none."`
	MetricsListen string   `env:"SPONGE_METRICS_LISTEN" doc:"TCP address that serves metrics and health; empty for none."`

	MaxConnections int           `env:"SPONGE_EDGE_MAX_CONNECTIONS" envDefault:"0" doc:"Connections that may be open at once; 0 for no limit."`
	MaxFrame       int           `env:"SPONGE_EDGE_MAX_FRAME" envDefault:"65536" doc:"Largest frame that a client may send, in bytes, 1024 to 262144."`
	MaxOutbound    int           `env:"SPONGE_EDGE_MAX_OUTBOUND" envDefault:"4194304" doc:"Bytes that may wait for a client that reads slowly, at least 1048576."`
	QueueBytes     int64         `env:"SPONGE_EDGE_QUEUE_BYTES" envDefault:"67108864" doc:"Bytes of records that may wait for Kafka, at least 1048576; frames beyond are refused with 503."`
	LoginTimeout   time.Duration `env:"SPONGE_EDGE_LOGIN_TIMEOUT" envDefault:"5m" doc:"Time that a connection may stay without a login, above 0."`
	IdleTimeout    time.Duration `env:"SPONGE_EDGE_IDLE_TIMEOUT" envDefault:"2h" doc:"Time that a connection may stay without sending a byte, above 0."`
	WriteTimeout   time.Duration `env:"SPONGE_EDGE_WRITE_TIMEOUT" envDefault:"30s" doc:"Time in which a client must take some of what waits for it, above 0."`
	AnswerTimeout  time.Duration `env:"SPONGE_EDGE_ANSWER_TIMEOUT" envDefault:"10s" doc:"Time within which every frame is answered, above RepublishAfter."`
	RepublishAfter time.Duration `env:"SPONGE_EDGE_REPUBLISH_AFTER" envDefault:"4s" doc:"Time after which an unanswered frame is published once more, above 0."`
	ShedAfter      time.Duration `env:"SPONGE_EDGE_SHED_AFTER" envDefault:"0s" doc:"How far behind the workers of a partition may be before its frames are refused with 503; best below SPONGE_EDGE_REPUBLISH_AFTER. 0 for never: whoever leaves without hearing of a refusal may find later frames before earlier ones."`
	ReportEvery    time.Duration `env:"SPONGE_EDGE_REPORT_EVERY" envDefault:"1s" doc:"Time for which delivery marks are gathered before they are reported, above 0."`
	DrainTimeout   time.Duration `env:"SPONGE_EDGE_DRAIN_TIMEOUT" envDefault:"15s" doc:"Time that a stopping edge waits for outstanding answers and its queues, above 0."`
}

// Validate returns every fault in one error.
func (c *Config) Validate() error {
	faults := []error{
		config.Required("SPONGE_SEAL_KEY", c.SealKey),
		config.Positive("SPONGE_EDGE_LOGIN_TIMEOUT", c.LoginTimeout),
		config.Positive("SPONGE_EDGE_IDLE_TIMEOUT", c.IdleTimeout),
		config.Positive("SPONGE_EDGE_WRITE_TIMEOUT", c.WriteTimeout),
		config.Positive("SPONGE_EDGE_REPUBLISH_AFTER", c.RepublishAfter),
		config.Positive("SPONGE_EDGE_REPORT_EVERY", c.ReportEvery),
		config.Positive("SPONGE_EDGE_DRAIN_TIMEOUT", c.DrainTimeout),
	}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(len(c.Kafka) > 0, "SPONGE_KAFKA: at least one broker is needed")
	_, err := redis.ParseURL(c.Redis) // the error may hold the password
	check(err == nil, "SPONGE_REDIS: no Redis URL: redis://:password@host:6379/0 is one")
	if c.SealKey != "" {
		if _, err := keys.ParseSealKey(c.SealKey); err != nil {
			check(false, "SPONGE_SEAL_KEY: %w", err)
		}
	}
	check(c.Node == "" || validName(c.Node), "SPONGE_EDGE_NODE: %q is not 1 to 64 letters, digits, dots, dashes or underscores", c.Node)
	check(len(c.Listen)+len(c.SharedListen) > 0 || c.WebListen != "", "SPONGE_EDGE_LISTEN: an address is needed")
	check(c.ShedAfter >= 0, "SPONGE_EDGE_SHED_AFTER: %s is below 0", c.ShedAfter)
	check(c.MaxConnections >= 0, "SPONGE_EDGE_MAX_CONNECTIONS: %d is below 0", c.MaxConnections)
	check(c.MaxFrame >= 1024 && c.MaxFrame <= 256<<10, "SPONGE_EDGE_MAX_FRAME: %d is not from 1024 to 262144", c.MaxFrame)
	check(c.MaxOutbound >= protocol.MaxOutbound, "SPONGE_EDGE_MAX_OUTBOUND: %d is below %d", c.MaxOutbound, protocol.MaxOutbound)
	check(c.QueueBytes >= 1<<20, "SPONGE_EDGE_QUEUE_BYTES: %d is below 1048576", c.QueueBytes)
	check(c.AnswerTimeout > c.RepublishAfter, "SPONGE_EDGE_ANSWER_TIMEOUT: %s is not above SPONGE_EDGE_REPUBLISH_AFTER", c.AnswerTimeout)
	return errors.Join(faults...)
}

// NodeName is Node, or else the host's name: containers of one image have one of
// their own each. It is "edge" where the host's name would not be valid.
func (c *Config) NodeName() string {
	if c.Node != "" {
		return c.Node
	}
	if name, err := os.Hostname(); err == nil && validName(name) {
		return name
	}
	return "edge"
}

func validName(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
	return len(s) >= 1 && len(s) <= 64 && strings.Trim(s, allowed) == ""
}
