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
	skLookupLocalPort = 60
	skLookupIngress   = 64
)

func init() {
	t := &Type{
		Prog: ebpf.SkLookup, Name: "sk_lookup",
		CtxName: "struct bpf_sk_lookup", CtxSize: skLookupSize,
		Fields: concat(
			[]Field{
				socket(0), word("family", 8), word("protocol", 12),
				word("remote_ip4", 16),
			},
			words("remote_ip6", 20, 4),
			[]Field{word("remote_port", 36).network(2), word("local_ip4", 40)},
			words("local_ip6", 44, 4),
			[]Field{word("local_port", skLookupLocalPort), word("ingress_ifindex", skLookupIngress)}),
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
	port := binary.LittleEndian.Uint32(ctx[skLookupLocalPort:])
	switch {
	case len(in.Ctx) == 0:
		return refuse("sk_lookup programs run on a context: give one")
	case [8]byte(ctx[:8]) != [8]byte{}:
		return refuse("cookie of the context is not 0; the program chooses the socket")
	case port > 65535:
		return fmt.Errorf("local_port of the context is %d, more than 65535: %w", port, errno.ERANGE)
	}
	return setupUAPI(t, s, in)
}
