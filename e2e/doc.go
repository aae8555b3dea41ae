// Package e2e is the wire's black-box suite. It builds the sponge program, runs
// it as people run it (all of it with "sponge up", and each role as a process of
// its own), and speaks to it through real sockets only.
//
// It must not know how Sponge is built: it imports none of its packages but
// infra/local, which starts the services that the separate roles are given.
// What it expects comes from the wire's description alone.
package e2e
