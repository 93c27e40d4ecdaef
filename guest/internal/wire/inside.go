package wire

import (
	"errors"
	"strings"
)

// MaxSecret is how many bytes a secret's value may have.
const MaxSecret = 65536

const (
	maxName = 64 // bytes
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)

// Secret is the payload of the START frame of POST /v1/secret.
type Secret struct {
	Name string `json:"name"`
}

// Check tells what is out of range.
func (s *Secret) Check() error {
	if !named(s.Name, letters+"_", letters+digits+"_") {
		return errors.New("name is no name for a secret")
	}
	return nil
}

// Forward is the payload of the START frame of POST /v1/forward.
type Forward struct {
	Port int64 `json:"port"`
}

// Check tells what is out of range.
func (f *Forward) Check() error { return within("port", f.Port, 1, 65535) }

// Network is the body of POST /v1/network.
type Network struct {
	Address    string `json:"address"`
	Gateway    string `json:"gateway"`
	Nameserver string `json:"nameserver"`
	MTU        int64  `json:"mtu"`
}

// Nothing is the RESULT of what has nothing to tell.
type Nothing struct{}

// named tells whether a name has a length that names may have, begins with one of firsts and has nothing but others behind.
func named(name, firsts, others string) bool {
	return name != "" && len(name) <= maxName && strings.Contains(firsts, name[:1]) && strings.Trim(name, others) == ""
}
