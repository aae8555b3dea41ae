package client

import (
	"os"
	"strings"
	"testing"

	"sponge/pkg/protocol"
)

// Every frame that the rules show is one that the server takes, or that this
// client reads.
func TestTheFramesInTheRules(t *testing.T) {
	text, err := os.ReadFile("../../docs/client-rules.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[protocol.Type]bool{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if sent, ok := strings.CutPrefix(line, "→ "); ok {
			var f protocol.Frame
			if n, err := f.Parse([]byte(sent)); err != nil || n != len(sent) || !f.Type.Known() {
				t.Errorf("%s: %v", sent, err)
			} else if err := f.Validate().Err(); err != nil {
				t.Errorf("%s: %v", sent, err)
			}
			shown[f.Type] = true
		}
		if received, ok := strings.CutPrefix(line, "← "); ok {
			var f Frame
			if err := f.parse([]byte(received)); err != nil {
				t.Errorf("%s: %v", received, err)
			} else if err := f.Decode(&struct{}{}); err != nil {
				t.Errorf("%s: %v", received, err)
			}
			shown[f.Type] = true
		}
	}
	for _, want := range []protocol.Type{protocol.Ping, protocol.Received, protocol.History, protocol.Offline, protocol.Chat, protocol.Notice} {
		if !shown[want] {
			t.Errorf("no frame of type %d is shown", want)
		}
	}
}
