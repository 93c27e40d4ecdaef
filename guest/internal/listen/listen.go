// Package listen finds the carrier that the VMM gave this machine and turns it into a net.Listener; nothing else has to
// know which one it is. Above it stands the program, below it mux and the kernel.
package listen

import (
	"fmt"
	"net"

	"pyro.local/guest/internal/mux"
)

// portName is the virtio-serial port that belongs to the agent.
const portName = "pyro.agent"

// Agent returns the listener on which the host's requests arrive: a vsock one where the machine has such a device, which
// shows as soon as its driver is loaded; else the serial port, for which it waits.
func Agent() (net.Listener, error) {
	if hasVsock() {
		listener, err := listenVsock(agentPort)
		if err != nil {
			return nil, fmt.Errorf("listen on vsock port %d: %w", agentPort, err)
		}
		go ring(doorbellPort)
		return listener, nil
	}
	port, err := openPort(portName)
	if err != nil {
		return nil, fmt.Errorf("listen on virtio port %s: %w", portName, err)
	}
	m := mux.New(port)
	go m.Run() // its error comes out of Accept
	return m, nil
}
