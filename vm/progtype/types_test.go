package progtype_test

import (
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/internal/oracle"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// TestEveryType wants a description of every program type, but for the one that
// takes another's.
func TestEveryType(t *testing.T) {
	for p := ebpf.SocketFilter; p <= ebpf.Netfilter; p++ {
		if _, err := progtype.Get(p); err != nil && p != ebpf.Extension {
			t.Error(err)
		}
	}
	if _, err := progtype.ForAttach(ebpf.CGroupSock, ebpf.AttachLSMMac); err == nil {
		t.Error("a program of a cgroup's sockets is attached to a security hook")
	}
}

// TestAnyContext begins and ends runs of every type with contexts and data of any
// kind and length: an error, or a context that holds what was given.
func TestAnyContext(t *testing.T) {
	s := oracle.State(t)
	rnd := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	some := func(limit int) []byte {
		b := make([]byte, rnd.IntN(limit))
		for i := range b {
			if rnd.IntN(4) == 0 {
				b[i] = byte(rnd.Uint32())
			}
		}
		return b
	}
	for p := ebpf.SocketFilter; p <= ebpf.Netfilter; p++ {
		typ, err := progtype.Get(p)
		if err != nil {
			continue
		}
		taken := 0
		for range 500 {
			in := progtype.Input{Ctx: some(typ.CtxSize%1000 + 20)}
			if typ.TakesData() && rnd.IntN(4) > 0 {
				in.Data = some(200)
			}
			if rnd.IntN(3) == 0 {
				in.Ctx = nil
			}
			s.Packet = exec.Packet{}
			if typ.Setup(s, &in) != nil {
				continue
			}
			taken++
			out := progtype.Output{Ctx: make([]byte, len(in.Ctx))}
			typ.Finish(s, &out)
		}
		if taken == 0 && p != ebpf.SkLookup {
			t.Errorf("%s takes no context", typ.Name)
		}
	}
}
