package edge

// Drop is why a worker's result was not written to a connection: a metric's
// label.
type Drop uint8

// The reasons to drop a result.
const (
	Gone        Drop = iota // the connection was closed, or its user has logged out
	NotLoggedIn             // a push to somebody whose login came to nothing
	Answered                // the frame was answered before, by a deadline or another copy
	Shown                   // the client has been shown the message on this connection
	numDrops
)

// String is the reason as a metric label.
func (d Drop) String() string {
	return [numDrops]string{Gone: "gone", NotLoggedIn: "not logged in", Answered: "answered", Shown: "already shown"}[d]
}
