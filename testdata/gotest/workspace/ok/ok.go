// Package ok passes.
package ok

// Name is one of those that `-ldflags -X` sets.
var Name = "ok"
