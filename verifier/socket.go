package verifier

// accessSocket checks an access to a socket's fields, which lie as in struct bpf_sock,
// bpf_tcp_sock or bpf_xdp_sock of linux/bpf.h.
func (c *checker) accessSocket(a *memAccess) error {
	r := a.reg
	switch {
	case r.Flags != 0:
		return c.invalidAccess(a)
	case a.write:
		return c.writesReadonly(r, a.n)
	}
	if off := int(r.minOffset()) + a.off; !socketField(r.Type, off, a.size) {
		return c.failReg(CauseContext, int(a.n), "R%d invalid %s access off=%d size=%d", a.n, r.typeName(), off, a.size)
	}
	c.loaded(a)
	return nil
}

// What programs see of sockets, in bytes.
const (
	sockSize     = 80  // struct bpf_sock
	tcpSockSize  = 112 // struct bpf_tcp_sock
	tcpSockBytes = 80  // bytes_received, and bytes_acked behind it
	xdpSockSize  = 4   // struct bpf_xdp_sock
)

// socketField reports whether a socket has a field that may be loaded so.
func socketField(t RegType, off, size int) bool {
	if off < 0 || off%size != 0 {
		return false
	}
	switch t {
	case PtrToTCPSock:
		if off == tcpSockBytes || off == tcpSockBytes+8 {
			return size == 8
		}
		return off < tcpSockSize && size == 4
	case PtrToXDPSock:
		return off < xdpSockSize && size == 4
	case PtrToSockCommon:
		if off >= 8 && off < 24 { // type, protocol, mark, priority
			return false
		}
	}
	return sockField(off, size)
}

// sockField is socketField of struct bpf_sock.
func sockField(off, size int) bool {
	switch {
	case off >= sockSize, off >= 50 && off < 52: // behind dst_port
		return false
	case off >= 48 && off < 50: // dst_port, of 2 bytes
		return size <= 2 || size == 4
	case off >= 24 && off < 44, off >= 52 && off < 72: // addresses
		return size <= 4
	}
	switch off {
	case 4, 8, 12, 44, 72, 76: // family, type, protocol, src_port, state, rx_queue_mapping: also their beginnings
		return size <= 4
	}
	return size == 4
}
