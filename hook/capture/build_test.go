package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"testing"
	"time"
)

// frame is an Ethernet frame with an IPv4 type and a body.
func frame(body string) []byte {
	return append([]byte{2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x08, 0x00}, body...)
}

var someTime = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC)

// builder writes captures byte by byte, as the formats' specifications say, so
// that the reader is not only held against its own writer.
type builder struct {
	bytes.Buffer
	order binary.AppendByteOrder
}

func (b *builder) u16(vs ...uint16) {
	for _, v := range vs {
		b.Write(b.order.AppendUint16(nil, v))
	}
}

func (b *builder) u32(vs ...uint32) {
	for _, v := range vs {
		b.Write(b.order.AppendUint32(nil, v))
	}
}

// pcapFile is a pcap with one record a packet, all at someTime.
func pcapFile(order binary.AppendByteOrder, nano bool, link uint32, packets ...[]byte) []byte {
	b := &builder{order: order}
	magic, fraction := uint32(0xa1b2c3d4), uint32(someTime.Nanosecond()/1000)
	if nano {
		magic, fraction = 0xa1b23c4d, uint32(someTime.Nanosecond())
	}
	b.u32(magic)
	b.u16(2, 4)
	b.u32(0, 0, 65535, link)
	for _, p := range packets {
		b.u32(uint32(someTime.Unix()), fraction, uint32(len(p)), uint32(len(p)+10))
		b.Write(p)
	}
	return b.Bytes()
}

// section, ifc and enhanced append pcapng blocks.
func (b *builder) section() {
	b.u32(0x0a0d0d0a, 28, 0x1a2b3c4d)
	b.u16(1, 0)
	b.u32(0xffffffff, 0xffffffff, 28)
}

func (b *builder) ifc(name string, link uint16, snap uint32, resolution byte) {
	for len(name)%4 != 0 {
		name += "\x00"
	}
	size := uint32(20 + 4 + len(name) + 8 + 4)
	b.u32(1, size)
	b.u16(link, 0)
	b.u32(snap)
	b.u16(2, uint16(len(bytes.TrimRight([]byte(name), "\x00"))))
	b.WriteString(name)
	b.u16(9, 1)
	b.Write([]byte{resolution, 0, 0, 0})
	b.u32(0, size)
}

func (b *builder) enhanced(ifc uint32, stamp uint64, packet []byte, captured, orig uint32) {
	pad := make([]byte, -len(packet)&3)
	size := uint32(32 + len(packet) + len(pad))
	b.u32(6, size, ifc, uint32(stamp>>32), uint32(stamp), captured, orig)
	b.Write(packet)
	b.Write(pad)
	b.u32(size)
}

func (b *builder) simple(packet []byte, orig uint32) {
	pad := make([]byte, -len(packet)&3)
	size := uint32(16 + len(packet) + len(pad))
	b.u32(3, size, orig)
	b.Write(packet)
	b.Write(pad)
	b.u32(size)
}

// block is a block that nobody needs.
func (b *builder) block(typ uint32, body string) {
	size := uint32(12 + len(body))
	b.u32(typ, size)
	b.WriteString(body)
	b.u32(size)
}

func ngFile(order binary.AppendByteOrder, link uint16, packets ...[]byte) []byte {
	b := &builder{order: order}
	b.section()
	b.ifc("eth0", link, 0, 9)
	for _, p := range packets {
		b.enhanced(0, uint64(someTime.UnixNano()), p, uint32(len(p)), uint32(len(p)+10))
	}
	return b.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
