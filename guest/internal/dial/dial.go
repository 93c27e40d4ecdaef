// Package dial connects to ports of this machine at which nobody may listen yet.
//
// Above it stand forward and service; below it the kernel.
package dial

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// TCP connects to an address, which is no name. Until somebody listens there it fails with ECONNREFUSED, and leaves nothing
// behind at that port.
func TCP(ctx context.Context, address string) (*net.TCPConn, error) {
	dialer := net.Dialer{Control: dropAtClose, KeepAlive: -1}
	dialed, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn := dialed.(*net.TCPConn)
	if conn.LocalAddr().String() == conn.RemoteAddr().String() {
		conn.Close()
		return nil, syscall.ECONNREFUSED
	}
	_ = conn.SetLinger(-1) // cannot fail on a socket that is open
	return conn, nil
}

// dropAtClose makes a connection leave no trace, until it is told otherwise. Where nobody listens yet at a port that the
// kernel also gives to those who connect, a connection may get that very port and meet itself. Closed as usual, it would
// keep the port taken for a minute, in the way of the service.
func dropAtClose(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptLinger(int(fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	})
	return errors.Join(err, failed)
}
