// Package identity makes a machine differ from its copies: randomness, wall clock, names.
//
// A copy of a running machine shares everything with its siblings, also the state of the kernel's random generator. So
// this is done before anything else runs in a copy, and each step is proven or fails. Above it stands server; below it etc
// and the kernel.
package identity

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// EntropySize is how many fresh random bytes a machine is given.
const EntropySize = 32

// maxSkew is how far the clock may be from what was asked for when it is read again.
const maxSkew = 100 * time.Millisecond

// Identity is who a machine is to be.
type Identity struct {
	Hostname  string
	MachineID string
	Entropy   [EntropySize]byte
	Clock     time.Time
}

const (
	digits  = "0123456789"
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Check tells what is wrong with the names.
func (i *Identity) Check() error {
	name := i.Hostname
	if len(name) < 1 || len(name) > 64 || !consistsOf(name, letters+digits+".-") || strings.Trim(name, ".-") != name {
		return fmt.Errorf("hostname %q is not 1 to 64 letters, digits and, within, dots and hyphens", name)
	}
	if len(i.MachineID) != 32 || !consistsOf(i.MachineID, digits+"abcdef") {
		return errors.New("machine_id is not 32 lower-case hex digits")
	}
	return nil
}

func consistsOf(s, characters string) bool { return strings.Trim(s, characters) == "" }

// namesDir holds the names that are kept in memory.
const namesDir = "/run/pyro"

// Keeper gives this machine its identity, and keeps the names until there is a root file system to write them to. That
// they cannot be written there, be it that the disk is full, is said on the console and keeps no machine from starting.
type Keeper struct {
	mu       sync.Mutex
	identity *Identity
	places   *places // nil without a root
}

// Apply makes the machine be who it is told to be and returns the clock as it reads now.
func (k *Keeper) Apply(identity *Identity) (time.Time, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := addEntropy(identity.Entropy); err != nil {
		return time.Time{}, fmt.Errorf("reseed the random generator: %w", err)
	}
	now, err := setClock(identity.Clock)
	if err != nil {
		return time.Time{}, fmt.Errorf("set the clock: %w", err)
	}
	if err := setHostname(identity.Hostname); err != nil {
		return time.Time{}, fmt.Errorf("set the hostname: %w", err)
	}
	k.identity = identity
	k.writeNames()
	return now, nil
}

// Rooted says that / is now the file system that commands see. own tells whether what stands at a path is this machine's
// own, not its base's.
func (k *Keeper) Rooted(own func(path string) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.places = &places{directory: "/etc", memory: namesDir, own: own}
	report(k.places.link())
	k.writeNames()
}

func (k *Keeper) writeNames() {
	if k.identity != nil && k.places != nil {
		report(k.places.write(k.identity.Hostname, k.identity.MachineID))
	}
}

func report(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "pyro-guest: names:", err)
	}
}
