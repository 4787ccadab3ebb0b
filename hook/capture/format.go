package capture

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// The first four bytes of a capture, as a little-endian number.
const (
	magicMicro   = 0xa1b2c3d4
	magicMicroBE = 0xd4c3b2a1
	magicNano    = 0xa1b23c4d
	magicNanoBE  = 0x4d3cb2a1
	magicNg      = 0x0a0d0d0a // a section header, the same in both byte orders
)

func magic(head []byte) uint32 {
	if len(head) < 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(head)
}

func isPcap(head []byte) bool {
	switch magic(head) {
	case magicMicro, magicMicroBE, magicNano, magicNanoBE:
		return true
	}
	return false
}

func isPcapng(head []byte) bool { return magic(head) == magicNg }

func isGzip(head []byte) bool { return bytes.HasPrefix(head, []byte{0x1f, 0x8b}) }

// looksLike says what a file is that is no capture, for a message.
func looksLike(head []byte) string {
	for _, known := range []struct{ prefix, is string }{
		{"\x7fELF", "an ELF object"},
		{"snoop\x00\x00\x00", "a snoop capture"},
		{"\x34\xcd\xb2\xa1", "a capture in the modified pcap format"},
		{"\xa1\xb2\xcd\x34", "a capture in the modified pcap format"},
		{"\x28\xb5\x2f\xfd", "a zstd archive (uncompress it first)"},
		{"\xfd7zXZ\x00", "an xz archive (uncompress it first)"},
		{"BZh", "a bzip2 archive (uncompress it first)"},
		{"PK\x03\x04", "a zip archive (unpack it first)"},
	} {
		if bytes.HasPrefix(head, []byte(known.prefix)) {
			return known.is
		}
	}
	switch {
	case len(head) == 0:
		return "an empty file"
	case isText(head):
		return "a text file"
	}
	return "data of an unknown format"
}

// isText reports whether the bytes could start a text. The last rune may be cut.
func isText(head []byte) bool {
	for len(head) > 0 {
		c, n := utf8.DecodeRune(head)
		if c == utf8.RuneError && utf8.FullRune(head) || c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
		head = head[n:]
	}
	return true
}
