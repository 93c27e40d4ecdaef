// Package spectest reads, for tests, the files of protocol/ that both ends of the protocol are tested against.
package spectest

import (
	"encoding/hex"
	"encoding/json/v2"
	"os"
	"path/filepath"
	"testing"
)

// directory is seen from a package in guest/internal, where the tests of one run.
const directory = "../../../protocol/generation-1"

// Read decodes the file called name into v, which need not have all its members.
func Read(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(directory, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
}

// Unhex returns the bytes that a file gives in hexadecimal.
func Unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
