package queue

import (
	"errors"

	"github.com/segmentio/kafka-go"
	produceAPI "github.com/segmentio/kafka-go/protocol/produce"
)

// errNoAnswer means that a response left a partition out.
var errNoAnswer = errors.New("queue: the broker did not answer for the partition")

func partitionError(res *produceAPI.Response, q *partitionQueue) error {
	for i := range res.Topics {
		if res.Topics[i].Topic != q.topic {
			continue
		}
		for _, part := range res.Topics[i].Partitions {
			if int(part.Partition) == q.id {
				if part.ErrorCode != 0 {
					return kafka.Error(part.ErrorCode)
				}
				return nil
			}
		}
	}
	return errNoAnswer
}

// isRefusal reports whether Kafka will never take this batch as it is.
func isRefusal(err error) bool {
	for _, e := range []kafka.Error{kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidRecord, kafka.InvalidTimestamp, kafka.UnsupportedForMessageFormat} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// isMoved reports whether another broker may lead the partition now.
func isMoved(err error) bool {
	var code kafka.Error
	if !errors.As(err, &code) {
		return true // no connection, or no answer
	}
	switch code {
	case kafka.NotLeaderForPartition, kafka.LeaderNotAvailable, kafka.UnknownTopicOrPartition,
		kafka.ReplicaNotAvailable, kafka.BrokerNotAvailable, kafka.FencedLeaderEpoch, kafka.KafkaStorageError:
		return true
	}
	return false
}

// neverArrived reports whether err proves that nothing was appended. A leader
// that has appended, and waits for its followers, may still answer that it is
// none any more, or has lost its disk: only what is said before an append counts.
func neverArrived(err error) bool {
	for _, e := range []kafka.Error{kafka.NotEnoughReplicas, kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed,
		kafka.UnsupportedVersion, kafka.InvalidTopic, kafka.InvalidRequiredAcks} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.Is(err, errNotSent)
}
