package exec

import (
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/jit/abi"
)

func newState(t *testing.T) *State {
	t.Helper()
	s, err := NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLend(t *testing.T) {
	s := newState(t)
	a, pa := s.Lend(5)
	b, pb := s.Lend(scratchBytes - 8)
	if a == nil || b == nil || Addr(b) < Addr(a)+5 {
		t.Fatalf("lends %d bytes at %#x and %d at %#x", len(a), Addr(a), len(b), Addr(b))
	}
	if c, _ := s.Lend(1); c != nil {
		t.Error("lends more than there is")
	}
	if r := s.Region(pb); r.Base != Addr(b) || r.Size != uintptr(len(b)) {
		t.Errorf("the region is %+v", r)
	}
	s.Return(b, pb)
	if r := s.Region(pb); r.Size != 0 {
		t.Errorf("after its return the region is %+v", r)
	}
	s.Return(a, pa)
	if n := s.Reclaim(); n != 0 {
		t.Errorf("%d loans are left", n)
	}
}

func TestReadable(t *testing.T) {
	s := newState(t)
	if n := s.Readable(s.Stack()); n == 0 {
		t.Error("the stack is not readable")
	}
	if n := s.Readable(0); n != 0 {
		t.Errorf("%d bytes are readable at NULL", n)
	}
	lent := make([]byte, 16)
	s.Acquire(Record{Addr: Addr(lent), Size: 16})
	if n := s.Readable(Addr(lent) + 10); n != 6 {
		t.Errorf("%d bytes are readable at 10 of 16", n)
	}
	if _, ok := s.Release(Addr(lent)); !ok || s.Readable(Addr(lent)) != 0 {
		t.Error("what was released is readable")
	}
}

// TestPacketMoved checks that the context and the regions follow the packet.
func TestPacketMoved(t *testing.T) {
	s := newState(t)
	s.SetPlainCtx(0)
	if err := s.SetPacket(ebpf.XDP, []byte("packet"), 256, 100); err != nil {
		t.Fatal(err)
	}
	s.ResetRegions()
	p := &s.Packet
	p.Data -= 2
	p.Meta = p.Data - 4
	s.PacketMoved()
	if r := s.Region(Make(RegionPacket, 0)); r.Base != p.Data || r.Size != 8 {
		t.Errorf("the packet's region is %+v", r)
	}
	if r := s.Region(Make(RegionMeta, 0)); r.Base != p.Meta || r.Size != 4 {
		t.Errorf("the metadata's region is %+v", r)
	}
	if err := s.SetPacket(ebpf.XDP, make([]byte, MaxPacket+1), 0, 0); err == nil {
		t.Error("takes a packet longer than the longest")
	}
}

func TestPlainCtx(t *testing.T) {
	s := newState(t)
	copy(s.SetPlainCtx(MaxPlainCtx), "memory")
	s.ResetRegions()
	if r := s.Region(Make(RegionCtx, 0)); r.Base != s.Ctx() || r.Size != MaxPlainCtx {
		t.Errorf("the context's region is %+v", r)
	}
	if string(s.PlainCtx()[:6]) != "memory" {
		t.Error("the context does not hold what was put in")
	}
}

func TestSocketLayout(t *testing.T) {
	// As in linux/bpf.h.
	if n := unsafe.Sizeof(SockFields{}); n != 80 {
		t.Errorf("struct bpf_sock has %d bytes, want 80", n)
	}
	if n := unsafe.Sizeof(TCPFields{}); n != 112 {
		t.Errorf("struct bpf_tcp_sock has %d bytes, want 112", n)
	}
}

func TestNativeStack(t *testing.T) {
	s := newState(t)
	base, err := s.Native()
	if err != nil {
		t.Fatal(err)
	}
	if base == 0 || base%abi.StackBytes != 0 {
		t.Errorf("it begins at %#x, which is no multiple of %#x", base, abi.StackBytes)
	}
	if again, err := s.Native(); again != base || err != nil {
		t.Errorf("asked again, it is at %#x, %v", again, err)
	}
	if n := s.Readable(base + abi.StackBytes - 8); n != 8 {
		t.Errorf("%d of its last 8 bytes are readable", n)
	}
}
