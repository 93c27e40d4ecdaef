package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"pyro.local/guest/internal/process"
	"pyro.local/guest/internal/server"
)

const (
	// directoryVariable names the machine's directory. Commands get it too: that is how they are found should this
	// program be killed.
	directoryVariable = "PYRO_MACHINE_DIRECTORY"
	// workspace is where commands begin, in that directory.
	workspace = "workspace"
	// endLimit bounds the wait for killed processes.
	endLimit = 5 * time.Second
)

// host serves the requests that arrive at a listening socket, inherited as descriptor number, as a plain process.
func host(number string) error {
	directory := os.Getenv(directoryVariable)
	if !filepath.IsAbs(directory) {
		return fmt.Errorf("%s must name the machine's directory", directoryVariable)
	}
	listener, err := inherited(number)
	if err != nil {
		return err
	}
	if err := process.AdoptOrphans(); err != nil {
		return err
	}
	syscall.Umask(0o022)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		leave()
	}()
	groups, err := process.NewGroups("")
	if err != nil {
		return err
	}
	runner := process.NewRunner(process.NewReaper(), groups)
	return server.NewOnHost(version, leave, runner, variables(directory)).Serve(listener)
}

// inherited returns the listener behind a descriptor, which no command inherits.
func inherited(number string) (net.Listener, error) {
	fd, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("%q is no descriptor", number)
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close() // the listener has a copy
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("descriptor %s: %w", number, err)
	}
	return listener, nil
}

// variables is what commands get beside the defaults: their user's name, a home that goes with the machine, the mark.
func variables(directory string) map[string]string {
	name := strconv.Itoa(os.Getuid())
	if who, err := user.LookupId(name); err == nil {
		name = who.Username
	}
	return map[string]string{
		directoryVariable: directory,
		"HOME":            filepath.Join(directory, workspace),
		"LOGNAME":         name,
		"USER":            name,
	}
}

// leave ends every command with all that it started, and this program.
func leave() {
	if err := process.EndDescendants(endLimit); err != nil {
		fmt.Fprintln(os.Stderr, "pyro-guest:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
