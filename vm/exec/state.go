package exec

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/sched"
)

// Memory of a State, in bytes. The block is laid out as
//
//	stack | guard | context | headroom, packet, tailroom | shared info | scratch
//
// and backed by the system only where it is touched.
const (
	stackBytes   = MaxDepth * isa.StackSize
	guardBytes   = 4096
	ctxOffset    = (stackBytes+4095)&^4095 + guardBytes
	ctxBytes     = 4096
	packetOffset = ctxOffset + 8192

	// Headroom is the room before a packet, which programs may grow into.
	Headroom = 4096
	// MaxPacket is the longest packet that a run takes.
	MaxPacket = 256 << 10
	// Tailroom is the room behind the longest packet.
	Tailroom = 4096
	// MaxPlainCtx is the longest context that is plain memory. It may lie over
	// the packet's place, as such types see no packet.
	MaxPlainCtx = 64<<10 - 1

	// sharedInfo is kept free behind the packet's room, where Linux has a buffer's
	// struct skb_shared_info.
	sharedInfo = 512

	scratchOffset = packetOffset + Headroom + MaxPacket + Tailroom + sharedInfo
	scratchBytes  = 16 << 10
	stateBytes    = scratchOffset + scratchBytes
)

// MaxDepth is how many frames a run may have: each program that a tail call from
// a function begins may call as deep again as the first.
const MaxDepth = isa.MaxFrames + isa.MaxTailCalls*(isa.MaxFrames-1)

// State is one CPU of the machine: all that a run needs.
type State struct {
	// CPU is this state's number: what bpf_get_smp_processor_id gives, and which
	// value of a per-CPU map a program sees.
	CPU int

	// Checked says that the running engine follows pointers: Prov, ArgProv and
	// Regions are valid.
	Checked bool
	// ArgProv is where the arguments of the helper being called came from (R1 is
	// element 0). A helper that returns a pointer sets RetProv.
	ArgProv [5]Prov
	RetProv Prov

	// Engine is the engine that runs a program: helpers such as bpf_loop call back
	// through it. Interp and JIT are what the engines keep from one run to the next.
	Engine, Interp, JIT Engine

	// Packet is the packet of this run, for program types that see one.
	Packet Packet
	// Redirect is where the program sent its packet.
	Redirect Redirect
	// TunnelOptions are what bpf_skb_set_tunnel_opt added to the packet's tunnel key.
	TunnelOptions []byte
	// Buffer is memory that a pointer in the context leads to, such as a flow
	// dissector's keys.
	Buffer Region

	// Budget is how many instructions may still run; an engine may notice its
	// end late, at the next backward jump or call. Context ends a run early.
	Budget  int64
	Context context.Context

	// Env is what lies outside the machine.
	Env *Env
	// Task is the thread that this run is in; nil: Env.Tasks.Current.
	Task *Task
	// Attach is what the program was loaded for.
	Attach ebpf.AttachType
	// Trace is what a traced program knows beside its context.
	Trace Trace
	// Effects is what the program did to the world around it, Seq what an
	// iterator wrote. Whoever begins a run empties them.
	Effects []Effect
	Seq     []byte
	// Files are the parts of files that dynptrs show, by the dynptrs' data, from 1.
	Files []FileView

	// Acquired is memory lent to the program until it gives it back.
	Acquired []Record
	// References is what the program must give back. Checked only.
	References []Reference

	regions []Region
	ctx     CtxShape
	scratch int         // bytes of the scratch memory that are lent
	maps    *[]maps.Map // what regions was made from
	locks   []uintptr   // that this run holds
	block   *mem.Block
	native  uintptr // the native stack; 0 before Native

	behind Behind
	shown  bool // behind is of this run

	sockets []SocketRef // checked only
	// ownSocket is made when a context first needs it; leadsToOwn says that this run's
	// does.
	ownSocket  *Socket
	leadsToOwn bool
}

// Record is memory that a helper lent (a ring buffer's record).
type Record struct {
	Addr uintptr
	Size uintptr
	Map  maps.Handle
	Live bool
	// Dynptr says that the memory is a dynptr.
	Dynptr bool
}

// Engine is what a helper needs of the engine that called it.
type Engine interface {
	// Callback runs the function at instruction fn on s, with up to five
	// arguments and where they came from, and gives its R0.
	Callback(s *State, fn uint32, args *[5]uint64, prov *[5]Prov) (uint64, error)
	// Func gives the function at instruction fn for a later call.
	Func(fn uint32) Func
	// Throw ends the program that called the helper, with a result (bpf_throw).
	Throw(result uint64)
	// Fail ends the run of the program that called the helper, with an error.
	Fail(err error)
}

// Env is what lies outside the machine: the clock, randomness, and where
// output goes. Its zero value is the host's clock and randomness, and silence.
type Env struct {
	// Now is the time since boot (bpf_ktime_get_ns).
	Now func() time.Duration
	// Wall is the time since the epoch.
	Wall func() time.Time
	// Rand gives a random number (bpf_get_prandom_u32).
	Rand func() uint32
	// Printk takes one message of bpf_trace_printk, without its newline.
	Printk func(msg string)
	// Stream takes what a program writes to one of its streams (bpf_stream_vprintk),
	// any number of lines or parts of one.
	Stream func(to Stream, text string)
	// Tasks, Sockets and Cgroups answer questions about the rest of the world. May
	// be nil; without Tasks, programs run in this process.
	Tasks   Tasks
	Sockets Sockets
	Cgroups Cgroups
	// Perf answers questions about performance events. May be nil.
	Perf Perf
	// Conntrack are the connections that netfilter tracks. Programs that share an Env
	// share them; nil: none to begin with.
	Conntrack *Conntrack
	// Sysctl is what programs for sysctls are asked about. May be nil.
	Sysctl *Sysctl
	// Paths are names of files by the address of their struct path (bpf_d_path),
	// Symbols addresses by their names (bpf_kallsyms_lookup_name).
	Paths   map[uint64]string
	Symbols map[string]uint64
	// Measurements are hashes of files by the address of their struct inode or struct
	// file (bpf_ima_inode_hash, bpf_ima_file_hash).
	Measurements map[uint64]Measurement
	// Files answers questions about files. May be nil.
	Files Files
	// Net answers questions about the network around a packet. May be nil.
	Net Net
	// Timers are the timers that programs start. Programs that share an Env share
	// them; nil: a set of their own.
	Timers *Timers
	// Sched is what schedulers find: CPUs, tasks, dispatch queues. Nil: as many CPUs
	// as there are, which are idle.
	Sched *sched.Sched
	// CPUs is how many CPUs the machine has, as programs see it.
	CPUs int
	// Objects is the kernel's memory, as far as programs may see it. May be nil.
	Objects *Objects
	// Types are the kernel's types, by whose numbers programs name them. Nil: those
	// that each program was linked against.
	Types *btf.Spec
	// Syscalls is bpf(2). Nil: programs may not call it (EPERM).
	Syscalls Syscalls
	// Clone sends a copy of a run's packet (bpf_clone_redirect). It must not keep
	// the state. May be nil.
	Clone func(s *State, ifindex uint32, flags uint64)
}

// Stream is one of a program's streams (enum bpf_stream_id).
type Stream uint32

// The streams.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

func (s Stream) String() string {
	switch s {
	case Stdout:
		return "stdout"
	case Stderr:
		return "stderr"
	}
	return "stream " + strconv.Itoa(int(s))
}

var boot = time.Now()

// Defaults fills what is unset.
func (e *Env) Defaults() *Env {
	if e.Now == nil {
		e.Now = func() time.Duration { return time.Since(boot) }
	}
	if e.Timers == nil {
		e.Timers = NewTimers()
	}
	if e.Conntrack == nil {
		e.Conntrack = NewConntrack()
	}
	if e.CPUs == 0 && e.Sched != nil {
		e.CPUs = e.Sched.CPUs()
	}
	if e.CPUs == 0 {
		e.CPUs = runtime.NumCPU()
	}
	if e.Sched == nil {
		e.Sched = sched.New(e.CPUs)
	}
	if e.Wall == nil {
		e.Wall = time.Now
	}
	if e.Rand == nil {
		e.Rand = hostRand
	}
	if e.Printk == nil {
		e.Printk = func(string) {}
	}
	if e.Stream == nil {
		e.Stream = func(Stream, string) {}
	}
	return e
}

func hostRand() uint32 { return rand.Uint32() }

// Seed gives a number other than 0 for native code to make random numbers from; 0
// where they have to be those of a Rand that is not the host's.
func (e *Env) Seed() uint64 {
	if reflect.ValueOf(e.Rand).Pointer() != reflect.ValueOf(hostRand).Pointer() {
		return 0
	}
	return rand.Uint64() | 1
}

// NewState reserves a state for a CPU.
func NewState(cpu int) (*State, error) {
	block, err := mem.New(stateBytes)
	if err != nil {
		return nil, fmt.Errorf("memory of CPU %d: %w", cpu, err)
	}
	s := &State{CPU: cpu, block: block, Env: new(Env).Defaults(), Context: context.Background()}
	return s, nil
}

// Stack is the address of frame 0's stack; frame i is isa.StackSize further up.
func (s *State) Stack() uintptr { return s.block.Addr() }

// Native is the address of the stack for machine code, which is made when it is
// first asked for: [abi.StackBytes] bytes, at a multiple of that.
func (s *State) Native() (uintptr, error) {
	if s.native == 0 {
		block, err := mem.New(2 * abi.StackBytes) // an aligned one is somewhere in it
		if err != nil {
			return 0, fmt.Errorf("native stack of CPU %d: %w", s.CPU, err)
		}
		s.native = (block.Addr() + abi.StackBytes - 1) &^ (abi.StackBytes - 1)
	}
	return s.native, nil
}

// Ctx is the address of the context.
func (s *State) Ctx() uintptr { return s.block.Addr() + ctxOffset }

// CtxBytes is the context's memory.
func (s *State) CtxBytes() []byte { return s.block.Bytes()[ctxOffset : ctxOffset+ctxBytes] }

// Lend gives n bytes of memory that the program may be shown, and where
// pointers to it come from, until Return is called in the reverse order; nil
// where there is no more.
func (s *State) Lend(n int) ([]byte, Prov) {
	rounded := (n + 7) &^ 7
	if rounded > scratchBytes-s.scratch {
		return nil, 0
	}
	b := s.block.Bytes()[scratchOffset+s.scratch:][:n]
	s.scratch += rounded
	return b, s.Acquire(Record{Addr: Addr(b), Size: uintptr(n)})
}

// Return takes back what Lend gave.
func (s *State) Return(b []byte, p Prov) {
	s.scratch -= (len(b) + 7) &^ 7
	s.Acquired[p.Elem()].Live = false
}

// Acquire notes memory that is lent to the program, and gives where pointers to
// it come from.
func (s *State) Acquire(r Record) Prov {
	r.Live = true
	for i := range s.Acquired {
		if !s.Acquired[i].Live {
			s.Acquired[i] = r
			return Make(RegionRecord, uint32(i))
		}
	}
	s.Acquired = append(s.Acquired, r)
	return Make(RegionRecord, uint32(len(s.Acquired)-1))
}

// takeOver acquires the record that native code has reserved itself.
func (s *State) takeOver() {
	if s.native == 0 {
		return
	}
	c := (*abi.Context)(mem.At(s.native))
	at := uintptr(c.Record)
	if at == 0 {
		return
	}
	c.Record = 0
	if r := maps.RingbufOf(at); r != nil {
		s.Acquire(Record{Addr: at, Size: maps.LengthOf(at), Map: r.Info().Handle})
	}
}

// Release ends the loan of the record at addr, and gives it.
func (s *State) Release(addr uintptr) (Record, bool) {
	s.takeOver()
	for i := range s.Acquired {
		if r := &s.Acquired[i]; r.Live && r.Addr == addr {
			r.Live = false
			return *r, true
		}
	}
	return Record{}, false
}

// Reclaim takes back all that was lent, and gives how many records the program
// did not give back. A ring buffer's record is discarded, as no
// later one could be read otherwise.
func (s *State) Reclaim() (kept int) {
	s.takeOver()
	for i := range s.Acquired {
		r := &s.Acquired[i]
		if !r.Live || r.Map == 0 {
			continue
		}
		kept++
		if ring, ok := maps.Get(r.Map).(*maps.Ringbuf); ok {
			ring.Discard(r.Addr, 0)
		}
	}
	s.Acquired, s.scratch = s.Acquired[:0], 0
	return kept
}

// Readable is how many bytes from addr on are memory of this run: its own, an
// open map's values, or lent. It serves helpers that read where a number says,
// as Linux's reads that may fault.
func (s *State) Readable(addr uintptr) uintptr {
	in := func(base, size uintptr) uintptr {
		if addr < base || addr-base >= size {
			return 0
		}
		return size - (addr - base)
	}
	if n := in(s.block.Addr(), stateBytes); n > 0 {
		return n
	}
	if n := in(s.native, abi.StackBytes); s.native != 0 && n > 0 {
		return n
	}
	for _, m := range maps.All() {
		if m == nil {
			continue
		}
		v := &m.Info().Values
		if n := in(v.Base, v.Stride*uintptr(v.N)); n > 0 {
			return n
		}
	}
	s.takeOver()
	for _, r := range s.Acquired {
		if n := in(r.Addr, r.Size); r.Live && n > 0 {
			return n
		}
	}
	return 0
}

// Place is where n bytes from addr on lie, if they are memory that a program may have a
// pointer to: a structure behind the context, which may lie elsewhere than programs see
// it, or what [State.Reaches] says. It serves accesses that Linux lets fail.
func (s *State) Place(addr, n uintptr) (uintptr, bool) {
	if b := s.Structure(addr, n); uintptr(len(b)) >= n && n > 0 {
		return Addr(b), true
	}
	return addr, s.Reaches(addr, n)
}

// Reaches reports whether n bytes from addr on are memory that a program may have a
// pointer to: an object of the kernel's, one that programs allocate, or [State.Readable].
// A structure behind the context is as the run stands.
func (s *State) Reaches(addr, n uintptr) bool {
	if b := s.Structure(addr, n); n > 0 && uintptr(len(b)) >= n && Addr(b) == addr {
		return true
	}
	if i, ok := s.Env.Objects.Find(addr); ok {
		o := s.Env.Objects.At(i)
		return o.Size-(addr-o.Addr) >= n
	}
	if p, ok := HeapProv(addr); ok {
		r := heapRegion(p.Elem())
		return addr-r.Base < r.Size && r.Size-(addr-r.Base) >= n
	}
	return s.Readable(addr) >= n
}

// Addr is the address of memory outside the Go heap.
func Addr(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// ResetRegions makes the region table true for the run that begins: the
// packet's bounds, the first frame's stack, and the maps that are open. The
// engine gives further frames' stacks their size as they come and go.
func (s *State) ResetRegions() {
	if len(s.regions) < int(regionMaps) {
		s.regions = make([]Region, regionMaps, regionMaps+64)
		for i := range MaxDepth {
			s.regions[int(RegionStack)+i].Base = s.Stack() + uintptr(i)*isa.StackSize
		}
	}
	s.regions[RegionCtx] = s.ctxRegion()
	s.regions[RegionBuffer] = s.Buffer
	s.regions[RegionStack].Size = isa.StackSize
	s.PacketMoved()
	s.sockets = s.sockets[:0]
	s.addMaps()
}

// PacketMoved makes the context's [PacketPointers] and the packet regions true
// again after a helper moved or resized the packet. The engine turns older
// packet pointers stale.
func (s *State) PacketMoved() {
	p := &s.Packet
	if p.Data != 0 && s.ctx.Form == CtxFields {
		*(*PacketPointers)(unsafe.Pointer(unsafe.SliceData(s.CtxBytes()))) = PacketPointers{
			Data: uint64(p.Data), DataEnd: uint64(p.DataEnd), Meta: uint64(p.Meta), Len: uint32(p.Len()),
		}
	}
	if len(s.regions) < int(regionMaps) {
		return
	}
	s.regions[RegionPacket] = Region{Base: p.Data, Size: p.DataEnd - p.Data, ReadOnly: p.ReadOnly}
	s.regions[RegionMeta] = Region{}
	if p.Meta < p.Data && p.Meta != 0 {
		s.regions[RegionMeta] = Region{Base: p.Meta, Size: p.Data - p.Meta}
	}
}

// addMaps makes the table cover the maps that are open now.
func (s *State) addMaps() {
	snapshot := maps.Snapshot()
	if snapshot == s.maps {
		return
	}
	s.maps = snapshot
	all := *snapshot
	for len(s.regions) < int(regionMaps)+len(all) {
		s.regions = append(s.regions, Region{})
	}
	for h, m := range all {
		r := &s.regions[int(regionMaps)+h]
		if m == nil {
			*r = Region{}
			continue
		}
		info := m.Info()
		*r = Region{
			Base: info.Values.Base, Stride: info.Values.Stride, Size: info.Values.Size,
			ReadOnly:  info.Flags&maps.FlagRdonlyProg != 0,
			WriteOnly: info.Flags&maps.FlagWronlyProg != 0,
		}
		if len(info.Fields) > 0 || info.Type == ebpf.Arena {
			r.Size, r.Guarded = 0, r.Size
		}
	}
}

// Region is what a pointer of this provenance may reach.
func (s *State) Region(p Prov) Region {
	id := p.Region()
	switch id {
	case RegionRecord:
		if i := int(p.Elem()); i < len(s.Acquired) && s.Acquired[i].Live {
			return Region{Base: s.Acquired[i].Addr, Size: s.Acquired[i].Size}
		}
		return Region{}
	case RegionHeap:
		return heapRegion(p.Elem())
	case RegionBTF:
		e := s.Env.Objects.At(int(p.Elem()))
		return Region{Base: e.Addr, Size: e.Size, ReadOnly: true}
	}
	if int(id) >= len(s.regions) {
		s.addMaps() // a map that was made while this run went on
		if int(id) >= len(s.regions) {
			return Region{}
		}
	}
	if id == RegionSock {
		return s.socketRegion(p.Elem())
	}
	r := s.regions[id]
	r.Base += uintptr(p.Elem()) * r.Stride
	r.Size = max(r.Size, r.Guarded)
	return r
}

// Regions is the table itself, for an engine's fast path.
func (s *State) Regions() []Region { return s.regions }
