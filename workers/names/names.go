// Package names finds names by any part of them, in any script, with an index
// of the one- and two-character pieces of lower-case names: registering writes
// it, searching reads it. It must not know SQL.
package names

import "strings"

// Fold is how names and keywords are compared.
func Fold(s string) string { return strings.ToLower(s) }

// Grams are all pieces of one and two characters of a folded name, each once:
// at most 127 for a name of 64 characters.
func Grams(folded string) []string {
	runes := []rune(folded)
	seen := make(map[string]bool, 2*len(runes))
	var out []string
	add := func(g string) {
		if !seen[g] {
			seen[g] = true
			out = append(out, g)
		}
	}
	for i, r := range runes {
		add(string(r))
		if i+1 < len(runes) {
			add(string(runes[i : i+2]))
		}
	}
	return out
}

// Needed are the pieces that every name holding the folded keyword has: its
// two-character pieces, or its only character.
func Needed(folded string) []string {
	runes := []rune(folded)
	if len(runes) == 1 {
		return []string{folded}
	}
	seen := make(map[string]bool, len(runes))
	var out []string
	for i := range len(runes) - 1 {
		if g := string(runes[i : i+2]); !seen[g] {
			seen[g] = true
			out = append(out, g)
		}
	}
	return out
}
