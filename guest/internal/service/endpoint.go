package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"

	"pyro.local/guest/internal/dial"
)

// endpoint is where to connect to. Names are never looked up: a probe is to tell about the service, not about the network.
type endpoint struct {
	text      string
	addresses []string // to be tried in this order
}

func (e *endpoint) String() string { return e.text }

// parseEndpoint takes HOST:PORT, where HOST is an IP address, an IPv6 one in brackets, or localhost.
func parseEndpoint(text string) (*endpoint, error) {
	host, number, err := net.SplitHostPort(text)
	if err != nil {
		return nil, errors.New("address is not HOST:PORT")
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil || port == 0 {
		return nil, errors.New("the port is not within 1 to 65535")
	}
	hosts := []string{"127.0.0.1", "::1"}
	if host != "localhost" {
		address, err := netip.ParseAddr(host)
		if err != nil || address.Zone() != "" {
			return nil, fmt.Errorf("%q is neither an IP address nor localhost", host)
		}
		hosts = []string{address.String()}
	}
	e := &endpoint{text: text}
	for _, host := range hosts {
		e.addresses = append(e.addresses, net.JoinHostPort(host, strconv.FormatUint(port, 10)))
	}
	return e, nil
}

// parsePage takes the URL of a page that can be asked for without encryption.
func parsePage(text string) (*url.URL, *endpoint, error) {
	page, err := url.Parse(text)
	if err != nil || page.Host == "" || page.User != nil {
		return nil, nil, errors.New("url is malformed, or has a user")
	}
	if page.Scheme != "http" {
		return nil, nil, fmt.Errorf("url has the scheme %q, not http", page.Scheme)
	}
	port := page.Port()
	if port == "" {
		port = "80"
	}
	address, err := parseEndpoint(net.JoinHostPort(page.Hostname(), port))
	return page, address, err
}

// connect returns a connection to the first of the addresses that takes one.
func (e *endpoint) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, knockLimit)
	defer cancel()
	var first error
	for _, address := range e.addresses {
		conn, err := dial.TCP(ctx, address)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = fmt.Errorf("%s: %w", e.text, innermost(err))
		}
	}
	return nil, first
}
