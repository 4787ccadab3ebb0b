package capture

import (
	"encoding/binary"
	"fmt"

	"github.com/gopacket/gopacket/layers"
)

// wrapper appends a packet to dst as an Ethernet frame, and reports whether
// Ethernet can carry it.
type wrapper func(dst, packet []byte) (frame []byte, ok bool)

// Link types that gopacket has no name for.
const (
	linkRawBSD     = 12 // DLT_RAW as most systems number it
	linkRawOpenBSD = 14
)

// Made-up addresses: locally administered, so that they are nobody's.
var (
	madeUpDst = [6]byte{0x02, 0, 0, 0, 0, 0x02}
	madeUpSrc = [6]byte{0x02, 0, 0, 0, 0, 0x01}
)

// linkWrapper finds how packets of a link type become Ethernet frames: a nil
// wrapper where they are. The note says what was made up.
func linkWrapper(link layers.LinkType) (wrap wrapper, note string, err error) {
	const madeUp = "the capture holds %s: each packet got an Ethernet header with made-up addresses"
	switch link {
	case layers.LinkTypeEthernet:
		return nil, "", nil
	case linkRawBSD, linkRawOpenBSD, layers.LinkTypeRaw, layers.LinkTypeIPv4, layers.LinkTypeIPv6:
		return wrapRaw, fmt.Sprintf(madeUp, "raw IP packets"), nil
	case layers.LinkTypeNull, layers.LinkTypeLoop:
		return wrapLoopback, fmt.Sprintf(madeUp, "loopback packets"), nil
	case layers.LinkTypeLinuxSLL:
		return wrapCooked, fmt.Sprintf(madeUp, "Linux cooked packets"), nil
	case layers.LinkTypeLinuxSLL2:
		return wrapCooked2, fmt.Sprintf(madeUp, "Linux cooked packets (version 2)"), nil
	}
	return nil, "", fmt.Errorf("the capture's link type is %s, and programs here take Ethernet frames; "+
		"Ethernet, raw IP, Linux cooked and loopback captures can be read", linkName(link))
}

// linkName names the link types that people meet, with their number.
func linkName(link layers.LinkType) string {
	names := map[layers.LinkType]string{
		9:   "PPP",
		50:  "PPP over HDLC",
		105: "IEEE 802.11",
		119: "IEEE 802.11 with Prism header",
		127: "IEEE 802.11 with radiotap header",
		187: "Bluetooth HCI",
		189: "Linux USB",
		195: "IEEE 802.15.4",
		201: "Bluetooth HCI with direction",
		220: "Linux USB",
		227: "CAN bus",
		239: "Linux netfilter log",
		249: "USBPcap",
		253: "Linux netlink",
		272: "nRF Bluetooth sniffer",
	}
	if name, ok := names[link]; ok {
		return fmt.Sprintf("%s (%d)", name, uint16(link))
	}
	return fmt.Sprintf("%d", uint16(link))
}

// ethernet appends a frame with an Ethernet header to dst.
func ethernet(dst []byte, src [6]byte, etherType uint16, payload []byte) []byte {
	dst = append(dst, madeUpDst[:]...)
	dst = append(dst, src[:]...)
	dst = binary.BigEndian.AppendUint16(dst, etherType)
	return append(dst, payload...)
}

// wrapRaw takes an IP packet.
func wrapRaw(dst, packet []byte) ([]byte, bool) {
	if len(packet) == 0 {
		return dst, false
	}
	switch packet[0] >> 4 {
	case 4:
		return ethernet(dst, madeUpSrc, uint16(layers.EthernetTypeIPv4), packet), true
	case 6:
		return ethernet(dst, madeUpSrc, uint16(layers.EthernetTypeIPv6), packet), true
	}
	return dst, false
}

// wrapLoopback takes a packet behind its address family as a 32-bit number, in
// the byte order of the machine that captured it or, for OpenBSD, the network's.
func wrapLoopback(dst, packet []byte) ([]byte, bool) {
	const size = 4
	if len(packet) < size {
		return dst, false
	}
	family := binary.LittleEndian.Uint32(packet)
	if family > 0xffff {
		family = binary.BigEndian.Uint32(packet)
	}
	switch family {
	case 2: // AF_INET everywhere
		return ethernet(dst, madeUpSrc, uint16(layers.EthernetTypeIPv4), packet[size:]), true
	case 10, 24, 28, 30: // AF_INET6 of Linux, the BSDs, FreeBSD, Darwin
		return ethernet(dst, madeUpSrc, uint16(layers.EthernetTypeIPv6), packet[size:]), true
	}
	return dst, false
}

// wrapCooked takes LINKTYPE_LINUX_SLL: packet type, device type, address length,
// eight bytes of address, protocol.
func wrapCooked(dst, packet []byte) ([]byte, bool) {
	const size = 16
	if len(packet) < size {
		return dst, false
	}
	addrLen := binary.BigEndian.Uint16(packet[4:])
	protocol := binary.BigEndian.Uint16(packet[14:])
	return cooked(dst, packet[6:14], int(addrLen), protocol, packet[size:]), true
}

// wrapCooked2 takes LINKTYPE_LINUX_SLL2: protocol, two reserved bytes, interface
// index, device type, packet type, address length, eight bytes of address.
func wrapCooked2(dst, packet []byte) ([]byte, bool) {
	const size = 20
	if len(packet) < size {
		return dst, false
	}
	protocol := binary.BigEndian.Uint16(packet)
	return cooked(dst, packet[12:20], int(packet[11]), protocol, packet[size:]), true
}

// cooked makes a frame of a cooked packet. The sender's address is real where
// it is one of Ethernet's length.
func cooked(dst, addr []byte, addrLen int, protocol uint16, payload []byte) []byte {
	src := madeUpSrc
	if addrLen == len(src) {
		copy(src[:], addr)
	}
	return ethernet(dst, src, protocol, payload)
}
