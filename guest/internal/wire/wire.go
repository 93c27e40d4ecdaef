// Package wire is the vocabulary of the guest protocol above the carrier: limits, JSON messages and the frames of a
// body (protocol/README.md, sections 3 to 6).
//
// Above it stands server, which speaks it; below it stands nothing but the standard library. It starts no goroutine and
// knows no operating system.
package wire

// Generation is the number host and guest compare before anything else; both refuse to work across generations.
const Generation = 1

// Limits of generation 1. Whatever is longer is refused before memory is taken for it.
const (
	MaxJSON      = 1 << 20 // bytes of a JSON body
	MaxBodyFrame = 1 << 20 // payload bytes of one body frame
)

// States of a machine: hello reports the first two.
const (
	StateBooted   = "booted"
	StateReady    = "ready"
	StateStopping = "stopping"
	StateFrozen   = "frozen"
	StateThawed   = "thawed"
)
