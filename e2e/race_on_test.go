//go:build race

package e2e

// raceEnabled makes the suite build the program with -race when it was built so itself.
const raceEnabled = true
