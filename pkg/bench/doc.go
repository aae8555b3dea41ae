// Package bench puts load on Sponge through the wire and accounts for every
// message: what was acknowledged must reach each of its recipients once, in
// order, under the number that the sender was told.
//
// A run has four parts: the accounts and connections it needs are made; a
// warm-up, whose messages are accounted for but not measured; the measured
// time; and a bounded time to settle, after which what has not arrived is lost.
//
// Stages are parts of a message's way that others measure with this package's
// clock and schedule (Saturate, Pace).
//
// The package must not know anything of Sponge but the wire. It knows the
// clock, the process's own CPU time, and the memory of one other process.
package bench
