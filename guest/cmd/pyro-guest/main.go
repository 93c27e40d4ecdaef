// Command pyro-guest is PID 1 and agent of a microVM. On a host it answers questions about the host, or is an agent
// without a machine.
//
// It joins the rooms: boot and listen give a machine and a way to hear of requests, server answers them. The rules it
// follows are in protocol/README.md.
package main

import (
	"fmt"
	"os"

	"pyro.local/guest/internal/tsc"
)

// version is set by the linker.
var version = "unversioned"

func main() {
	if os.Getpid() == 1 {
		serve()
	}
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pyro-guest:", err)
		os.Exit(1)
	}
}

// command is what the program does where it is not PID 1.
func command(arguments []string) error {
	if len(arguments) == 2 && arguments[0] == "host" {
		return host(arguments[1])
	}
	if len(arguments) != 1 {
		return fmt.Errorf("usage: pyro-guest version | tsc | host DESCRIPTOR (or be started as PID 1)")
	}
	switch arguments[0] {
	case "version":
		fmt.Println(version)
		return nil
	case "tsc":
		khz, err := tsc.KHz()
		if err != nil {
			return err
		}
		fmt.Println(khz)
		return nil
	}
	return fmt.Errorf("unknown command %q", arguments[0])
}
