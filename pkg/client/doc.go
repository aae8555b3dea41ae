// Package client is a Go client of the wire over TCP that follows the rules
// for losing nothing:
//
//   - Every frame carries an id, and is kept until it is answered. After a
//     reconnect, what was not answered is sent again with the same id, in the
//     same order, so that it has its effect once.
//   - A push whose seq does not follow the last one of its conversation is
//     held back while the hole is filled by 16; one that was seen before is
//     dropped. What arrived during an absence is fetched by 14 and 16; where a
//     conversation begins that the client did not know, 14 tells.
//   - A client that confirms (Config.Confirm) moves its delivered cursor with
//     5, after the push was handed over and not before.
//   - A lost connection is made again by itself, to one address after another,
//     with a growing and jittered pause, or after as long as a notice (98)
//     asked for. The session is resumed by its token.
//   - Silence is broken by pings; a server that does not answer is left.
//
// The reasons are in docs/client-rules.md.
//
// A client costs one goroutine and, while nothing arrives, little memory; no
// frame allocates on the way of Post and the callbacks. So the same client
// serves programs and load generators.
//
// The package must not know what conversations mean, nor anything of Sponge
// but the wire.
package client
