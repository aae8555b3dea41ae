package protocol

import "embed"

// Schemas holds a JSON Schema (2020-12) for each message of the wire, in
// schemas/: <name>.json for what a client sends, <name>-reply.json for its
// answer, <name>-push.json and notice.json for what comes unasked. What they
// share is in common.json. The types and limits in them are those of this
// package, which a test sees to; asyncapi.yaml ties them together.
//
//go:embed schemas/*.json
var Schemas embed.FS
