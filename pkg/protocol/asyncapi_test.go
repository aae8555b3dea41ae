package protocol_test

import (
	"os"
	"path"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestAsyncAPI(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc["asyncapi"] != "3.0.0" {
		t.Errorf("AsyncAPI %v, want 3.0.0", doc["asyncapi"])
	}
	files, used := map[string]bool{}, map[string]bool{}
	for _, ref := range refs(doc) {
		if pointer, ok := strings.CutPrefix(ref, "#/"); ok {
			used[path.Base(pointer)] = true
			if !resolves(doc, strings.Split(pointer, "/")) {
				t.Errorf("%s leads nowhere", ref)
			}
			continue
		}
		files[ref] = true
		document(t, ref)
	}
	for _, m := range messages(t) {
		if !files["schemas/"+m.name+".json"] {
			t.Errorf("no message refers to the schema %s", m.name)
		}
	}
	channel := doc["channels"].(map[string]any)["connection"].(map[string]any)
	for name := range channel["messages"].(map[string]any) {
		if !used[name] {
			t.Errorf("no operation has the message %s", name)
		}
	}
}

// refs are all references within a document.
func refs(doc any) (out []string) {
	switch doc := doc.(type) {
	case map[string]any:
		if ref, ok := doc["$ref"].(string); ok {
			out = append(out, ref)
		}
		for _, value := range doc {
			out = append(out, refs(value)...)
		}
	case []any:
		for _, value := range doc {
			out = append(out, refs(value)...)
		}
	}
	return out
}

func resolves(doc any, keys []string) bool {
	for _, key := range keys {
		object, ok := doc.(map[string]any)
		if !ok {
			return false
		}
		if doc, ok = object[key]; !ok {
			return false
		}
	}
	return true
}
