package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"pyro.local/guest/internal/netconf"
	"pyro.local/guest/internal/wire"
)

// network gives the machine its place in a network.
func (s *Server) network(w http.ResponseWriter, r *http.Request) error {
	var message wire.Network
	if err := receive(w, r, &message, "address", "gateway", "nameserver", "mtu"); err != nil {
		return err
	}
	config, err := configOf(&message)
	if err != nil {
		return badRequest(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.readyLocked(); err != nil {
		return err
	}
	err = s.machine.Network(config)
	if errors.Is(err, netconf.ErrNoInterface) {
		return &failure{http.StatusConflict, "no-interface", err.Error()}
	}
	if err != nil {
		return &failure{http.StatusInternalServerError, "network-failed", err.Error()}
	}
	answer(w, http.StatusOK, wire.State{State: wire.StateReady})
	return nil
}

// configOf understands what a message says, and checks it.
func configOf(message *wire.Network) (*netconf.Config, error) {
	address, err := netip.ParsePrefix(message.Address)
	if err != nil {
		return nil, errors.New("address is not A.B.C.D/N")
	}
	config := &netconf.Config{Address: address, MTU: int(message.MTU)}
	if config.Gateway, err = netip.ParseAddr(message.Gateway); err != nil {
		return nil, errors.New("gateway is no address")
	}
	if config.Nameserver, err = netip.ParseAddr(message.Nameserver); err != nil {
		return nil, errors.New("nameserver is no address")
	}
	if err := config.Check(); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	return config, nil
}
