//go:build browser

package webclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

type frame = map[string]any

// fake is a server for one user, 6, whose friend is 8. It speaks the frames,
// and does on purpose what a real server does on its worst days.
type fake struct {
	t   *testing.T
	url string

	mu sync.Mutex // guards the following
	// changed is closed, and made anew, when anything below changes.
	changed  chan struct{}
	conn     *websocket.Conn // the latest, once it is logged in
	logins   []time.Time
	got      []frame           // everything that came, but pings
	said     []frame           // the conversation of 6 and 8, by seq-1
	stored   map[string]frame  // replies by id: what a repeat gets
	offline  [][]frame         // the pages that 14 answers with
	cut      map[int]bool      // types whose next frame takes effect, but the connection ends without a reply
	refuse   map[int][]float64 // codes for the next frames of a type
	noResume bool              // tokens are refused
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, said: []frame{}, changed: make(chan struct{}), stored: map[string]frame{}, cut: map[int]bool{}, refuse: map[int][]float64{}}
	mux := http.NewServeMux()
	mux.Handle("/", Handler())
	mux.HandleFunc("/ws", f.serve)
	server := httptest.NewServer(mux)
	f.url = server.URL + "/"
	t.Cleanup(func() {
		f.mu.Lock()
		if f.conn != nil {
			f.conn.CloseNow()
		}
		f.mu.Unlock()
		server.CloseClientConnections()
		server.Close()
	})
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		f.t.Errorf("accept: %v", err)
		return
	}
	defer conn.CloseNow()
	for {
		_, message, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		var in frame
		if err := json.Unmarshal(message, &in); err != nil {
			f.t.Errorf("the client sent %q: %v", message, err)
			return
		}
		if out, ok := f.handle(conn, in); !ok {
			return
		} else if out != nil {
			f.write(conn, out)
		}
	}
}

func (f *fake) write(conn *websocket.Conn, out frame) {
	b, err := json.Marshal(out)
	if err == nil {
		err = conn.Write(context.Background(), websocket.MessageText, b)
	}
	if err != nil {
		f.t.Logf("fake: %v", err) // the browser went away
	}
}

// handle answers a frame; false ends the connection.
func (f *fake) handle(conn *websocket.Conn, in frame) (frame, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.change()
	kind := int(in["msgType"].(float64))
	if kind != 0 {
		f.got = append(f.got, in)
	}
	out := frame{"msgType": 100 + kind, "code": 0}
	if id, ok := in["id"].(string); ok {
		out["id"] = id
		if before, ok := f.stored[id]; ok {
			return before, true
		}
	}
	if codes := f.refuse[kind]; len(codes) > 0 {
		f.refuse[kind] = codes[1:]
		out["code"], out["error"] = codes[0], "on purpose"
		return out, true
	}
	switch kind {
	case 0:
	case 1:
		if in["token"] != nil && f.noResume {
			out["code"], out["error"] = 401, "no such session"
			break
		}
		f.conn, f.logins = conn, append(f.logins, time.Now())
		out["USERID"], out["name"], out["token"], out["unread"] = 6, "user6", "a token", 0
	case 4:
		f.store(6, 8, in["msg"].(string))
		out["TOID"], out["seq"], out["msgId"], out["time"] = 8, len(f.said), "m", time.Now().UnixMilli()
		f.stored[in["id"].(string)] = out
	case 5:
		return nil, true
	case 8:
		out["friends"] = []frame{{"USERID": 8, "name": "user8", "online": true}}
	case 14:
		out["messages"], out["more"] = []frame{}, false
		if len(f.offline) > 0 {
			out["messages"], out["more"] = f.offline[0], len(f.offline) > 1
			f.offline = f.offline[1:]
		}
	case 15:
		out["users"] = []frame{}
	case 16:
		out["messages"], out["more"] = f.history(in)
		out["lastSeq"] = len(f.said)
	default:
		f.t.Errorf("the client sent %v", in)
	}
	if f.cut[kind] {
		f.cut[kind] = false
		return nil, false
	}
	return out, true
}

func (f *fake) history(in frame) ([]frame, bool) {
	limit := int(in["limit"].(float64))
	if after, ok := in["after"].(float64); ok {
		page := f.said[min(int(after), len(f.said)):]
		return page[:min(limit, len(page))], len(page) > limit
	}
	page := f.said
	if before, ok := in["before"].(float64); ok {
		page = page[:min(int(before)-1, len(page))]
	}
	return page[max(0, len(page)-limit):], len(page) > limit
}

func (f *fake) change() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// store puts a message into the conversation. The caller holds mu, or is
// alone.
func (f *fake) store(from, to int, msg string) frame {
	m := frame{"msgType": 4, "FROMID": from, "TOID": to, "msg": msg, "seq": len(f.said) + 1,
		"msgId": fmt.Sprint(len(f.said) + 1), "time": time.Now().UnixMilli()}
	f.said = append(f.said, m)
	return m
}

// say is a message of 8 that is stored, and pushed if that is wanted.
func (f *fake) say(msg string, pushed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.store(8, 6, msg); pushed {
		f.write(f.conn, m)
	}
}

// notice tells the client that the connection ends, and ends it.
func (f *fake) notice(reason string, reconnect bool, after int) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write(f.conn, frame{"msgType": 98, "reason": reason, "reconnect": reconnect, "after": after})
	f.conn.CloseNow()
	return time.Now()
}

// until waits for a condition on what mu guards.
func (f *fake) until(what string, done func() bool) {
	f.t.Helper()
	late := time.After(patience)
	for {
		f.mu.Lock()
		ok, changed := done(), f.changed
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-late:
			f.t.Fatalf("waited too long for %s; the client sent %v", what, f.got)
		}
	}
}

// of are the frames of a type that came. The caller holds mu.
func (f *fake) of(kind float64) (list []frame) {
	for _, g := range f.got {
		if g["msgType"] == kind {
			list = append(list, g)
		}
	}
	return list
}
