// Package balancer is how connections to edges are balanced, wherever HAProxy
// does it: on a laptop (infra/local) and by compose.yml. It must not know where
// the edges are.
package balancer

import _ "embed"

// Defaults is a "defaults" section of HAProxy's configuration, for whole files
// and for sections that come after it.
//
//go:embed defaults.cfg
var Defaults string
