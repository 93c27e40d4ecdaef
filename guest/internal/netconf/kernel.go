package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"
)

// theInterface returns the name of the one interface that leads out of the machine. Where programs of the machine have
// made others, such as bridges for containers, it is the one that is a device.
func theInterface() (string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	var others, devices []string
	for _, one := range all {
		if one.Flags&net.FlagLoopback != 0 {
			continue
		}
		others = append(others, one.Name)
		if _, err := os.Stat(filepath.Join("/sys/class/net", one.Name, "device")); err == nil {
			devices = append(devices, one.Name)
		}
	}
	for _, found := range [][]string{others, devices} {
		if len(found) == 1 {
			return found[0], nil
		}
	}
	if len(others) == 0 {
		return "", ErrNoInterface
	}
	return "", fmt.Errorf("%w that is the only one: %q", ErrNoInterface, others)
}

// ifreq is the kernel's struct ifreq (netdevice(7)), whose second half is one of these.
type (
	ifreqAddress struct {
		name    [syscall.IFNAMSIZ]byte
		address sockaddr
		_       [8]byte
	}
	ifreqNumber struct {
		name   [syscall.IFNAMSIZ]byte
		number int32
		_      [20]byte
	}
	ifreqFlags struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
)

// sockaddr is the kernel's struct sockaddr_in.
type sockaddr struct {
	family  uint16
	port    uint16
	address [4]byte
	_       [8]byte
}

// route is the kernel's struct rtentry.
type route struct {
	_                             uintptr
	destination, gateway, genmask sockaddr
	flags                         uint16
	_                             [22]byte
	metric                        int16
	_                             [6]byte
	device                        *byte
	mtu, window                   uintptr
	irtt                          uint16
	_                             [6]byte
}

func inet(address netip.Addr) sockaddr {
	return sockaddr{family: syscall.AF_INET, address: address.As4()}
}

// configure brings the interface up with the address and a way out by it.
func (c *Config) configure(name string) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer syscall.Close(fd)
	var label [syscall.IFNAMSIZ]byte
	copy(label[:syscall.IFNAMSIZ-1], name)
	mtu := ifreqNumber{name: label, number: int32(c.MTU)}
	if err := ioctl(fd, syscall.SIOCSIFMTU, unsafe.Pointer(&mtu)); err != nil {
		return fmt.Errorf("mtu: %w", err)
	}
	// Only now: where packets may not be large enough for IPv6 an interface has none, and with larger ones gets it anew.
	if err := disableIPv6(name); err != nil {
		return err
	}
	address := ifreqAddress{name: label, address: inet(c.Address.Addr())}
	if err := ioctl(fd, syscall.SIOCSIFADDR, unsafe.Pointer(&address)); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	mask := ifreqAddress{name: label, address: inet(netip.AddrFrom4([4]byte(net.CIDRMask(c.Address.Bits(), 32))))}
	if err := ioctl(fd, syscall.SIOCSIFNETMASK, unsafe.Pointer(&mask)); err != nil {
		return fmt.Errorf("netmask: %w", err)
	}
	if err := raise(fd, label); err != nil {
		return err
	}
	return c.routeOut(fd, label)
}

// raise brings the interface up.
func raise(fd int, label [syscall.IFNAMSIZ]byte) error {
	request := ifreqFlags{name: label}
	if err := ioctl(fd, syscall.SIOCGIFFLAGS, unsafe.Pointer(&request)); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	request.flags |= syscall.IFF_UP
	if err := ioctl(fd, syscall.SIOCSIFFLAGS, unsafe.Pointer(&request)); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	return nil
}

// routeOut makes the gateway the way to everywhere, in the place of any other by this interface.
func (c *Config) routeOut(fd int, label [syscall.IFNAMSIZ]byte) error {
	everywhere := inet(netip.IPv4Unspecified())
	way := route{destination: everywhere, gateway: everywhere, genmask: everywhere, flags: syscall.RTF_UP, device: &label[0]}
	defer runtime.KeepAlive(&label)
	for {
		err := ioctl(fd, syscall.SIOCDELRT, unsafe.Pointer(&way))
		if errors.Is(err, syscall.ESRCH) {
			break
		}
		if err != nil {
			return fmt.Errorf("old route: %w", err)
		}
	}
	way.gateway = inet(c.Gateway)
	way.flags |= syscall.RTF_GATEWAY
	if err := ioctl(fd, syscall.SIOCADDRT, unsafe.Pointer(&way)); err != nil {
		return fmt.Errorf("route: %w", err)
	}
	return nil
}

func ioctl(fd int, request uintptr, argument unsafe.Pointer) error {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
	if errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}
