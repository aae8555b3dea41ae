// Package faults proves what Sponge promises: what was acknowledged is stored
// once, numbered once, and reaches every recipient, whatever dies.
//
// It runs the real program, a process for each edge and worker, on real
// services, with a proxy on every link, and lets many clients talk at an open
// schedule while it kills, freezes, cuts and delays. Everything that goes over
// the clients' sockets is written down, and then compared with MySQL and with
// the topics.
//
//	just faults-short    each fault once
//	just faults          each fault ten times, and builds that lack a safeguard
//
// The tests stand behind the tag "faults": they need Java, and a few minutes.
// They know the wire, the schema and the topics, and nothing of the program's
// inside but where its sources are: the builds that lack a safeguard are made
// of those.
package faults
