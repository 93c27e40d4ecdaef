package server

import "pyro.local/guest/internal/wire"

// secret keeps a value for the machine's commands. It is never in an answer, an error or a log.
func (s *Server) secret(c *call) (any, error) {
	if _, err := s.ready(); err != nil {
		return nil, err
	}
	var message wire.Secret
	if err := c.decode(&message, "name"); err != nil {
		return nil, err
	}
	value, err := readSent(c.sentAlong(), wire.MaxSecret)
	if err != nil {
		return nil, err
	}
	return wire.Nothing{}, s.machine.PutSecret(message.Name, value)
}
