package progtype

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// struct bpf_sk_lookup, in bytes.
const (
	skLookupSize      = 72
	skLookupFamily    = 8
	skLookupRemoteIP4 = 16
	skLookupRemoteIP6 = 20
	skLookupLocalIP4  = 40
	skLookupLocalIP6  = 44
	skLookupLocalPort = 60
	skLookupIngress   = 64
)

func init() {
	t := &Type{
		Prog: ebpf.SkLookup, Name: "sk_lookup",
		CtxName: "struct bpf_sk_lookup", CtxSize: skLookupSize,
		Fields: concat(
			[]Field{
				socket(0), half("family", skLookupFamily), half("protocol", 12),
				word("remote_ip4", skLookupRemoteIP4),
			},
			words("remote_ip6", skLookupRemoteIP6, 4),
			[]Field{half("remote_port", 36).network(2), word("local_ip4", skLookupLocalIP4)},
			words("local_ip6", skLookupLocalIP6, 4),
			[]Field{half("local_port", skLookupLocalPort), word("ingress_ifindex", skLookupIngress)}),
		Verdicts: passes, Returns: &Range{0, 1},
	}
	uapi(t)
	t.Setup = func(s *exec.State, in *Input) error { return setupSkLookup(t, s, in) }
	register(t)
}

// setupSkLookup is what a test run of Linux checks: it takes no cookie and no
// interface, and wants a port of 16 bits.
func setupSkLookup(t *Type, s *exec.State, in *Input) error {
	ctx, err := readCtx(in.Ctx, skLookupSize)
	if err != nil {
		return err
	}
	family := binary.LittleEndian.Uint16(ctx[skLookupFamily:]) // Linux drops the rest
	port := binary.LittleEndian.Uint32(ctx[skLookupLocalPort:])
	switch {
	case len(in.Ctx) == 0:
		return refuse("sk_lookup programs run on a context: give one")
	case [8]byte(ctx[:8]) != [8]byte{}:
		return refuse("cookie of the context is not 0; the program chooses the socket")
	case binary.LittleEndian.Uint64(ctx[skLookupIngress:]) != 0:
		return refuse("ingress_ifindex of the context is not 0, which a run sets itself")
	case family != AFInet && family != AFInet6:
		return fmt.Errorf("family of the context is %d; it is %d (IPv4) or %d (IPv6): %w", family, AFInet, AFInet6, errno.EAFNOSUPPORT)
	case port > 65535:
		return fmt.Errorf("local_port of the context is %d, more than 65535: %w", port, errno.ERANGE)
	}
	// What is not of the family is 0.
	if family == AFInet6 {
		clear(ctx[skLookupRemoteIP4:][:4])
		clear(ctx[skLookupLocalIP4:][:4])
	} else {
		clear(ctx[skLookupRemoteIP6:][:16])
		clear(ctx[skLookupLocalIP6:][:16])
	}
	return setupUAPI(t, s, &Input{Data: in.Data, Ctx: ctx[:skLookupSize]})
}

// half is a field of 4 bytes that Linux keeps in 2.
func half(name string, off uint16) Field {
	f := word(name, off)
	f.Width = 2
	return f
}
