// Package local starts the services that a laptop or a test needs: a private
// MariaDB or MySQL and a private Redis on unix sockets, a Kafka on a loopback
// port, embedded or real, and a balancer.
//
// Programs are taken from this machine, or else from a private copy that the
// system's package manager fetches without root; Kafka's jars, with Maven. The
// servers die with the
// process that started them, however that ends, and keep their data in a
// directory of their own.
//
// The package knows services and processes. It must not know anything of chat:
// no topic, key, schema or setting of Sponge's own.
package local

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

var (
	// ErrUnavailable says that a program is neither on this machine nor to be
	// had for it. The error's text says what to install.
	ErrUnavailable = errors.New("not available on this machine")

	// ErrInUse says that another process, or a server that it left behind,
	// holds the directory. The error's text names both.
	ErrInUse = errors.New("directory is in use")
)

// Options says where a service lives and whom to tell about its start.
type Options struct {
	// Dir holds this service's data, log and, where its path is short enough,
	// socket. It is created, kept between runs, and belongs to one running
	// service at a time.
	Dir string

	// Cache holds private copies of programs, shared by all processes of this
	// user. Empty means the folder "sponge" in os.UserCacheDir.
	Cache string

	// BufferPool is the size of MariaDB's InnoDB buffer pool in bytes; zero
	// means 256 MiB. The other services ignore it.
	BufferPool int64

	// Progress gets one short line for each step that a waiting human wants to
	// know of. It is called by the starting goroutine. Nil is silent.
	Progress func(string)

	// Log gets what an operator may want to read later. Nil discards.
	Log *slog.Logger
}

// prepare fills in defaults and creates Dir.
func (o Options) prepare() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("local: Options.Dir is empty")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, fmt.Errorf("local: %w", err)
	}
	o.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return o, fmt.Errorf("local: %w", err)
	}
	if o.BufferPool == 0 {
		o.BufferPool = 256 << 20
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
