// Package conformance holds the tests of what Sponge asks of its services: of
// its queue (Kafka), its channels (Redis) and its store (MySQL or MariaDB). It
// has no other code.
//
// The same tests run on each set of services. SPONGE_TEST_SERVICES chooses the
// queue, embedded or real; SPONGE_TEST_STORE the store, mariadb or mysql. A
// service that passes can carry Sponge; what it must be configured with is in
// docs/services.md.
package conformance
