package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// start is when every capture begins.
var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// trace collects packets of conversations that overlap in time.
type trace struct {
	rand    *rand.Rand
	now     time.Time
	vlans   []uint16 // of the conversation being written, outermost first
	packets []packet
	err     error // the first, kept until write
}

type packet struct {
	time time.Time
	data []byte
}

func newTrace() *trace { return &trace{rand: rand.New(rand.NewPCG(1, 2)), now: start} }

// at begins a conversation, untagged, some milliseconds after the start.
func (t *trace) at(ms int) *trace {
	t.now = start.Add(time.Duration(ms)*time.Millisecond + t.micros(900))
	t.vlans = nil
	return t
}

// vlan tags the conversation. With two numbers the first is the provider's
// (802.1ad), the second the customer's.
func (t *trace) vlan(ids ...uint16) *trace {
	t.vlans = ids
	return t
}

func (t *trace) micros(n int) time.Duration {
	return time.Duration(t.rand.IntN(n)) * time.Microsecond
}

// port is a client's port.
func (t *trace) port() uint16 { return uint16(32768 + t.rand.IntN(28000)) }

// send adds one frame: the layers behind the Ethernet header and the tags.
func (t *trace) send(from, to host, typ layers.EthernetType, rest ...gopacket.SerializableLayer) {
	frame := []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: from.mac, DstMAC: to.mac, EthernetType: t.tagType(0, typ)},
	}
	for i, id := range t.vlans {
		frame = append(frame, &layers.Dot1Q{VLANIdentifier: id, Type: t.tagType(i+1, typ)})
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, append(frame, rest...)...); err != nil && t.err == nil {
		t.err = fmt.Errorf("packet %d: %w", len(t.packets)+1, err)
	}
	t.packets = append(t.packets, packet{t.now, bytes.Clone(buf.Bytes())})
	t.now = t.now.Add(100*time.Microsecond + t.micros(1500))
}

// tagType is the EtherType before tag i, or before the payload.
func (t *trace) tagType(i int, payload layers.EthernetType) layers.EthernetType {
	switch {
	case i == len(t.vlans):
		return payload
	case i == 0 && len(t.vlans) == 2:
		return layers.EthernetTypeQinQ
	}
	return layers.EthernetTypeDot1Q
}

// sendIP adds one IP packet of the hosts' family.
func (t *trace) sendIP(from, to host, proto layers.IPProtocol, rest ...gopacket.SerializableLayer) {
	network, typ := ipLayer(from.ip, to.ip, proto)
	for _, l := range rest {
		if l, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := l.SetNetworkLayerForChecksum(network.(gopacket.NetworkLayer)); err != nil && t.err == nil {
				t.err = err
			}
		}
	}
	t.send(from, to, typ, append([]gopacket.SerializableLayer{network}, rest...)...)
}

func ipLayer(src, dst netip.Addr, proto layers.IPProtocol) (gopacket.SerializableLayer, layers.EthernetType) {
	if src.Is4() {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice(), Flags: layers.IPv4DontFragment}, layers.EthernetTypeIPv4
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}, layers.EthernetTypeIPv6
}

// write gives the packets in the order of their times.
func (t *trace) write(to io.Writer) error {
	if t.err != nil {
		return t.err
	}
	slices.SortStableFunc(t.packets, func(a, b packet) int { return cmp.Compare(a.time.UnixNano(), b.time.UnixNano()) })
	w := pcapgo.NewWriter(to)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		return err
	}
	for _, p := range t.packets {
		ci := gopacket.CaptureInfo{Timestamp: p.time, CaptureLength: len(p.data), Length: len(p.data)}
		if err := w.WritePacket(ci, p.data); err != nil {
			return err
		}
	}
	return nil
}

// host is one end of a conversation.
type host struct {
	mac net.HardwareAddr
	ip  netip.Addr
}

// v4 and v6 are the host of an address, with a locally administered MAC made
// of its last four bytes.
func v4(addr string) host { return newHost(addr) }
func v6(addr string) host { return newHost(addr) }

func newHost(addr string) host {
	ip := netip.MustParseAddr(addr)
	b := ip.AsSlice()
	return host{append(net.HardwareAddr{2, 0}, b[len(b)-4:]...), ip}
}

var (
	gateway   = v4("192.0.2.1")
	laptop    = v4("192.0.2.10")
	resolver  = v4("192.0.2.53")
	server    = v4("198.51.100.20")
	laptop6   = v6("2001:db8:1::10")
	resolver6 = v6("2001:db8:1::53")
	server6   = v6("2001:db8:2::20")

	names = []string{"www.example.com", "mail.example.org", "cdn.example.net"}
)
