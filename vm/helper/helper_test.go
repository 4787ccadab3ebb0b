package helper

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// TestTable checks that every helper is what its number says, and that its
// arguments can be told from one another.
func TestTable(t *testing.T) {
	for i, h := range All() {
		if i > 0 && h.ID <= All()[i-1].ID {
			t.Errorf("%s has number %d, behind %d", h.Name, h.ID, All()[i-1].ID)
		}
		if ByID(h.ID) != h {
			t.Errorf("%s is not found by its number", h.Name)
		}
		known := strings.TrimPrefix(asm.BuiltinFunc(h.ID).String(), "Fn")
		if got := strings.ReplaceAll(strings.TrimPrefix(h.Name, "bpf_"), "_", ""); !strings.EqualFold(got, known) {
			t.Errorf("helper %d is %s, not %s", h.ID, known, h.Name)
		}
		if h.Func == nil || len(h.Args) > 5 {
			t.Errorf("%s has no function, or %d arguments", h.Name, len(h.Args))
		}
		for i, a := range h.Args {
			sized := a == ArgPtrToMem || a == ArgPtrToMemOrNull || a == ArgPtrToUninitMem || a == ArgPtrToUninitMemOrNull
			size := i+1 < len(h.Args) && (h.Args[i+1] == ArgConstSize || h.Args[i+1] == ArgConstSizeOrZero)
			if sized != size {
				t.Errorf("%s: argument %d is memory: %v; a size follows: %v", h.Name, i+1, sized, size)
			}
		}
	}
	if h := ByID(1 << 30); h != nil {
		t.Errorf("there is a helper %s", h.Name)
	}
}

// An engine that is a Go function.
type engine func(args *[5]uint64) (uint64, error)

func (e engine) Throw(uint64) {}
func (e engine) Fail(error)   {}

func (e engine) Func(uint32) exec.Func { return nil }

func (e engine) Callback(_ *exec.State, _ uint32, args *[5]uint64, _ *[5]exec.Prov) (uint64, error) {
	return e(args)
}

func TestLoop(t *testing.T) {
	s := newState(t)
	var seen []uint64
	s.Engine = engine(func(args *[5]uint64) (uint64, error) {
		seen = append(seen, args[0])
		if args[1] == 9 && args[0] == 2 {
			return 1, nil
		}
		return 0, nil
	})
	for _, tt := range []struct{ n, ctx, flags, want uint64 }{
		{4, 0, 0, 4},
		{4, 9, 0, 3},
		{0, 0, 0, 0},
		{4, 0, 1, errno.EINVAL.Ret()},
		{8<<20 + 1, 0, 0, uint64(uint32(errno.E2BIG.Ret()))},
		{1 << 33, 0, 0, uint64(uint32(errno.E2BIG.Ret()))},
	} {
		if got := loop(s, tt.n, 0, tt.ctx, tt.flags, 0); got != tt.want {
			t.Errorf("loop(%d, ctx %d, flags %d) = %d, want %d", tt.n, tt.ctx, tt.flags, int64(got), int64(tt.want))
		}
	}
	if want := []uint64{0, 1, 2, 3, 0, 1, 2}; !cmp.Equal(seen, want) {
		t.Errorf("called with %v, want %v", seen, want)
	}
	s.Engine = engine(func(*[5]uint64) (uint64, error) { return 0, errors.New("fault") })
	if got := loop(s, 4, 0, 0, 0, 0); got != 1 {
		t.Errorf("a fault in the first call ends the loop after %d", got)
	}
}

func newMap(t testing.TB, spec *ebpf.MapSpec) (m maps.Map, handle uint64) {
	t.Helper()
	m, err := maps.New(spec, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m, uint64(m.Info().Handle)
}

func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

func TestForEachMapElem(t *testing.T) {
	for _, typ := range []ebpf.MapType{ebpf.Hash, ebpf.Array, ebpf.PerCPUArray, ebpf.LRUHash, ebpf.PerCPUHash} {
		s := newState(t)
		m, handle := newMap(t, &ebpf.MapSpec{Type: typ, KeySize: 4, ValueSize: 8, MaxEntries: 8})
		for i := range uint32(8) {
			if err := m.Update(0, u32(i), binary.LittleEndian.AppendUint64(nil, uint64(i*i)), 0); err != nil {
				t.Fatal(err)
			}
		}
		sum, deletes := uint64(0), false
		s.Engine = engine(func(args *[5]uint64) (uint64, error) {
			key := *at[uint32](args[1])
			if args[0] != handle || *at[uint64](args[2]) != uint64(key*key) {
				t.Errorf("%v: called with map %d, key %d, value %d", typ, args[0], key, *at[uint64](args[2]))
			}
			sum += uint64(key)
			if deletes {
				return 0, m.Delete(u32(key))
			}
			return args[3], nil
		})
		if n := mapForEach(s, handle, 0, 0, 0, 0); n != 8 || sum != 28 {
			t.Errorf("%v: %d calls, sum of the keys %d", typ, n, sum)
		}
		if n := mapForEach(s, handle, 0, 1, 0, 0); n != 1 {
			t.Errorf("%v: stops after %d calls, want 1", typ, n)
		}
		if n := mapForEach(s, handle, 0, 0, 1, 0); n != errno.EINVAL.Ret() {
			t.Errorf("%v: with flags %d, want -EINVAL", typ, int64(n))
		}
		deletes = typ == ebpf.Hash || typ == ebpf.LRUHash
		if n := mapForEach(s, handle, 0, 0, 0, 0); deletes && n != 8 {
			t.Errorf("%v: %d calls while each deletes its element, want 8", typ, n)
		}
	}
}

func TestRingbuf(t *testing.T) {
	s := newState(t)
	m, handle := newMap(t, &ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 4096})
	ring := m.(*maps.Ringbuf)
	first, second := ringbufReserve(s, handle, 8, 0, 0, 0), ringbufReserve(s, handle, 8, 0, 0, 0)
	if first == 0 || second == 0 {
		t.Fatal("no record")
	}
	if r := s.Region(s.RetProv); uint64(r.Base) != second || r.Size != 8 {
		t.Errorf("the record's region is %+v", r)
	}
	copy(view(first, 8), "12345678")
	ringbufSubmit(s, first, 0, 0, 0, 0)
	ringbufDiscard(s, second, 0, 0, 0, 0)
	ringbufSubmit(s, second, 0, 0, 0, 0) // taken back already
	if ringbufReserve(s, handle, 8, 0, 0, 0); s.Reclaim() != 1 {
		t.Error("a record that is not given back is not reclaimed")
	}
	text := lend(t, s, []byte("abc"))
	if got := ringbufOutput(s, handle, text, 3, 0, 0); got != 0 {
		t.Errorf("output gives %d", int64(got))
	}
	if got := ringbufOutput(s, handle, text, 3, 8, 0); got != errno.EINVAL.Ret() {
		t.Errorf("output with unknown flags gives %d", int64(got))
	}
	if got := ringbufReserve(s, handle, 8, 1, 0, 0) + ringbufReserve(s, handle, 4096, 0, 0, 0); got != 0 {
		t.Error("a record with flags, or as large as the ring")
	}
	if got := ringbufQuery(s, handle, 1, 0, 0, 0); got != 4096 {
		t.Errorf("the ring's size is %d", got)
	}
	var records []string
	for {
		r, _, ok := ring.Next(nil)
		if !ok {
			break
		}
		records = append(records, string(r))
	}
	if want := []string{"12345678", "abc"}; !cmp.Equal(records, want) {
		t.Errorf("records %q, want %q", records, want)
	}
}

func TestPerfEventOutput(t *testing.T) {
	s := newState(t)
	m, handle := newMap(t, &ebpf.MapSpec{Type: ebpf.PerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 2})
	reader, err := m.(*maps.PerfEventArray).Open(4096, maps.PerfOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Pause()
	packet := make([]byte, 60)
	copy(packet, "packet")
	typ, _ := progtype.Get(ebpf.XDP)
	if err := typ.Setup(s, &progtype.Input{Data: packet}); err != nil {
		t.Fatal(err)
	}
	meta := lend(t, s, []byte("meta"))
	const currentCPU = 0xffffffff
	for _, tt := range []struct{ flags, want uint64 }{
		{currentCPU | 6<<32, 0},
		{0, 0},
		{currentCPU | 61<<32, errno.EFAULT.Ret()},
		{currentCPU | 1<<60, errno.EINVAL.Ret()},
		{1, errno.EOPNOTSUPP.Ret()},
		{2, errno.E2BIG.Ret()},
	} {
		if got := perfEventOutput(s, 0, handle, tt.flags, meta, 4); got != tt.want {
			t.Errorf("flags %#x give %d, want %d", tt.flags, int64(got), int64(tt.want))
		}
	}
	var samples []string
	for r, ok := reader.Next(nil, false); ok; r, ok = reader.Next(nil, false) {
		samples = append(samples, string(r.Sample))
	}
	if want := []string{"metapacket", "meta"}; !cmp.Equal(samples, want) {
		t.Errorf("samples %q, want %q", samples, want)
	}
}

// TestSpinLock checks that the lock excludes, and that a run that is ended does
// not wait for it.
func TestSpinLock(t *testing.T) {
	owner := newState(t)
	lock := lend(t, owner, make([]byte, 4))
	// The count lies where a program's would: the race detector, which does not
	// know this lock, does not look there.
	n := (*uint64)(mem.At(uintptr(lend(t, owner, make([]byte, 8)))))
	var wg sync.WaitGroup
	for range 4 {
		s := newState(t)
		wg.Go(func() {
			for range 1000 {
				spinLock(s, lock, 0, 0, 0, 0)
				*n++
				spinUnlock(s, lock, 0, 0, 0, 0)
			}
		})
	}
	wg.Wait()
	if *n != 4000 {
		t.Errorf("counted to %d, want 4000", *n)
	}
	spinLock(owner, lock, 0, 0, 0, 0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	owner.Context = ctx
	spinLock(owner, lock, 0, 0, 0, 0)
}

// world is a small network.
func world() *exec.Routes {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	return &exec.Routes{
		Interfaces: []exec.Interface{
			{Index: 1, MTU: 1500, MAC: [6]byte{1}, Forwarding: true, Addrs: []netip.Prefix{prefix("10.0.0.1/24"), prefix("fd00::1/64")}},
			{Index: 2, MTU: 1400, MAC: [6]byte{2}, Forwarding: true, Addrs: []netip.Prefix{prefix("10.0.2.1/24")}},
			{Index: 3, MTU: 1500},
		},
		Routes: []exec.Route{
			{Dst: prefix("0.0.0.0/0"), Ifindex: 2, Gateway: addr("10.0.2.254"), Metric: 100},
			{Dst: prefix("192.0.2.0/24"), Kind: exec.Blackhole},
			{Dst: prefix("198.51.100.0/24"), Kind: exec.Prohibit},
			{Dst: prefix("203.0.113.0/24"), Ifindex: 2, MTU: 1300, Src: addr("10.0.2.9")},
			{Dst: prefix("0.0.0.0/0"), Ifindex: 2, Gateway: addr("10.0.2.253"), Table: 7},
			{Dst: prefix("fd01::/64"), Ifindex: 1, Gateway: addr("fd00::fe")},
		},
		Neighbours: []exec.Neighbour{
			{Ifindex: 2, Addr: addr("10.0.2.254"), MAC: [6]byte{0xfe}},
			{Ifindex: 2, Addr: addr("10.0.2.253"), MAC: [6]byte{0xfd}},
			{Ifindex: 1, Addr: addr("fd00::fe"), MAC: [6]byte{0xfe, 6}},
		},
	}
}

func TestFIBLookup(t *testing.T) {
	s := newState(t)
	typ, _ := progtype.Get(ebpf.XDP)
	if err := typ.Setup(s, &progtype.Input{Data: make([]byte, 60)}); err != nil {
		t.Fatal(err)
	}
	s.Env.Net = world()
	tests := []struct {
		name    string
		dst     string
		ifindex uint32
		length  uint16
		flags   uint64
		table   uint32

		want uint64
		// The answer, where the way is known.
		out  uint32
		hop  string
		mac  byte
		mtu  uint16
		from string
	}{
		{name: "gateway", dst: "8.8.8.8", ifindex: 1, length: 1400, out: 2, hop: "10.0.2.254", mac: 0xfe, mtu: 1400},
		{name: "too long", dst: "8.8.8.8", ifindex: 1, length: 1401, want: exec.FIBFragmentationNeeded, out: 1, hop: "8.8.8.8", mtu: 1400},
		{name: "no neighbour", dst: "10.0.2.7", ifindex: 1, want: exec.FIBNoNeighbour, out: 2, hop: "10.0.2.7"},
		{name: "skip neighbour", dst: "10.0.2.7", ifindex: 1, flags: fibSkipNeighbour, out: 2, hop: "10.0.2.7", mtu: 1400},
		{name: "source", dst: "203.0.113.5", ifindex: 1, flags: fibSkipNeighbour | fibSource, out: 2, hop: "203.0.113.5", mtu: 1300, from: "10.0.2.9"},
		{name: "table", dst: "8.8.8.8", ifindex: 1, flags: fibDirect | fibTable, table: 7, out: 2, hop: "10.0.2.253", mac: 0xfd, mtu: 1400},
		{name: "IPv6", dst: "fd01::5", ifindex: 2, out: 1, hop: "fd00::fe", mac: 0xfe, mtu: 1500},
		{name: "IPv6 without a source", dst: "fd01::5", ifindex: 2, flags: fibSource, out: 1, hop: "fd00::fe", mac: 0xfe, mtu: 1500, from: "fd00::1"},
		{name: "blackhole", dst: "192.0.2.1", ifindex: 1, want: exec.FIBBlackhole, out: 1, hop: "192.0.2.1"},
		{name: "prohibit", dst: "198.51.100.1", ifindex: 1, want: exec.FIBProhibit, out: 1, hop: "198.51.100.1"},
		{name: "for this host", dst: "10.0.2.1", ifindex: 1, want: exec.FIBNotForwarded, out: 1, hop: "10.0.2.1"},
		{name: "no route", dst: "fd02::1", ifindex: 1, want: exec.FIBNotForwarded, out: 1, hop: "fd02::1"},
		{name: "link-local", dst: "fe80::1", ifindex: 1, want: exec.FIBNotForwarded, out: 1, hop: "fe80::1"},
		{name: "not forwarding", dst: "8.8.8.8", ifindex: 3, want: exec.FIBForwardingDisabled, out: 3, hop: "8.8.8.8"},
		{name: "no interface", dst: "8.8.8.8", ifindex: 9, want: errno.ENODEV.Ret(), out: 9, hop: "8.8.8.8"},
		{name: "unknown flag", dst: "8.8.8.8", ifindex: 1, flags: 1 << 20, want: errno.EINVAL.Ret(), out: 1, hop: "8.8.8.8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst := netip.MustParseAddr(tt.dst)
			b := make([]byte, fibSize)
			b[0] = progtype.AFInet
			if dst.Is6() {
				b[0] = progtype.AFInet6
			}
			le.PutUint16(b[fibLength:], tt.length)
			le.PutUint32(b[fibIfindex:], tt.ifindex)
			le.PutUint32(b[fibTableID:], tt.table)
			copy(b[fibDst:], dst.AsSlice())
			params := lend(t, s, b)
			defer s.Reclaim()
			if got := fibLookup(s, 0, params, fibSize, tt.flags, 0); got != tt.want {
				t.Errorf("gives %d, want %d", int64(got), int64(tt.want))
			}
			b = view(params, fibSize)
			hop, from := netip.AddrFrom16([16]byte(b[fibDst:])), netip.AddrFrom16([16]byte(b[fibSrc:]))
			if b[0] == progtype.AFInet {
				hop, from = netip.AddrFrom4([4]byte(b[fibDst:])), netip.AddrFrom4([4]byte(b[fibSrc:]))
			}
			if hop.String() != tt.hop || le.Uint32(b[fibIfindex:]) != tt.out || b[fibDstMAC] != tt.mac {
				t.Errorf("goes to %v by %d, address %#x; want %v by %d, %#x", hop, le.Uint32(b[fibIfindex:]), b[fibDstMAC], tt.hop, tt.out, tt.mac)
			}
			if mtu := le.Uint16(b[fibLength:]); tt.mtu != 0 && mtu != tt.mtu {
				t.Errorf("the MTU is %d, want %d", mtu, tt.mtu)
			}
			if tt.from != "" && from.String() != tt.from {
				t.Errorf("comes from %v, want %v", from, tt.from)
			}
		})
	}
}

// interfaces is a map of interfaces, by key.
type interfaces struct {
	maps.Map
	info maps.Info
}

func (i *interfaces) Info() *maps.Info         { return &i.info }
func (*interfaces) All() iter.Seq[maps.Target] { return nil }
func (*interfaces) Target(key uint64) (maps.Target, bool) {
	return maps.Target{To: uint32(key) + 10}, key < 4
}

func TestRedirect(t *testing.T) {
	s := newState(t)
	xdp, _ := progtype.Get(ebpf.XDP)
	setup := func(typ *progtype.Type) {
		t.Helper()
		if err := typ.Setup(s, &progtype.Input{Data: make([]byte, 60)}); err != nil {
			t.Fatal(err)
		}
		if s.Redirect != (exec.Redirect{}) {
			t.Errorf("a run begins with %+v", s.Redirect)
		}
	}
	check := func(got, want uint64, r exec.Redirect) {
		t.Helper()
		if got != want || s.Redirect != r {
			t.Errorf("gives %d, %+v; want %d, %+v", got, s.Redirect, want, r)
		}
	}
	setup(xdp)
	check(redirect(s, 5, 0, 0, 0, 0), 4, exec.Redirect{Kind: exec.RedirectInterface, Ifindex: 5})
	check(redirect(s, 6, 1, 0, 0, 0), 0, exec.Redirect{Kind: exec.RedirectInterface, Ifindex: 5})

	devs := &interfaces{info: maps.Info{Type: ebpf.DevMap}}
	handle := maps.Register(devs)
	defer maps.Unregister(handle)
	check(xdpRedirectMap(s, uint64(handle), 3, 0, 0, 0), 4, exec.Redirect{Kind: exec.RedirectMap, Ifindex: 13, Map: handle, Key: 3})
	check(xdpRedirectMap(s, uint64(handle), 4, 2, 0, 0), 2, exec.Redirect{})
	check(xdpRedirectMap(s, uint64(handle), 3, 1<<5, 0, 0), 0, exec.Redirect{})
	devs.info.Type = ebpf.CPUMap
	check(xdpRedirectMap(s, uint64(handle), 3, broadcast, 0, 0), 0, exec.Redirect{})

	tc, _ := progtype.Get(ebpf.SchedCLS)
	setup(tc)
	check(redirect(s, 5, 1, 0, 0, 0), 7, exec.Redirect{Kind: exec.RedirectInterface, Ifindex: 5, Flags: 1})
	check(redirectPeer(s, 6, 0, 0, 0, 0), 7, exec.Redirect{Kind: exec.RedirectPeer, Ifindex: 6})
	hop := lend(t, s, append(u32(progtype.AFInet), make([]byte, 16)...))
	copy(view(hop+4, 4), []byte{10, 0, 0, 9})
	check(redirectNeigh(s, 7, hop, 20, 0, 0), 7,
		exec.Redirect{Kind: exec.RedirectNeigh, Ifindex: 7, Nexthop: netip.AddrFrom4([4]byte{10, 0, 0, 9})})

	var cloned int
	s.Env.Clone = func(s *exec.State, ifindex uint32, _ uint64) { cloned += int(ifindex) * s.Packet.Len() }
	if got := cloneRedirect(s, 0, 2, 0, 0, 0); got != 0 || cloned != 120 {
		t.Errorf("gives %d, cloned %d", int64(got), cloned)
	}
}

// TestAllocates checks that helpers that programs call for each packet leave the
// heap alone.
func TestAllocates(t *testing.T) {
	s := newState(t)
	tc, _ := progtype.Get(ebpf.SchedCLS)
	in := progtype.Input{Data: append(make([]byte, 12), append([]byte{8, 0, 0x45}, make([]byte, 60)...)...)}
	_, hash := newMap(t, &ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 8})
	_, ring := newMap(t, &ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 4096})
	mem := lend(t, s, make([]byte, 64))
	calls := map[uint32][4]uint64{
		1: {hash, mem}, 2: {hash, mem, mem}, 3: {hash, mem}, 5: {}, 7: {}, 9: {0, 20, mem, 8}, 11: {0, 24, 1, 2},
		18: {0, 0, 5}, 19: {}, 23: {2}, 26: {0, 14, mem, 20}, 28: {mem, 8, mem, 8}, 31: {0, 0xdd86}, 38: {0, 90},
		50: {0, 20, 1, 0}, 130: {ring, mem, 8}, 163: {0, 0, mem},
	}
	for id, a := range calls {
		h := ByID(id)
		n := testing.AllocsPerRun(20, func() {
			if err := tc.Setup(s, &in); err != nil {
				t.Fatal(err)
			}
			h.Func(s, a[0], a[1], a[2], a[3], 0)
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a call", h.Name, n)
		}
	}
}
