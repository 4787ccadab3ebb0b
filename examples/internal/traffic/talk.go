package main

import (
	"bytes"
	"fmt"
	"net"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// web is one HTTP exchange: handshake, request, an answer of size bytes, end.
func (t *trace) web(client, server host, size int) {
	const segment = 1200
	c := &side{client, t.port(), t.rand.Uint32()}
	s := &side{server, 80, t.rand.Uint32()}
	body := bytes.Repeat([]byte("skep "), size/5+1)[:size]
	request := []byte("GET / HTTP/1.1\r\nHost: www.example.com\r\nAccept: */*\r\n\r\n")
	answer := append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size), body...)

	t.tcp(c, s, layers.TCP{SYN: true}, nil)
	t.tcp(s, c, layers.TCP{SYN: true, ACK: true}, nil)
	t.tcp(c, s, layers.TCP{ACK: true}, nil)
	t.tcp(c, s, layers.TCP{ACK: true, PSH: true}, request)
	for len(answer) > 0 {
		n := min(len(answer), segment)
		t.tcp(s, c, layers.TCP{ACK: true, PSH: n == len(answer)}, answer[:n])
		t.tcp(c, s, layers.TCP{ACK: true}, nil)
		answer = answer[n:]
	}
	t.tcp(c, s, layers.TCP{ACK: true, FIN: true}, nil)
	t.tcp(s, c, layers.TCP{ACK: true, FIN: true}, nil)
	t.tcp(c, s, layers.TCP{ACK: true}, nil)
}

// side is one end of a TCP connection: seq is the next byte that it sends.
type side struct {
	host
	port uint16
	seq  uint32
}

func (t *trace) tcp(from, to *side, flags layers.TCP, payload []byte) {
	seg := flags
	seg.SrcPort, seg.DstPort = layers.TCPPort(from.port), layers.TCPPort(to.port)
	seg.Seq, seg.Window = from.seq, 64240
	if seg.ACK {
		seg.Ack = to.seq
	}
	if seg.SYN {
		seg.Options = []layers.TCPOption{
			{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{0x05, 0xb4}},
			{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2},
		}
	}
	t.sendIP(from.host, to.host, layers.IPProtocolTCP, &seg, gopacket.Payload(payload))
	from.seq += uint32(len(payload))
	if seg.SYN || seg.FIN {
		from.seq++
	}
}

// knock is a SYN that nobody answers.
func (t *trace) knock(from, to host, port uint16) {
	t.tcp(&side{from, t.port(), t.rand.Uint32()}, &side{to, port, 0}, layers.TCP{SYN: true}, nil)
}

// refused is a SYN that is answered by a reset.
func (t *trace) refused(from, to host, port uint16) {
	c, s := &side{from, t.port(), t.rand.Uint32()}, &side{to, port, 0}
	t.tcp(c, s, layers.TCP{SYN: true}, nil)
	t.tcp(s, c, layers.TCP{RST: true, ACK: true}, nil)
}

// dns is one question and its answer.
func (t *trace) dns(client, resolver host, name string) {
	port, id := layers.UDPPort(t.port()), uint16(t.rand.Uint32())
	typ, addr := layers.DNSTypeA, server.ip
	if client.ip.Is6() {
		typ, addr = layers.DNSTypeAAAA, server6.ip
	}
	question := layers.DNS{
		ID: id, RD: true,
		Questions: []layers.DNSQuestion{{Name: []byte(name), Type: typ, Class: layers.DNSClassIN}},
	}
	answer := question
	answer.QR, answer.RA = true, true
	answer.Answers = []layers.DNSResourceRecord{{Name: []byte(name), Type: typ, Class: layers.DNSClassIN, TTL: 300, IP: addr.AsSlice()}}

	t.sendIP(client, resolver, layers.IPProtocolUDP, &layers.UDP{SrcPort: port, DstPort: 53}, &question)
	t.sendIP(resolver, client, layers.IPProtocolUDP, &layers.UDP{SrcPort: 53, DstPort: port}, &answer)
}

// ping is one echo request and its answer.
func (t *trace) ping(from, to host) {
	id, data := uint16(t.rand.Uint32()), gopacket.Payload(bytes.Repeat([]byte{0x5a}, 56))
	if from.ip.Is4() {
		t.sendIP(from, to, layers.IPProtocolICMPv4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: id, Seq: 1}, data)
		t.sendIP(to, from, layers.IPProtocolICMPv4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(0, 0), Id: id, Seq: 1}, data)
		return
	}
	t.sendIP(from, to, layers.IPProtocolICMPv6, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}, &layers.ICMPv6Echo{Identifier: id, SeqNumber: 1}, data)
	t.sendIP(to, from, layers.IPProtocolICMPv6, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(129, 0)}, &layers.ICMPv6Echo{Identifier: id, SeqNumber: 1}, data)
}

// arp is one question and its answer.
func (t *trace) arp(from, to host) {
	ask := layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: layers.ARPRequest, SourceHwAddress: from.mac, SourceProtAddress: from.ip.AsSlice(),
		DstHwAddress: make([]byte, 6), DstProtAddress: to.ip.AsSlice(),
	}
	tell := ask
	tell.Operation = layers.ARPReply
	tell.SourceHwAddress, tell.SourceProtAddress = to.mac, to.ip.AsSlice()
	tell.DstHwAddress, tell.DstProtAddress = from.mac, from.ip.AsSlice()
	everyone := host{mac: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	t.send(from, everyone, layers.EthernetTypeARP, &ask)
	t.send(to, from, layers.EthernetTypeARP, &tell)
}

// neighbour is IPv6's counterpart of arp: a neighbour solicitation.
func (t *trace) neighbour(from, to host) {
	t.sendIP(from, to, layers.IPProtocolICMPv6,
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)},
		&layers.ICMPv6NeighborSolicitation{TargetAddress: to.ip.AsSlice()})
}

// tunnel is one IPv4 packet inside GRE.
func (t *trace) tunnel(from, to, inner, innerTo host) {
	ip, typ := ipLayer(inner.ip, innerTo.ip, layers.IPProtocolICMPv4)
	t.sendIP(from, to, layers.IPProtocolGRE, &layers.GRE{Protocol: typ}, ip,
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 7, Seq: 1}, gopacket.Payload("through the tunnel"))
}

// sctp is the first packet of an association, without its chunks.
func (t *trace) sctp(from, to host) {
	t.sendIP(from, to, layers.IPProtocolSCTP, &layers.SCTP{SrcPort: layers.SCTPPort(t.port()), DstPort: 5060}, gopacket.Payload(make([]byte, 20)))
}

// lldp is a switch that tells who it is; neither IPv4 nor IPv6.
func (t *trace) lldp(from host) {
	t.send(from, host{mac: net.HardwareAddr{0x01, 0x80, 0xc2, 0, 0, 0x0e}}, layers.EthernetTypeLinkLayerDiscovery,
		gopacket.Payload("\x02\x07\x04\x02\x00\xc0\x00\x02\x01\x04\x02\x07\x31\x06\x02\x00\x78\x00\x00"))
}

// cut is a packet of which only the first size bytes have come.
func (t *trace) cut(from, to host, size int) {
	t.knock(from, to, 80)
	last := &t.packets[len(t.packets)-1]
	last.data = last.data[:size]
}
