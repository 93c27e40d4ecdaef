// Package netconf gives the machine its place in a network: one interface with a fixed address, and whom to ask for names.
//
// Above it stands the program, which is asked for it by server; below it the kernel. It knows no messages.
package netconf

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
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

// Apply makes it so, also where another configuration was before. resolver is the file that tells whom to ask for names.
func (c *Config) Apply(resolver string) error {
	name, err := theInterface()
	if err != nil {
		return err
	}
	if err := c.configure(name); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return replace(resolver, "nameserver "+c.Nameserver.String()+"\n")
}

// disableIPv6 keeps the interface from giving itself an address that nobody has allowed.
func disableIPv6(name string) error {
	err := os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", name, "disable_ipv6"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
		return nil
	}
	return err
}

// replace puts a plain file in the place of whatever stands there, in one step.
func replace(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	draft := path + ".pyro"
	_ = os.Remove(draft) // of a machine that was cut off
	file, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	if err := os.Rename(draft, path); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return nil
}
