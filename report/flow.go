package report

import (
	"encoding/binary"
	"net"
	"strconv"
	"strings"

	"github.com/gopacket/gopacket/layers"
)

// flow is who talks to whom in a packet, by its outermost headers.
type flow struct {
	VLANs    []int  `json:"vlans,omitempty"`
	Src      string `json:"src,omitempty"` // an IP address; of the link where there is no IP
	Dst      string `json:"dst,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	SrcPort  int    `json:"src_port,omitempty"`
	DstPort  int    `json:"dst_port,omitempty"`
	// Detail is an ICMP message's kind, an ARP operation, or "fragment".
	Detail string `json:"detail,omitempty"`
}

// flowOf reads the flow from a packet's headers.
func flowOf(headers []header) flow {
	var f flow
	ip := false
	for i := range headers {
		h := &headers[i]
		whole := len(h.bytes) >= h.proto.end()
		switch h.proto {
		case protoEth:
			f.Src, f.Dst, f.Protocol = h.get("src"), h.get("dst"), h.get("type")
		case protoVLAN:
			if whole && !ip {
				f.VLANs = append(f.VLANs, int(binary.BigEndian.Uint16(h.bytes)&0xfff))
				f.Protocol = h.get("type")
			}
		case protoARP:
			f.arp(h)
		case protoIPv4, protoIPv6:
			if ip || !whole {
				return f
			}
			ip = true
			f.ip(h)
		case protoIPv6Ext:
			f.Protocol = h.get("next")
		case protoTCP, protoUDP:
			f.Protocol = h.proto.name
			if len(h.bytes) >= 4 {
				f.SrcPort = int(binary.BigEndian.Uint16(h.bytes))
				f.DstPort = int(binary.BigEndian.Uint16(h.bytes[2:]))
			}
			return f
		case protoICMP, protoICMPv6:
			f.icmp(h)
			return f
		}
	}
	return f
}

func (f *flow) ip(h *header) {
	f.Src, f.Dst = h.get("src"), h.get("dst")
	f.Protocol = h.get("proto")
	if h.proto == protoIPv6 {
		f.Protocol = h.get("next")
	} else if binary.BigEndian.Uint16(h.bytes[6:])&0x1fff != 0 {
		f.Detail = "fragment"
	}
}

func (f *flow) arp(h *header) {
	f.Protocol = "arp"
	if len(h.bytes) < h.proto.end() {
		return
	}
	f.Src, f.Dst = h.get("spa"), h.get("tpa")
	switch f.Detail = h.get("op"); f.Detail {
	case "1":
		f.Detail = "request"
	case "2":
		f.Detail = "reply"
	}
}

// icmp names the kind of message: "EchoRequest".
func (f *flow) icmp(h *header) {
	f.Protocol = h.proto.name
	if len(h.bytes) < 2 {
		return
	}
	if h.proto == protoICMP {
		f.Detail = layers.CreateICMPv4TypeCode(h.bytes[0], h.bytes[1]).String()
	} else {
		f.Detail = layers.CreateICMPv6TypeCode(h.bytes[0], h.bytes[1]).String()
	}
}

// String is the flow as one short text: "10.0.0.1:1234 > 10.0.0.2:80 tcp".
func (f flow) String() string {
	var b strings.Builder
	if f.Src != "" || f.Dst != "" {
		b.WriteString(endpoint(f.Src, f.SrcPort) + " > " + endpoint(f.Dst, f.DstPort))
	}
	for _, word := range []string{f.Protocol, f.Detail} {
		if word != "" {
			b.WriteString(" " + word)
		}
	}
	for _, id := range f.VLANs {
		b.WriteString(" vlan " + strconv.Itoa(id))
	}
	if b.Len() == 0 {
		return "too short for Ethernet"
	}
	return strings.TrimSpace(b.String())
}

func endpoint(addr string, port int) string {
	if port == 0 {
		return addr
	}
	return net.JoinHostPort(addr, strconv.Itoa(port))
}
