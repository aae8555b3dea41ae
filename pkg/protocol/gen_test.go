package protocol

import (
	"encoding/json"
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// texts are JSON texts of any value, with blanks where they may be.
func texts(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kinds := []string{"word", "number", "string"}
		if depth > 0 {
			kinds = append(kinds, "object", "list")
		}
		switch rapid.SampledFrom(kinds).Draw(t, "kind") {
		case "word":
			return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word")
		case "number":
			return rapid.StringMatching(`-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")
		case "string":
			return quoted().Draw(t, "string")
		case "list":
			elements := rapid.SliceOfN(texts(depth-1), 0, 3).Draw(t, "elements")
			return "[" + blank(t) + strings.Join(elements, blank(t)+","+blank(t)) + blank(t) + "]"
		}
		return object(t, depth-1, rapid.IntRange(0, 3).Draw(t, "members"))
	})
}

// frameTexts are JSON objects, with the wire's own keys among others'.
func frameTexts() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string { return object(t, 3, rapid.IntRange(0, 6).Draw(t, "members")) })
}

func object(t *rapid.T, depth, n int, members ...string) string {
	for range n {
		members = append(members, keys().Draw(t, "key")+blank(t)+":"+blank(t)+texts(depth).Draw(t, "value"))
	}
	if len(members) > 1 {
		members = rapid.Permutation(members).Draw(t, "order")
	}
	text := "{" + blank(t)
	for i, m := range members {
		if i > 0 {
			text += "," + blank(t)
		}
		text += m + blank(t)
	}
	return text + "}"
}

func blank(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", "", " ", "\t", "\r", " \t "}).Draw(t, "blank")
}

// quoted are JSON strings, some of whose characters are escapes.
func quoted() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.Map(rapid.StringN(0, 12, -1), quote),
		rapid.StringMatching(`"([ -!#-\[\]-~]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,8}"`),
	)
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // never for a string
	}
	return string(b)
}

// keys are keys that the wire knows, in several spellings, and others.
func keys() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		known := append([]string{"msgId", "time", "code", "error", "Password", "TOKEN", "to\u212Aen", "pa\u017F\u017Fword", "ID", "fromid", "passwords", ""}, fieldNames[:]...)
		key := rapid.OneOf(rapid.SampledFrom(known), rapid.StringN(0, 6, -1)).Draw(t, "name")
		if rapid.IntRange(0, 4).Draw(t, "escaped") > 0 {
			return quote(key)
		}
		escaped := `"`
		for _, r := range key {
			if r > 0xffff {
				return quote(key)
			}
			escaped += fmt.Sprintf(`\u%04x`, r)
		}
		return escaped + `"`
	})
}

// broken are texts with a byte removed, changed or added, or cut short.
func broken(t *rapid.T, text string) []byte {
	b := []byte(text)
	for range rapid.IntRange(0, 2).Draw(t, "faults") {
		at := rapid.IntRange(0, len(b)).Draw(t, "at")
		c := rapid.OneOf(rapid.SampledFrom([]byte("{}[]\",:\\\n 0-.etu\x00\xff\xc3")), rapid.Byte()).Draw(t, "byte")
		switch how := rapid.IntRange(0, 3).Draw(t, "how"); {
		case at == len(b) || how == 0:
			b = append(b[:at:at], append([]byte{c}, b[at:]...)...)
		case how == 1:
			b[at] = c
		case how == 2:
			b = append(b[:at:at], b[at+1:]...)
		default:
			b = b[:at]
		}
	}
	return b
}
