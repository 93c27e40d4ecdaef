package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"pyro.local/guest/internal/boot"
	"pyro.local/guest/internal/identity"
	"pyro.local/guest/internal/listen"
	"pyro.local/guest/internal/netconf"
	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/server"
)

// resolver is the file that tells the machine's programs whom to ask for names.
const resolver = "/etc/resolv.conf"

// program is this one, where the kernel has found it.
const program = "/init"

// machine is what the server may do here.
type machine struct {
	identity.Keeper
	reaper  *process.Reaper
	root    *boot.Root
	secrets *boot.Secrets
}

// serve is the life of PID 1. It does not return: a failure is a panic, which the console shows and the kernel answers
// by ending the machine.
func serve() {
	check(boot.MakeRoom(program))
	// Whoever signals PID 1 by mistake does not end the machine. To ignore the signals would do, but commands inherit that.
	// SIGQUIT keeps its meaning: the stacks on the console, and the end.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	check(boot.Start())
	m := &machine{reaper: process.NewReaper(), secrets: boot.NewSecrets(boot.SecretsDir)}
	groups, err := process.NewGroups(boot.GroupsRoot)
	check(err)
	listener, err := listen.Agent()
	check(err)
	check(server.New(version, m, process.NewRunner(m.reaper, groups)).Serve(listener))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Identify implements server.Machine.
func (m *machine) Identify(who *identity.Identity) (time.Time, error) { return m.Apply(who) }

// Mount implements server.Machine.
func (m *machine) Mount(base, scratch string) error {
	root, err := boot.MountRoot(base, scratch)
	if err != nil {
		return err
	}
	m.root = root
	m.Rooted(root.Own)
	return nil
}

// MountWorkspace implements server.Machine.
func (m *machine) MountWorkspace(baseline, disk string) (*server.Workspace, error) {
	w, err := m.root.MountWorkspace(baseline, disk)
	if err != nil {
		return nil, err
	}
	return &server.Workspace{Lower: w.Lower, Upper: w.Upper, Merged: w.Merged, Freezer: boot.NewFreezer(w.Disk)}, nil
}

// MountImage implements server.Machine.
func (m *machine) MountImage(device string) (string, func() error, error) {
	return m.root.MountImage(device)
}

// Network implements server.Machine.
func (m *machine) Network(config *netconf.Config) error {
	if err := config.Apply(); err != nil {
		return err
	}
	if err := config.WriteResolver(resolver, m.root.Own(resolver)); err != nil { // a full disk, say: no reason not to start
		fmt.Fprintln(os.Stderr, "pyro-guest: resolver:", err)
	}
	return nil
}

// PutSecret implements server.Machine.
func (m *machine) PutSecret(name string, value []byte) error { return m.secrets.Put(name, value) }

// Services implements server.Machine.
func (m *machine) Services() (string, error) { return m.root.Services() }

// PowerOff implements server.Machine.
func (m *machine) PowerOff() { check(boot.PowerOff(m.root, m.reaper.Empty)) }
