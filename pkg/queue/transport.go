package queue

import (
	"net"
	"time"

	"github.com/segmentio/kafka-go"
)

// newTransport is kafka-go's connection pool, for what is asked once: see link
// for the rest. A topic that was just made is unknown until MetadataTTL has
// passed.
func newTransport() *kafka.Transport {
	return &kafka.Transport{
		ClientID:    clientID,
		DialTimeout: dialTime,
		IdleTimeout: 5 * time.Minute,
		MetadataTTL: time.Second,
	}
}

func brokerAddr(brokers []string) net.Addr { return kafka.TCP(brokers...) }

// damper lets a repeated warning through now and then.
type damper struct{ next time.Time }

func (d *damper) pass() bool {
	now := time.Now()
	if now.Before(d.next) {
		return false
	}
	d.next = now.Add(5 * time.Second)
	return true
}
