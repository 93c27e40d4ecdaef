// Package dialtest helps to test what connects to programs that do not listen yet.
package dialtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"pyro.local/guest/internal/apart"
)

// port is one of the two that the kernel has to give in the network of MeetsNoOne.
const port = 40000

// MeetsNoOne connects again and again to a port at which nobody listens, where the kernel gives that very port to whoever
// connects, having no other. Each time it must be refused, and the port must be free afterwards.
func MeetsNoOne(t *testing.T, connect func(port int) error, refused error) {
	t.Helper()
	if !apart.Run(t, syscall.CLONE_NEWNET) {
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Skipf("%v %s", err, out)
	}
	given := fmt.Sprint(port, " ", port+1)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte(given), 0); err != nil {
		t.Skip(err)
	}
	for range 10 {
		if err := connect(port); !errors.Is(err, refused) {
			t.Fatalf("%v instead of %v", err, refused)
		}
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Error("the port is taken: ", err)
	}
}
