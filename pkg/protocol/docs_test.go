package protocol_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"sponge/pkg/protocol"
)

const docsFile = "../../docs/protocol.md"

// example is one frame that the document shows.
type example struct {
	line       int
	fromServer bool
	frame      []byte
}

func examples(t *testing.T, doc string) (out []example) {
	t.Helper()
	fenced := false
	for i, line := range strings.Split(doc, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
			continue
		case !fenced:
			continue
		}
		sent, fromClient := strings.CutPrefix(line, "→ ")
		received, fromServer := strings.CutPrefix(line, "← ")
		switch {
		case fromClient:
			out = append(out, example{i + 1, false, []byte(sent)})
		case fromServer:
			out = append(out, example{i + 1, true, []byte(received)})
		default:
			t.Errorf("line %d shows no frame: %s", i+1, line)
		}
	}
	return out
}

// keysOf reads the top level of a frame.
func keysOf(t *testing.T, frame []byte) map[string]json.RawMessage {
	t.Helper()
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(frame, &keys); err != nil {
		t.Fatalf("%s: %v", frame, err)
	}
	return keys
}

func TestExamplesInDocs(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	all := messages(t)
	shown := map[string]bool{}
	list := examples(t, string(doc))
	for i, x := range list {
		m, err := validate(all, x.frame, x.fromServer)
		shown[m.name] = true
		refused := false
		if !x.fromServer {
			refused = checkRequest(t, list[i:])
		}
		if (err != nil) != refused {
			t.Errorf("line %d, which shall be refused: %t: %v", x.line, refused, err)
		}
		for key := range keysOf(t, x.frame) {
			if x.fromServer && !strings.HasSuffix(m.name, "-push") && !m.keys[key] {
				t.Errorf("line %d: the schema %s does not know %s", x.line, m.name, key)
			}
		}
	}
	for _, m := range all {
		if !shown[m.name] {
			t.Errorf("no example of %s", m.name)
		}
	}
}

// checkRequest holds a request and the reply behind it to each other, and
// tells whether it is refused as malformed.
func checkRequest(t *testing.T, list []example) (refused bool) {
	t.Helper()
	request := list[0]
	var f protocol.Frame
	if n, err := f.Parse(request.frame); err != nil || n != len(request.frame) {
		t.Errorf("line %d: Parse: %d bytes, %v", request.line, n, err)
		return false
	}
	if len(list) == 1 || !list[1].fromServer {
		if f.Type != protocol.Received {
			t.Errorf("line %d is not answered", request.line)
		}
		return false
	}
	reply := keysOf(t, list[1].frame)
	want := f.Type.Reply()
	if !f.Type.Known() {
		want = protocol.Unreadable
	}
	if string(reply["msgType"]) != want.String() || !bytes.Equal(reply["id"], f.Echo()) {
		t.Errorf("line %d is no reply to line %d", list[1].line, request.line)
	}
	return string(reply["code"]) == protocol.Malformed.String()
}

func TestEveryTypeIsInDocs(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	for typ := protocol.Type(0); typ < protocol.Notice; typ++ {
		if has := strings.Contains(string(doc), "\n### "+typ.String()+" "); has != typ.Known() {
			t.Errorf("type %s has a section: %t, and is known: %t", typ, has, typ.Known())
		}
	}
}

func TestLimitsInDocs(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(doc)), " ")
	for _, want := range []string{
		"| a frame from a client | " + grouped(protocol.MaxFrame) + " bytes",
		"| a frame from the server | " + grouped(protocol.MaxOutbound) + " bytes |",
		fmt.Sprintf("| objects and lists within one another | %d |", protocol.MaxDepth),
		"`seq` | 1 to " + grouped(protocol.MaxInt) + " |",
		fmt.Sprintf("| `id` | 1 to %d bytes |", protocol.MaxID),
		fmt.Sprintf("| `name` | 1 to %d characters |", protocol.MaxName),
		fmt.Sprintf("| `password` | 1 to %d bytes |", protocol.MaxPassword),
		"| `description` | 0 to " + grouped(protocol.MaxDescript) + " characters |",
		fmt.Sprintf("| messages in a page (114, 116) | %d |", protocol.MaxPage),
		"| friends | " + grouped(protocol.MaxFriends) + " |",
		fmt.Sprintf("| frames outstanding on a connection | %d |", protocol.Window),
		"more than " + grouped(protocol.MaxFriends) + " friends",
		"up to " + grouped(maxUnread) + ";",
		fmt.Sprintf("`limit` 1 to %d, default %d.", protocol.MaxSearch, protocol.DefaultSearch),
		fmt.Sprintf("`limit` is 1 to %d, default %d.", protocol.MaxPage, protocol.MaxPage),
		fmt.Sprintf("at most %d messages and 1 MiB", protocol.MaxPage),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the document does not say %q", want)
		}
	}
}

// grouped writes 65536 as 65,536.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
