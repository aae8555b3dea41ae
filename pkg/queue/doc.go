// Package queue is Sponge's use of Kafka: an ordered producer for edges and
// workers, a fetcher and consumer groups for workers, and the topics' upkeep.
//
// Order is what it is for. A Producer never lets a record overtake an earlier
// one of its partition, whatever fails; a Fetcher delivers a partition's
// records by offset without a hole.
//
// It must not know what a record holds: frames, envelopes and rows are its
// callers' business.
package queue
