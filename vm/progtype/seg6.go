package progtype

import "encoding/binary"

// Routing is the number of IPv6's routing header, of which a header of segments
// (SRH, RFC 8754) is a kind. SRHFixed is what an SRH has before its list, in bytes.
const (
	Routing  = 43
	SRHFixed = 8
)

// FindSegments notes where the packet's header of segments is, if it has one.
func (c *SKBContext) FindSegments(packet []byte) {
	c.Segments, c.SegmentsLen, c.SegmentsChanged = 0, 0, 0
	at, ok := FindIPv6Header(packet, Routing)
	if ok && len(packet) >= at+SRHFixed {
		c.Segments, c.SegmentsLen = uint16(at), uint16(packet[at+1])*8
	}
}

// enterSegments notes a valid header of segments: with another a packet does not get
// to the program.
func (c *SKBContext) enterSegments(packet []byte) {
	c.FindSegments(packet)
	end := int(c.Segments) + SRHFixed + int(c.SegmentsLen)
	if c.Segments != 0 && (len(packet) < end || !ValidSegments(packet[c.Segments:end], true)) {
		c.Segments, c.SegmentsLen = 0, 0
	}
}

// ValidSegments reports whether header is one of segments; reduced allows that the
// segment being gone to is not in the list (seg6_validate_srh).
func ValidSegments(header []byte, reduced bool) bool {
	const kind, tlvHead = 4, 2
	if len(header) < SRHFixed || header[2] != kind || (int(header[1])+1)*8 != len(header) {
		return false
	}
	left, last := int(header[3]), int(header[4])
	if !reduced && left > last || last > int(header[1])/2-1 || left > last+1 {
		return false
	}
	tlvs := header[SRHFixed:]
	if len(tlvs) < 16*(last+1) {
		return false
	}
	tlvs = tlvs[16*(last+1):]
	for len(tlvs) > 0 {
		if len(tlvs) < tlvHead || len(tlvs) < tlvHead+int(tlvs[1]) {
			return false
		}
		tlvs = tlvs[tlvHead+int(tlvs[1]):]
	}
	return true
}

// FindIPv6Header finds the first header of a protocol in an IPv6 packet
// (ipv6_find_hdr). Of a later fragment only the first headers are there.
func FindIPv6Header(packet []byte, protocol byte) (at int, ok bool) {
	const (
		hopByHop, ipv6, fragment, authentication, destination = 0, 41, 44, 51, 60

		fixed, most = 40, 12
	)
	if len(packet) < fixed {
		return 0, false
	}
	at, next := fixed, packet[6]
	for range most {
		switch {
		case next == protocol:
			return at, protocol == ipv6 || len(packet) >= at+4
		case len(packet) < at+8:
			return 0, false
		}
		length := 8 * (int(packet[at+1]) + 1)
		switch next {
		case hopByHop, Routing, destination:
		case authentication:
			length = 4 * (int(packet[at+1]) + 2)
		case fragment:
			if binary.BigEndian.Uint16(packet[at+2:])&^7 != 0 {
				return 0, false
			}
			length = 8
		default:
			return 0, false
		}
		next = packet[at]
		if at += length; at > len(packet) {
			return 0, false
		}
	}
	return 0, false
}
