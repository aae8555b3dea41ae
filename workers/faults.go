package workers

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/go-sql-driver/mysql"
)

// errBroken makes database/sql throw a connection away.
var errBroken = driver.ErrBadConn

var errNoFrame = errors.New("no frame that belongs to this topic")

// ErrRepeat means that a batch holds a frame that was stored before; the
// runtime repeats the batch with Tx.Careful set.
var ErrRepeat = errors.New("workers: a frame of the batch was stored before")

// Fault says whose fault an error is, which decides what happens to a batch.
type Fault uint8

// The faults.
const (
	// FaultOurs is everything that may pass: MySQL away, disk full, deadlock,
	// read-only failover. The whole batch is repeated, for ever.
	FaultOurs Fault = iota
	// FaultRepeat asks for the batch again, with Tx.Careful.
	FaultRepeat
	// FaultFrame is one frame's: a panic or a data error. The batch is repeated
	// frame by frame and the culprit goes to the dead-letter topic.
	FaultFrame
)

// String is the fault as a metric label.
func (f Fault) String() string {
	switch f {
	case FaultOurs:
		return "ours"
	case FaultRepeat:
		return "repeat"
	case FaultFrame:
		return "frame"
	}
	return "unknown"
}

// panicError is a handler's panic.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// guard runs f and turns a panic into a *panicError.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return f()
}

// brokenError is a record that is no frame.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return "no frame: " + e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// FaultOf tells whose fault it is that a batch failed with err.
func FaultOf(err error) Fault {
	var (
		panicked *panicError
		broken   *brokenError
		my       *mysql.MySQLError
	)
	switch {
	case errors.Is(err, ErrRepeat):
		return FaultRepeat
	case errors.As(err, &panicked), errors.As(err, &broken):
		return FaultFrame
	case errors.As(err, &my):
		switch my.Number {
		case errDuplicate:
			return FaultRepeat
		case errNotNull, errOutOfRange, errIncorrect, errBadDate, errTooLong:
			return FaultFrame
		}
	}
	return FaultOurs
}
