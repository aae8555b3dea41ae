package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is stamped by the linker (-X main.version=…), as the Dockerfile does:
// a build without the repository's history cannot know it otherwise.
var version string

// buildVersion is the stamped version, else the commit that Go noted, and what
// it was built with and for.
func buildVersion() string {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version // with a history: of the tag, or the commit's time and hash
	}
	if v == "" {
		v = "(devel)"
	}
	return fmt.Sprintf("sponge %s %s %s/%s", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
