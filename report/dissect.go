package report

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gopacket/gopacket/layers"
)

// header is one header of a packet, or its payload. Its bytes may be fewer than
// the protocol wants where the packet is cut.
//
// Headers are found by their lengths here rather than by gopacket's decoders:
// those stop at what is inconsistent, but a program under development makes
// such packets, and what it changed in them is what its author wants to see.
type header struct {
	proto *protocol
	off   int
	bytes []byte
}

// protocol is a header's fields.
type protocol struct {
	name   string
	fields []field
}

// field is one field of a header: bytes off to off+size.
type field struct {
	name      string
	off, size int
	show      func([]byte) string
}

// end is where the last field ends; what follows are options.
func (p *protocol) end() int {
	if len(p.fields) == 0 {
		return 0
	}
	last := p.fields[len(p.fields)-1]
	return last.off + last.size
}

// get is a field of a header as text, "" where the packet is cut before it.
func (h *header) get(name string) string {
	for _, f := range h.proto.fields {
		if f.name == name && f.off+f.size <= len(h.bytes) {
			return f.show(h.bytes[f.off : f.off+f.size])
		}
	}
	return ""
}

// The protocols that are known by their fields.
var (
	protoEth = &protocol{"eth", []field{
		{"dst", 0, 6, mac}, {"src", 6, 6, mac}, {"type", 12, 2, etherType},
	}}
	protoVLAN = &protocol{"vlan", []field{
		{"id", 0, 2, vlanID}, {"type", 2, 2, etherType},
	}}
	protoARP = &protocol{"arp", []field{
		{"op", 6, 2, number}, {"sha", 8, 6, mac}, {"spa", 14, 4, addr}, {"tha", 18, 6, mac}, {"tpa", 24, 4, addr},
	}}
	protoIPv4 = &protocol{"ip", []field{
		{"ihl", 0, 1, hexNumber}, {"tos", 1, 1, hexNumber}, {"len", 2, 2, number}, {"id", 4, 2, number},
		{"frag", 6, 2, hexNumber}, {"ttl", 8, 1, number}, {"proto", 9, 1, ipProtocol}, {"csum", 10, 2, hexNumber},
		{"src", 12, 4, addr}, {"dst", 16, 4, addr},
	}}
	protoIPv6 = &protocol{"ip6", []field{
		{"flow", 0, 4, hexNumber}, {"len", 4, 2, number}, {"next", 6, 1, ipProtocol}, {"hoplimit", 7, 1, number},
		{"src", 8, 16, addr}, {"dst", 24, 16, addr},
	}}
	protoIPv6Ext = &protocol{"ip6ext", []field{{"next", 0, 1, ipProtocol}}}
	protoTCP     = &protocol{"tcp", []field{
		{"sport", 0, 2, number}, {"dport", 2, 2, number}, {"seq", 4, 4, number}, {"ack", 8, 4, number},
		{"off", 12, 1, hexNumber}, {"flags", 13, 1, tcpFlags}, {"window", 14, 2, number}, {"csum", 16, 2, hexNumber},
		{"urgent", 18, 2, number},
	}}
	protoUDP = &protocol{"udp", []field{
		{"sport", 0, 2, number}, {"dport", 2, 2, number}, {"len", 4, 2, number}, {"csum", 6, 2, hexNumber},
	}}
	protoICMP = &protocol{"icmp", []field{
		{"type", 0, 1, number}, {"code", 1, 1, number}, {"csum", 2, 2, hexNumber}, {"rest", 4, 4, hexNumber},
	}}
	protoICMPv6 = &protocol{"icmp6", protoICMP.fields}
	protoRest   = &protocol{"payload", nil}
)

func mac(b []byte) string       { return net.HardwareAddr(b).String() }
func hexNumber(b []byte) string { return "0x" + hex.EncodeToString(b) }
func vlanID(b []byte) string    { return strconv.Itoa(int(binary.BigEndian.Uint16(b) & 0xfff)) }

func number(b []byte) string {
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return strconv.FormatUint(n, 10)
}

func addr(b []byte) string {
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

func etherType(b []byte) string { return etherTypeName(binary.BigEndian.Uint16(b)) }

// etherTypeName is the name that gopacket has, or the number.
func etherTypeName(t uint16) string {
	if name := layers.EthernetType(t).String(); t >= 0x600 && !strings.HasPrefix(name, "Unknown") {
		return name
	}
	return fmt.Sprintf("0x%04x", t)
}

func ipProtocol(b []byte) string {
	if name := layers.IPProtocol(b[0]).String(); !strings.HasPrefix(name, "Unknown") {
		return strings.ToLower(name)
	}
	return strconv.Itoa(int(b[0]))
}

func tcpFlags(b []byte) string {
	var set []string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"} {
		if b[0]&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	if set == nil {
		return "none"
	}
	return strings.Join(set, "|")
}

// dissect divides an Ethernet frame into headers. The last one is the payload,
// which may be empty.
func dissect(frame []byte) []header {
	var all []header
	off := 0
	take := func(p *protocol, size int) []byte {
		size = min(size, len(frame)-off)
		h := header{p, off, frame[off : off+size]}
		all = append(all, h)
		off += size
		return h.bytes
	}
	for next := protoEth; next != nil && off < len(frame); {
		size, whole := next.size(frame[off:])
		h := take(next, size)
		if !whole {
			break
		}
		next = next.next(h)
	}
	take(protoRest, len(frame)-off)
	return all
}

// size is the length of the header that b starts with, and reports whether all
// of it is there and as long as the protocol wants.
func (p *protocol) size(b []byte) (n int, whole bool) {
	n = p.end()
	if len(b) < n {
		return len(b), false
	}
	least := n
	switch p {
	case protoIPv4:
		n = 4 * int(b[0]&0x0f)
	case protoTCP:
		n = 4 * int(b[12]>>4)
	case protoIPv6Ext:
		if least = 8; len(b) >= 2 {
			n = 8 + 8*int(b[1])
		}
	}
	return max(n, min(least, len(b))), n >= least && n <= len(b)
}

// next is the protocol that a whole header says comes after it, or nil.
func (p *protocol) next(h []byte) *protocol {
	switch p {
	case protoEth:
		return byEtherType(binary.BigEndian.Uint16(h[12:]))
	case protoVLAN:
		return byEtherType(binary.BigEndian.Uint16(h[2:]))
	case protoIPv4:
		if binary.BigEndian.Uint16(h[6:])&0x1fff != 0 { // not the first fragment
			return nil
		}
		return byIPProtocol(h[9])
	case protoIPv6:
		return byIPProtocol(h[6])
	case protoIPv6Ext:
		return byIPProtocol(h[0])
	}
	return nil
}

func byEtherType(t uint16) *protocol {
	switch layers.EthernetType(t) {
	case layers.EthernetTypeIPv4:
		return protoIPv4
	case layers.EthernetTypeIPv6:
		return protoIPv6
	case layers.EthernetTypeARP:
		return protoARP
	case layers.EthernetTypeDot1Q, layers.EthernetTypeQinQ:
		return protoVLAN
	}
	return nil
}

func byIPProtocol(p byte) *protocol {
	switch layers.IPProtocol(p) {
	case layers.IPProtocolIPv4:
		return protoIPv4
	case layers.IPProtocolIPv6:
		return protoIPv6
	case layers.IPProtocolTCP:
		return protoTCP
	case layers.IPProtocolUDP:
		return protoUDP
	case layers.IPProtocolICMPv4:
		return protoICMP
	case layers.IPProtocolICMPv6:
		return protoICMPv6
	case layers.IPProtocolIPv6HopByHop, layers.IPProtocolIPv6Routing, layers.IPProtocolIPv6Destination:
		return protoIPv6Ext
	}
	return nil
}
