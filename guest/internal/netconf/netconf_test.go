package netconf

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pyro.local/guest/internal/apart"
	"pyro.local/guest/internal/etc"
)

// inNetwork runs the test again in a network of its own, where it returns true.
func inNetwork(t *testing.T) bool {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no ip to make interfaces with")
	}
	return apart.Run(t, syscall.CLONE_NEWNET)
}

// ip runs the program, which knows nothing of this package.
func ip(t *testing.T, arguments string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v %s", arguments, err, out)
	}
	return string(out)
}

func addInterface(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("no interface can be made here: ", err)
	}
	ip(t, "tuntap add dev "+name+" mode tap")
}

func config(address, gateway, nameserver string, mtu int) *Config {
	c := &Config{MTU: mtu}
	c.Address, _ = netip.ParsePrefix(address)
	c.Gateway, _ = netip.ParseAddr(gateway)
	c.Nameserver, _ = netip.ParseAddr(nameserver)
	return c
}

var usual = config("10.0.2.15/24", "10.0.2.2", "10.0.2.3", 1400)

func TestTheInterfaceGetsItsPlace(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("0"), 0) // as machines have it, if at all
	addInterface(t, "inside0")
	for range 2 { // asked again it stays as it is
		if err := usual.Apply(); err != nil {
			t.Fatal(err)
		}
		expect(t, "10.0.2.15/24 brd 10.0.2.255", "default via 10.0.2.2", "10.0.2.0/24", "mtu 1400")
	}
	for _, other := range []struct {
		place                       *Config
		address, way, network, size string
	}{
		{config("10.0.2.15/24", "10.0.2.4", "10.0.2.3", 1400), "10.0.2.15/24", "default via 10.0.2.4", "10.0.2.0/24", "mtu 1400"},
		{config("192.168.7.9/30", "192.168.7.10", "1.1.1.1", 576), "192.168.7.9/30 brd 192.168.7.11", "default via 192.168.7.10", "192.168.7.8/30", "mtu 576"},
		{usual, "10.0.2.15/24 brd 10.0.2.255", "default via 10.0.2.2", "10.0.2.0/24", "mtu 1400"},
	} {
		if err := other.place.Apply(); err != nil {
			t.Fatal(err)
		}
		expect(t, other.address, other.way, other.network, other.size)
	}
}

// expect looks at inside0: its one address, its only two routes, and how large its packets may be.
func expect(t *testing.T, address, way, network, mtu string) {
	t.Helper()
	addresses, routes, link := ip(t, "-4 address show dev inside0"), ip(t, "-4 route show dev inside0"), ip(t, "link show dev inside0")
	if !strings.Contains(addresses, address) || strings.Count(addresses, "inet ") != 1 {
		t.Error(addresses)
	}
	if !strings.Contains(routes, way) || !strings.Contains(routes, network) || strings.Count(routes, "\n") != 2 {
		t.Error(routes)
	}
	if !strings.Contains(link, mtu+" ") || !strings.Contains(link, ",UP") {
		t.Error(link)
	}
	if state, err := os.ReadFile("/proc/sys/net/ipv6/conf/inside0/disable_ipv6"); err == nil && string(state) != "1\n" {
		t.Errorf("IPv6 is not disabled: %q", state)
	}
	if addresses := ip(t, "-6 address show dev inside0"); addresses != "" {
		t.Error("it has an address: ", addresses)
	}
}

func TestThereMustBeOneInterface(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	if err := usual.Apply(); err != ErrNoInterface {
		t.Error(err)
	}
	addInterface(t, "inside0")
	addInterface(t, "inside1")
	if err := usual.Apply(); !errors.Is(err, ErrNoInterface) || !strings.Contains(err.Error(), "inside1") {
		t.Error(err)
	}
}

func TestTheResolverIsOursUnlessTheMachineHasOne(t *testing.T) {
	const ours = "nameserver 10.0.2.3\n"
	path := filepath.Join(t.TempDir(), "etc", "resolv.conf")
	for name, c := range map[string]struct {
		known, base, own string // what is there, and what that becomes as the base's and as the machine's own
	}{
		"nothing":              {"", ours, ours},
		"ours":                 {ours, ours, ours},
		"ours and more":        {"search a.example\n" + ours, ours, "search a.example\n" + ours},
		"another server":       {"nameserver 9.9.9.9\n", ours, "nameserver 9.9.9.9\n"},
		"a server without end": {"nameserver\t9.9.9.9", ours, "nameserver\t9.9.9.9"},
		"nobody to ask":        {"# nameserver 9.9.9.9\nsearch a.example", ours, "# nameserver 9.9.9.9\nsearch a.example\n" + ours},
		"a server without one": {"nameserver \n", ours, "nameserver \n" + ours},
	} {
		for own, want := range map[bool]string{false: c.base, true: c.own} {
			if err := etc.Replace(path, c.known, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := usual.WriteResolver(path, own); err != nil {
				t.Error(name, err)
			}
			if text, err := os.ReadFile(path); string(text) != want || err != nil {
				t.Errorf("%s, own %v: %q, %v", name, own, text, err)
			}
		}
	}
}

func TestAResolverThatIsGoneComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	for name, put := range map[string]func() error{
		"nothing":                               func() error { return nil },
		"a link to what is made at every start": func() error { return os.Symlink("/run/none/there", path) },
	} {
		os.Remove(path)
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if err := usual.WriteResolver(path, true); err != nil {
			t.Error(name, err)
		}
		if text, err := os.ReadFile(path); string(text) != "nameserver 10.0.2.3\n" || err != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestAnOwnResolverThatIsNoFileStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := usual.WriteResolver(path, true); !errors.Is(err, etc.ErrForeign) {
		t.Error(err)
	}
	if err := usual.WriteResolver(path, false); err != nil { // the base's: whatever it is, names have to be found
		t.Error(err)
	}
}

func TestPlacesThatCannotBeAreRefused(t *testing.T) {
	good := []*Config{
		usual, config("10.0.0.1/8", "10.255.255.254", "127.0.0.53", 65535), config("192.168.7.9/30", "192.168.7.10", "8.8.8.8", 576),
	}
	for i, c := range good {
		if err := c.Check(); (err == nil) != (i != 1) { // a resolver of its own is not what a machine has
			t.Error(c, err)
		}
	}
	for _, c := range []*Config{
		{},
		config("10.0.2.15/31", "10.0.2.14", "10.0.2.3", 1500),
		config("10.0.2.15/7", "10.0.2.2", "10.0.2.3", 1500),
		config("10.0.2.0/24", "10.0.2.2", "10.0.2.3", 1500),
		config("10.0.2.255/24", "10.0.2.2", "10.0.2.3", 1500),
		config("127.0.0.2/8", "127.0.0.1", "10.0.2.3", 1500),
		config("0.0.0.5/8", "0.0.0.1", "10.0.2.3", 1500),
		config("224.0.0.5/24", "224.0.0.1", "10.0.2.3", 1500),
		config("240.0.0.5/24", "240.0.0.1", "10.0.2.3", 1500),
		config("::ffff:10.0.2.15/120", "10.0.2.2", "10.0.2.3", 1500),
		config("fd00::2/64", "fd00::1", "fd00::3", 1500),
		config("10.0.2.15/24", "10.0.2.15", "10.0.2.3", 1500),
		config("10.0.2.15/24", "10.0.3.2", "10.0.2.3", 1500),
		config("10.0.2.15/24", "10.0.2.0", "10.0.2.3", 1500),
		config("10.0.2.15/24", "10.0.2.255", "10.0.2.3", 1500),
		config("10.0.2.15/24", "", "10.0.2.3", 1500),
		config("10.0.2.15/24", "10.0.2.2", "", 1500),
		config("10.0.2.15/24", "10.0.2.2", "::1", 1500),
		config("10.0.2.15/24", "10.0.2.2", "255.255.255.255", 1500),
		config("10.0.2.15/24", "10.0.2.2", "10.0.2.3", 575),
		config("10.0.2.15/24", "10.0.2.2", "10.0.2.3", 65536),
	} {
		if c.Check() == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
