package mux

import (
	"encoding/binary"
	"hash/crc32"
)

// Sizes fixed by generation 1 of the protocol.
const (
	HeaderSize = 32
	MaxPayload = 32768
	Credit     = 262144 // bytes that each direction of a stream may send before the first WINDOW
	MaxStreams = 512    // streams open at a time
	NonceSize  = 16
)

const magic = "\xffPYROMX\x01"

// kind tells what a frame is for.
type kind byte

const (
	kindHello kind = 1 + iota
	kindWelcome
	kindOpen
	kindData
	kindWindow
	kindFin
	kindReset
)

// frame is one frame as its bytes; the accessors name the offsets, nothing is copied.
type frame []byte

func (f frame) session() uint64  { return binary.BigEndian.Uint64(f[8:]) }
func (f frame) stream() uint32   { return binary.BigEndian.Uint32(f[16:]) }
func (f frame) kind() kind       { return kind(f[20]) }
func (f frame) reserved() []byte { return f[21:24] }
func (f frame) length() uint32   { return binary.BigEndian.Uint32(f[24:]) }
func (f frame) crc() uint32      { return binary.BigEndian.Uint32(f[28:]) }
func (f frame) payload() []byte  { return f[HeaderSize:] }

// plausible looks at the header alone: is this the start of a frame that may be? Only then is its length believed.
func (f frame) plausible() bool {
	return string(f[:8]) == magic && f.session() != 0 && string(f.reserved()) == "\x00\x00\x00" && f.fitting()
}

// fitting tells whether the kind is known and its stream number and payload length are ones that it can have.
func (f frame) fitting() bool {
	length, onSession := f.length(), f.stream() == 0
	switch f.kind() {
	case kindHello, kindWelcome:
		return onSession && length == NonceSize
	case kindOpen, kindFin, kindReset:
		return !onSession && length == 0
	case kindData:
		return !onSession && 1 <= length && length <= MaxPayload
	case kindWindow:
		return !onSession && length == 4
	}
	return false
}

// sound tells whether the checksum of a complete frame of the host is right: its payload is covered, too.
func (f frame) sound() bool {
	return f.crc() == crc32.Update(crc32.ChecksumIEEE(f[8:28]), crc32.IEEETable, f.payload())
}

// appendFrame appends a complete frame of the guest to b. Its checksum covers the header.
func appendFrame(b []byte, session uint64, stream uint32, k kind, payload []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, session)
	b = binary.BigEndian.AppendUint32(b, stream)
	b = append(b, byte(k), 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start+8:]))
	return append(b, payload...)
}
