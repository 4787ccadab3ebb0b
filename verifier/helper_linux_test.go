package verifier_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/helper"
)

// The maps that calls of helpers are tried with; the first one's values are memory.
var callMaps = []*ebpf.MapSpec{
	{Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: 64, MaxEntries: 4},
	{Name: "hash", Type: ebpf.Hash, KeySize: 8, ValueSize: 16, MaxEntries: 4},
	{Name: "programs", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 4},
	{Name: "events", Type: ebpf.PerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 4},
	{Name: "stacks", Type: ebpf.StackTrace, KeySize: 4, ValueSize: 8 * 16, MaxEntries: 4},
	{Name: "cgroups", Type: ebpf.CGroupArray, KeySize: 4, ValueSize: 4, MaxEntries: 4},
	{Name: "lru", Type: ebpf.LRUHash, KeySize: 8, ValueSize: 16, MaxEntries: 4},
	{Name: "devices", Type: ebpf.DevMap, KeySize: 4, ValueSize: 4, MaxEntries: 4},
	{Name: "cpus", Type: ebpf.CPUMap, KeySize: 4, ValueSize: 4, MaxEntries: 4},
	{Name: "xsks", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 4},
	{Name: "sockets", Type: ebpf.SockMap, KeySize: 4, ValueSize: 8, MaxEntries: 4},
	{Name: "sockhash", Type: ebpf.SockHash, KeySize: 4, ValueSize: 8, MaxEntries: 4},
	{Name: "percpu", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 64, MaxEntries: 4},
	{Name: "reuseport", Type: ebpf.ReusePortSockArray, KeySize: 4, ValueSize: 8, MaxEntries: 4},
	{Name: "queue", Type: ebpf.Queue, ValueSize: 16, MaxEntries: 4},
	{Name: "stack", Type: ebpf.Stack, ValueSize: 16, MaxEntries: 4},
	{Name: "bloom", Type: ebpf.BloomFilter, ValueSize: 16, MaxEntries: 4},
	{Name: "ringbuf", Type: ebpf.RingBuf, MaxEntries: 4096},
	{Name: "user", Type: ebpf.UserRingbuf, MaxEntries: 4096},
	{Name: "percpuhash", Type: ebpf.PerCPUHash, KeySize: 8, ValueSize: 16, MaxEntries: 4},
}

// callKind is a kind of program that calls are tried from.
type callKind struct {
	typ    ebpf.ProgramType
	attach ebpf.AttachType
	flags  uint32
	to     string // what programs say to be attached to
	kernel string // and its name among the kernel's types
	ret    int32  // what programs return
}

func (k *callKind) String() string { return fmt.Sprintf("%s %s %s", k.typ, k.attach, k.to) }

var callKinds = []callKind{
	{typ: ebpf.SocketFilter}, {typ: ebpf.Kprobe}, {typ: ebpf.SchedCLS}, {typ: ebpf.TracePoint}, {typ: ebpf.XDP},
	{typ: ebpf.PerfEvent}, {typ: ebpf.CGroupSKB}, {typ: ebpf.LWTIn}, {typ: ebpf.LWTOut}, {typ: ebpf.LWTXmit},
	{typ: ebpf.SkSKB}, {typ: ebpf.RawTracepoint}, {typ: ebpf.LWTSeg6Local}, {typ: ebpf.FlowDissector},
	{typ: ebpf.CGroupSock, attach: ebpf.AttachCGroupInetSockCreate},
	{typ: ebpf.CGroupSock, attach: ebpf.AttachCGroupInet4PostBind},
	{typ: ebpf.SockOps, attach: ebpf.AttachCGroupSockOps},
	{typ: ebpf.CGroupDevice, attach: ebpf.AttachCGroupDevice},
	{typ: ebpf.SkMsg, attach: ebpf.AttachSkMsgVerdict},
	{typ: ebpf.CGroupSysctl, attach: ebpf.AttachCGroupSysctl},
	{typ: ebpf.CGroupSockAddr, attach: ebpf.AttachCGroupInet4Connect},
	{typ: ebpf.CGroupSockAddr, attach: ebpf.AttachCGroupUDP6Recvmsg, ret: 1},
	{typ: ebpf.CGroupSockopt, attach: ebpf.AttachCGroupSetsockopt},
	{typ: ebpf.CGroupSockopt, attach: ebpf.AttachCGroupGetsockopt},
	{typ: ebpf.SkLookup, attach: ebpf.AttachSkLookup},
	{typ: ebpf.SkReuseport, attach: ebpf.AttachSkReuseportSelect},
	{typ: ebpf.Syscall, flags: sleepable},
	{typ: ebpf.Tracing, attach: ebpf.AttachTraceIter, to: "task", kernel: "bpf_iter_task"},
	{typ: ebpf.Tracing, attach: ebpf.AttachTraceRawTp, to: "sched_switch", kernel: "btf_trace_sched_switch"},
	{typ: ebpf.Tracing, attach: ebpf.AttachTraceFEntry, to: "do_unlinkat", kernel: "do_unlinkat"},
	{typ: ebpf.Tracing, attach: ebpf.AttachTraceFExit, to: "filp_close", kernel: "filp_close"},
	{typ: ebpf.LSM, attach: ebpf.AttachLSMMac, to: "file_open", kernel: "bpf_lsm_file_open"},
	{typ: ebpf.LSM, attach: ebpf.AttachLSMMac, flags: sleepable, to: "file_open", kernel: "bpf_lsm_file_open"},
	{typ: ebpf.LSM, attach: ebpf.AttachLSMCgroup, to: "socket_post_create", kernel: "bpf_lsm_socket_post_create"},
}

// target is what the kernel is told of where a program will be attached; false where
// it does not have that.
func (k *callKind) target(types *btf.Spec) (kernelrun.Target, bool) {
	to := kernelrun.Target{Attach: k.attach, Flags: k.flags}
	if k.kernel == "" {
		return to, true
	}
	all, err := types.AnyTypesByName(k.kernel)
	if err != nil {
		return to, false
	}
	for _, typ := range all {
		switch typ.(type) {
		case *btf.Func, *btf.Typedef:
			to.Type, err = types.TypeID(typ)
			return to, err == nil
		}
	}
	return to, false
}

// callMapsFor are the maps, of callMaps, that helpers are made for.
var callMapsFor = map[uint32][]int{
	1: {0, 1, 6, 12, 19, 10}, 2: {0, 1, 6, 12}, 3: {0, 1, 6, 12}, 195: {12, 19}, 12: {2}, 22: {3}, 25: {3}, 55: {3},
	27: {4}, 33: {5}, 37: {5}, 51: {7, 8, 9}, 52: {10}, 53: {10}, 60: {10}, 70: {11}, 71: {11}, 72: {11}, 82: {13},
	87: {14, 15, 16}, 88: {14, 15}, 89: {14, 15, 16}, 130: {17}, 131: {17}, 134: {17}, 164: {0, 1}, 198: {17},
}

// configured are helpers that a kernel has or lacks by how it was configured and locked
// down, or knows more of by the machine that it runs on: bpf_get_smp_processor_id,
// bpf_probe_write_user, bpf_override_return.
var configured = []uint32{8, 36, 58}

const (
	callBuffer = -128 // where the written part of the stack begins
	callFresh  = -256 // where nothing was written
)

// callWriter writes a program that calls one helper.
type callWriter struct {
	*rand.Rand
	insns []isa.Instruction
	maps  []int // of callMaps, by the index in the program
	ret   int32
}

func (w *callWriter) emit(op uint8, dst, src int, off int16, imm int32) {
	w.insns = append(w.insns, isa.Instruction{Op: op, Dst: uint8(dst), Src: uint8(src), Off: off, Imm: imm})
}

func (w *callWriter) move(dst, src int) { w.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, dst, src, 0, 0) }
func (w *callWriter) set(dst int, n int32) {
	w.emit(isa.ClassALU64|isa.AluMOV, dst, 0, 0, n)
}

func (w *callWriter) address(dst, off int) {
	w.move(dst, isa.R10)
	w.emit(isa.ClassALU64|isa.AluADD, dst, 0, 0, int32(off))
}

// loadMap loads one of callMaps.
func (w *callWriter) loadMap(dst, m int) {
	i := slices.Index(w.maps, m)
	if i < 0 {
		i = len(w.maps)
		w.maps = append(w.maps, m)
	}
	w.emit(isa.OpLDDW, dst, isa.PseudoMapFD, 0, int32(i))
	w.emit(0, 0, 0, 0, 0)
}

func (w *callWriter) call(id uint32) {
	w.emit(isa.ClassJMP|isa.JmpCALL, 0, isa.CallHelper, 0, int32(id))
}

// value looks the array's value up; where it is not checked it may be NULL.
func (w *callWriter) value(checked bool) {
	w.address(isa.R2, callBuffer)
	w.loadMap(isa.R1, 0)
	w.call(1)
	if checked {
		w.emit(isa.ClassJMP|isa.JmpJNE, isa.R0, 0, 2, 0)
		w.set(isa.R0, w.ret)
		w.emit(isa.ClassJMP|isa.JmpEXIT, 0, 0, 0, 0)
	}
}

// write is a program that calls the helper with what its prototype in the machine asks
// for, mostly, and then looks at the result.
func (w *callWriter) write(h *helper.Helper) {
	w.move(isa.R6, isa.R1)
	w.set(isa.R1, 0)
	for off := callBuffer; off < 0; off += 8 {
		w.emit(isa.ClassSTX|isa.ModeMEM|isa.SizeDW, isa.R10, isa.R1, int16(off), 0)
	}
	w.value(true)
	w.move(isa.R7, isa.R0)
	w.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeDW, isa.R8, isa.R7, 0, 0)
	w.value(false)
	w.move(isa.R9, isa.R0)
	for i, a := range h.Args {
		if suits := callMapsFor[h.ID]; a == helper.ArgConstMapPtr && len(suits) > 0 && w.IntN(6) > 0 {
			w.loadMap(isa.R1+i, suits[w.IntN(len(suits))])
			continue
		}
		w.argument(isa.R1+i, a)
	}
	w.call(h.ID)
	w.look(h)
	w.set(isa.R0, w.ret)
	w.emit(isa.ClassJMP|isa.JmpEXIT, 0, 0, 0, 0)
}

// argument sets a register to what suits a kind of argument, or to anything.
func (w *callWriter) argument(r int, a helper.Arg) {
	if w.IntN(8) == 0 {
		w.anything(r)
		return
	}
	switch a {
	case helper.ArgPtrToCtx:
		w.move(r, isa.R6)
	case helper.ArgConstMapPtr:
		w.loadMap(r, w.IntN(len(callMaps)))
	case helper.ArgConstSize, helper.ArgConstSizeOrZero, helper.ArgConstAllocSize:
		w.size(r)
	case helper.ArgAnything:
		w.set(r, int32(w.IntN(3)))
	case helper.ArgPtrToCtxOrSocket, helper.ArgPtrToSocket:
		w.move(r, isa.R6)
	default:
		w.memory(r)
	}
}

func (w *callWriter) size(r int) {
	switch w.IntN(8) {
	case 0:
		w.move(r, isa.R8)
	case 1:
		w.move(r, isa.R8)
		w.emit(isa.ClassALU64|isa.AluAND, r, 0, 0, 31)
	case 2:
		w.move(r, isa.R8)
		w.emit(isa.ClassALU64|isa.AluAND, r, 0, 0, 511)
	default:
		w.set(r, []int32{0, 1, 8, 16, 20, 64, 128, 600, -1}[w.IntN(9)])
	}
}

func (w *callWriter) memory(r int) {
	switch w.IntN(5) {
	case 0, 1:
		w.address(r, callBuffer+8*w.IntN(8)+w.IntN(2)*w.IntN(8))
	case 2:
		w.address(r, callFresh)
	case 3:
		w.move(r, isa.R7)
	case 4:
		w.move(r, isa.R7)
		w.emit(isa.ClassALU64|isa.AluADD, r, 0, 0, int32(w.IntN(64)))
	}
}

func (w *callWriter) anything(r int) {
	switch w.IntN(9) {
	case 0:
		w.set(r, 0)
	case 1:
		w.set(r, int32(w.Uint32()))
	case 2:
		w.move(r, isa.R6)
	case 3:
		w.move(r, isa.R9)
	case 4:
		w.loadMap(r, w.IntN(len(callMaps)))
	case 5:
		w.move(r, isa.R8)
	case 6:
		w.move(r, isa.R6)
		w.emit(isa.ClassALU64|isa.AluADD, r, 0, 0, 8)
	case 7:
		w.move(r, isa.R10)
	default:
		w.memory(r)
	}
}

// look uses the result, so that what it is decides.
func (w *callWriter) look(*helper.Helper) {
	switch w.IntN(6) {
	case 0: // as it is
		w.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeW, isa.R1, isa.R0, 4, 0)
	case 1: // after a check
		w.emit(isa.ClassJMP|isa.JmpJEQ, isa.R0, 0, 1, 0)
		w.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeW, isa.R1, isa.R0, 4, 0)
	case 2: // a store
		w.emit(isa.ClassJMP|isa.JmpJEQ, isa.R0, 0, 1, 0)
		w.emit(isa.ClassST|isa.ModeMEM|isa.SizeW, isa.R0, 0, 4, 1)
	case 3: // as an offset
		w.emit(isa.ClassJMP|isa.JmpJSLT, isa.R0, 0, 3, 0)
		w.emit(isa.ClassJMP|isa.JmpJSGT, isa.R0, 0, 2, 63)
		w.emit(isa.ClassALU64|isa.AluADD|isa.SrcX, isa.R7, isa.R0, 0, 0)
		w.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeB, isa.R1, isa.R7, 0, 0)
	case 4: // what it filled
		w.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeDW, isa.R1, isa.R10, callFresh, 0)
	}
}

// TestHelpersAgainstKernel calls every helper from every kind of program with arguments
// of all kinds, and holds the verdict against the running kernel's.
func TestHelpersAgainstKernel(t *testing.T) {
	testenv.Kernel(t)
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("the kernel tells no types: %v", err)
	}
	opts := &verifier.Options{Kernel: runningKernel(t), KernelTypes: types}
	seed, rounds := testenv.Seed(t), max(edgePrograms(t)/3000, 1)
	for i := range callKinds {
		k := &callKinds[i]
		t.Run(k.String(), func(t *testing.T) {
			to, ok := k.target(types)
			if !ok {
				t.Skip("this kernel does not have it")
			}
			maps := newCallMaps(t) // a map of programs belongs to the first program's type
			count := map[string]int{}
			for _, h := range helper.All() {
				if !h.AllowedIn(k.typ) && k.typ != ebpf.SocketFilter || slices.Contains(configured, h.ID) {
					continue
				}
				for i := range rounds {
					w := &callWriter{ret: k.ret, Rand: rand.New(rand.NewPCG(seed, uint64(k.typ)<<32|uint64(h.ID)<<16|uint64(i)))}
					w.write(h)
					o := compareCall(t, k, to, w, maps, opts)
					count[strings.SplitN(o, "\n", 2)[0]]++
					if strings.HasPrefix(o, "falsely") {
						t.Errorf("%s: %s\n%s", h.Name, o, w.listing())
					}
				}
			}
			t.Log(count)
		})
	}
}

// newCallMaps makes callMaps; nil are those whose type the kernel does not have.
func newCallMaps(t *testing.T) []*kernelrun.Map {
	maps := make([]*kernelrun.Map, len(callMaps))
	for i, spec := range callMaps {
		var err error
		maps[i], err = kernelrun.NewMap(spec)
		if errors.Is(err, unix.EINVAL) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := maps[i].Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return maps
}

func compareCall(
	t *testing.T, k *callKind, to kernelrun.Target, w *callWriter, all []*kernelrun.Map, opts *verifier.Options,
) string {
	img := &program.Image{
		Name: "call", Type: k.typ, Attach: k.attach, AttachTo: k.to, Flags: k.flags, License: "GPL", Insns: w.insns,
		Funcs: []program.Function{{Name: "call"}}, KernelTypes: opts.KernelTypes,
	}
	specs := map[string]*ebpf.MapSpec{}
	var maps []*kernelrun.Map
	for _, m := range w.maps {
		if all[m] == nil {
			return "no such map"
		}
		img.Maps = append(img.Maps, callMaps[m].Name)
		specs[callMaps[m].Name] = callMaps[m]
		maps = append(maps, all[m])
	}
	_, ours := verifier.CheckImage(img, specs, opts)
	var refusal *verifier.Error
	if ours != nil && !errors.As(ours, &refusal) {
		t.Fatal(ours)
	}
	if refusal != nil && refusal.Cause == verifier.CauseUnsupported {
		return "unknown"
	}
	kernel := loadFor(t, k.typ, to, w.insns, maps, false)
	accepted := kernel == nil
	switch {
	case errors.Is(kernel, unix.EPERM):
		return "not permitted"
	case accepted && refusal == nil:
		return "same: accepted"
	case !accepted && refusal != nil:
		return "same: refused"
	case accepted:
		return fmt.Sprintf("falsely refused\nskep: %v", ours)
	}
	var log strings.Builder
	kernel = loadFor(t, k.typ, to, w.insns, maps, true)
	logged := *opts
	logged.Log = &log
	_, _ = verifier.CheckImage(img, specs, &logged) // said above
	return fmt.Sprintf("falsely accepted\nkernel: %s\nskep: %s", lastWords(kernel), log.String())
}

func (w *callWriter) listing() string {
	var b strings.Builder
	for i := range w.insns {
		fmt.Fprintf(&b, "%d: %s\n", i, w.insns[i].Text(0))
	}
	for i, m := range w.maps {
		fmt.Fprintf(&b, "map %d: %s\n", i, callMaps[m].Type)
	}
	return b.String()
}
