package edge

// Reason is why a connection was closed: a metric's label, and what the
// client is told in a notice where its socket still takes one.
type Reason uint8

// The reasons.
const (
	ClientClosed Reason = iota
	Idle
	LoginTimeout
	Oversized
	SlowConsumer
	SessionRevoked
	Draining
	ServerFull
	ProtocolError // of the WebSocket
	WriteFailed
	Internal
	numReasons
)

var reasons = [numReasons]struct {
	label, notice string
	reconnect     bool
}{
	ClientClosed:   {label: "client closed"},
	Idle:           {label: "idle", notice: "idle: nothing was received for too long", reconnect: true},
	LoginTimeout:   {label: "login timeout", notice: "login timeout: log in soon after connecting", reconnect: true},
	Oversized:      {label: "oversized", notice: "oversized: the frame is too large", reconnect: true},
	SlowConsumer:   {label: "slow consumer"}, // its socket takes no notice any more
	SessionRevoked: {label: "session revoked", notice: "session revoked: log in again"},
	Draining:       {label: "draining", notice: "draining: this server is going away", reconnect: true},
	ServerFull:     {label: "server full", notice: "server full: too many connections", reconnect: true},
	ProtocolError:  {label: "protocol error"},
	WriteFailed:    {label: "write failed"},
	Internal:       {label: "internal", notice: "internal error", reconnect: true},
}

// String is the reason as a metric label.
func (r Reason) String() string { return reasons[r].label }
