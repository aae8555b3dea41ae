// Package floor does the work of a chat message without Sponge, on the same
// services: it tells what the parts allow, and so what Sponge's own share is.
//
// Four stages, each a few lines around a client library: produce (records to
// Kafka), store (records from Kafka to rows), stream (entries of a Redis
// stream) and echo (frames over TCP). What they carry is as large as what
// Sponge makes of the same messages, and as much is under way at a time.
//
// Whatever a run makes has a name or an id of its own, and is removed at its
// end, however it ends. The package knows services, tables and sizes. It must
// not know how edges and workers go about it.
package floor
