// Package netconf gives the machine its place in a network: one interface with a fixed address, and whom to ask for names.
//
// Above it stands the program, which is asked for it by server; below it etc and the kernel. It knows no messages.
package netconf

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"pyro.local/guest/internal/etc"
)

// ErrNoInterface says that there is nothing to configure.
var ErrNoInterface = errors.New("the machine has no network interface")

const (
	// Any host must be able to take packets of 576 bytes (RFC 791, section 3.1).
	minMTU = 576
	maxMTU = 65535
	// maxBits leaves room for a gateway beside the machine.
	maxBits = 30
	minBits = 8
)

// Config is a place in a network.
type Config struct {
	Address    netip.Prefix // of the machine, and how much of it is the network's
	Gateway    netip.Addr
	Nameserver netip.Addr
	MTU        int // bytes
}

// Check tells what could not be.
func (c *Config) Check() error {
	own, network := c.Address.Addr(), c.Address.Masked()
	switch {
	case !c.Address.IsValid() || !own.Is4() || c.Address.Bits() < minBits || c.Address.Bits() > maxBits:
		return fmt.Errorf("address is not an IPv4 one with %d to %d bits of a network", minBits, maxBits)
	case !ordinary(own) || own == network.Addr() || own == last(network):
		return errors.New("address is none that a machine can have")
	case !c.Gateway.Is4() || !network.Contains(c.Gateway) || c.Gateway == own:
		return errors.New("gateway is not another machine of the network")
	case c.Gateway == network.Addr() || c.Gateway == last(network):
		return errors.New("gateway is an address that no machine can have")
	case !c.Nameserver.Is4() || !ordinary(c.Nameserver):
		return errors.New("nameserver is no IPv4 address of a machine")
	case c.MTU < minMTU || c.MTU > maxMTU:
		return fmt.Errorf("mtu is not within %d to %d", minMTU, maxMTU)
	}
	return nil
}

// ordinary tells whether an address can be another machine's.
func ordinary(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && a.As4()[0] < 224 && a.As4()[0] != 0
}

// last is the highest address of a network, which means all of its machines.
func last(network netip.Prefix) netip.Addr {
	bytes := network.Addr().As4()
	for bit := network.Bits(); bit < 32; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(bytes)
}

// Apply makes it so, also where another configuration was before.
func (c *Config) Apply() error {
	name, err := theInterface()
	if err != nil {
		return err
	}
	if err := c.configure(name); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// WriteResolver has programs ask the nameserver, by the file at path. Where that is the machine's own, not its base's, and
// names somebody to ask, it stays: it is ours of an earlier start, or somebody has edited it.
func (c *Config) WriteResolver(path string, own bool) error {
	known := ""
	if own {
		var err error
		known, err = etc.Read(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if namesServer(known) {
			return nil
		}
	}
	if known != "" && !strings.HasSuffix(known, "\n") {
		known += "\n"
	}
	return etc.Replace(path, known+"nameserver "+c.Nameserver.String()+"\n", 0o644)
}

// namesServer tells whether a resolver's file says whom to ask (resolv.conf(5)).
func namesServer(text string) bool {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" {
			return true
		}
	}
	return false
}

// disableIPv6 keeps the interface from giving itself an address that nobody has allowed.
func disableIPv6(name string) error {
	err := os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", name, "disable_ipv6"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
		return nil
	}
	return err
}
