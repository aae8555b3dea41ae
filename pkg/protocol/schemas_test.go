package protocol_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sponge/pkg/protocol"
)

// message is one schema and what it says of its frame.
type message struct {
	name   string // of the file, without .json
	typ    protocol.Type
	schema *jsonschema.Schema
	keys   map[string]bool // those that it names
}

func (m message) fromServer() bool {
	return strings.HasSuffix(m.name, "-reply") || strings.HasSuffix(m.name, "-push") || m.name == "notice"
}

// document reads one schema as JSON.
func document(t testing.TB, file string) any {
	t.Helper()
	b, err := fs.ReadFile(protocol.Schemas, file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return doc
}

func schemaFiles(t testing.TB) []string {
	t.Helper()
	files, err := fs.Glob(protocol.Schemas, "schemas/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schemas: %v", err)
	}
	return files
}

// messages compiles all schemas, which resolves their references.
func messages(t testing.TB) []message {
	t.Helper()
	const base = "mem:///"
	compiler := jsonschema.NewCompiler()
	for _, file := range schemaFiles(t) {
		if err := compiler.AddResource(base+file, document(t, file)); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	var out []message
	for _, file := range schemaFiles(t) {
		name := strings.TrimSuffix(path.Base(file), ".json")
		schema, err := compiler.Compile(base + file)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if name == "common" {
			continue
		}
		m := message{name: name, typ: protocol.NoType, schema: schema, keys: map[string]bool{}}
		properties := document(t, file).(map[string]any)["properties"].(map[string]any)
		for key := range properties {
			m.keys[key] = true
		}
		typ, err := properties["msgType"].(map[string]any)["const"].(json.Number).Int64()
		if err != nil {
			t.Fatalf("%s: its msgType is no constant: %v", file, err)
		}
		m.typ = protocol.Type(typ)
		out = append(out, m)
	}
	return out
}

// validate finds the schema of a frame's direction and type, and holds the
// frame to it.
func validate(all []message, frame []byte, fromServer bool) (message, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(frame))
	if err != nil {
		return message{}, err
	}
	object, ok := doc.(map[string]any)
	if !ok {
		return message{}, fmt.Errorf("%s is no object", frame)
	}
	i := slices.IndexFunc(all, func(m message) bool {
		return m.fromServer() == fromServer && fmt.Sprint(object["msgType"]) == m.typ.String()
	})
	if i < 0 {
		return message{}, fmt.Errorf("no schema for %s", frame)
	}
	return all[i], all[i].schema.Validate(doc)
}

func TestEveryTypeHasSchemas(t *testing.T) {
	t.Parallel()
	all := messages(t)
	have := map[string]int{}
	for _, m := range all {
		have[fmt.Sprint(m.fromServer(), m.typ)]++
	}
	want := map[string]int{"true 4": 1, "true 9": 1, "true " + protocol.Notice.String(): 1}
	for typ := protocol.Type(0); typ < protocol.Notice; typ++ {
		if typ.Known() {
			want["false "+typ.String()] = 1
			want["true "+typ.Reply().String()] = 1
		}
	}
	for key := range want {
		if have[key] != want[key] {
			t.Errorf("%d schemas for (from server, type) %s, want %d", have[key], key, want[key])
		}
	}
	for key := range have {
		if want[key] == 0 {
			t.Errorf("a schema for (from server, type) %s, which is no message", key)
		}
	}
	for _, m := range all {
		if other, ok := strings.CutSuffix(m.name, "-reply"); ok {
			i := slices.IndexFunc(all, func(r message) bool { return r.name == other })
			if i < 0 || all[i].typ.Reply() != m.typ {
				t.Errorf("%s answers no request of its name", m.name)
			}
		}
	}
}

// TestLimitsInSchemas knows every limit in the schemas: a new one fails until
// it stands here beside its constant.
func TestLimitsInSchemas(t *testing.T) {
	t.Parallel()
	want := map[string]int64{
		"common /$defs/clientId/maxLength":                protocol.MaxID,
		"common /$defs/id/maximum":                        protocol.MaxInt,
		"common /$defs/seq/maximum":                       protocol.MaxInt,
		"common /$defs/name/maxLength":                    protocol.MaxName,
		"common /$defs/description/maxLength":             protocol.MaxDescript,
		"common /$defs/password/maxLength":                protocol.MaxPassword,
		"common /$defs/token/maxLength":                   protocol.MaxToken,
		"common /$defs/messages/maxItems":                 protocol.MaxPage,
		"search /properties/keyword/maxLength":            protocol.MaxName,
		"search /properties/limit/maximum":                protocol.MaxSearch,
		"search /properties/limit/default":                protocol.DefaultSearch,
		"search-reply /properties/users/maxItems":         protocol.MaxSearch,
		"history /properties/limit/maximum":               protocol.MaxPage,
		"history /properties/limit/default":               protocol.MaxPage,
		"history /properties/after/maximum":               protocol.MaxInt,
		"history /properties/before/maximum":              protocol.MaxInt,
		"list-friends-reply /properties/friends/maxItems": protocol.MaxFriends,
		"login-reply /properties/unread/maximum":          maxUnread,
	}
	got := map[string]int64{}
	for _, file := range schemaFiles(t) {
		limits(document(t, file), strings.TrimSuffix(path.Base(file), ".json")+" ", got)
	}
	for at, n := range want {
		if got[at] != n {
			t.Errorf("%s is %d, and the constant %d", at, got[at], n)
		}
	}
	for at, n := range got {
		if _, ok := want[at]; !ok {
			t.Errorf("%s: %d is checked against no constant", at, n)
		}
	}
}

// maxUnread is how far unread is counted: the storage workers' limit.
const maxUnread = protocol.MaxUnread

// limits collects the upper limits and defaults of a schema.
func limits(doc any, at string, out map[string]int64) {
	switch doc := doc.(type) {
	case map[string]any:
		for key, value := range doc {
			here := at + "/" + key
			if n, ok := value.(json.Number); ok && slices.Contains([]string{"maxLength", "maximum", "maxItems", "default"}, key) {
				out[here], _ = n.Int64()
			}
			limits(value, here, out)
		}
	case []any:
		for i, value := range doc {
			limits(value, fmt.Sprint(at, "/", i), out)
		}
	}
}

func TestCodesInSchemas(t *testing.T) {
	t.Parallel()
	defs := document(t, "schemas/common.json").(map[string]any)["$defs"].(map[string]any)
	var got []string
	for _, code := range defs["failureCode"].(map[string]any)["enum"].([]any) {
		got = append(got, fmt.Sprint(code))
	}
	var want []string
	for _, code := range []protocol.Code{
		protocol.Malformed, protocol.Unauthorized, protocol.Forbidden, protocol.NotFound, protocol.Conflict,
		protocol.TooLarge, protocol.TooFast, protocol.Internal, protocol.NotAccepted, protocol.Unknown,
	} {
		want = append(want, code.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("codes %v, want %v", got, want)
	}
}
