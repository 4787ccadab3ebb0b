package maps

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// Where a program of TestProgramsLikeTheKernel finds what to do, in the value
// of its control map, and where it puts the result.
const (
	ctlOp    = 0  // u64
	ctlFlags = 8  // u64
	ctlRet   = 16 // u64
	ctlKey   = 32
	ctlValue = 96
	ctlOut   = 160
	ctlSize  = 1024
)

const (
	opUpdate = iota // or push
	opDelete        // or pop
	opLookup        // or peek
	opTotal
)

// actor is a program of the kernel that does one operation on a map.
type actor struct {
	control *ebpf.Map
	prog    *ebpf.Program
}

func newActor(t *testing.T, spec *ebpf.MapSpec, fd int) *actor {
	t.Helper()
	control, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: ctlSize, MaxEntries: 1})
	must(t, err)
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "MIT", Instructions: actorProgram(spec, fd, control.FD()),
	})
	must(t, err)
	return &actor{control, prog}
}

func (a *actor) Close() {
	a.prog.Close()
	a.control.Close()
}

func actorProgram(spec *ebpf.MapSpec, fd, control int) asm.Instructions {
	at := func(r asm.Register, off int32) asm.Instructions {
		return asm.Instructions{asm.Mov.Reg(r, asm.R6), asm.Add.Imm(r, off)}
	}
	call := func(label string, fn asm.BuiltinFunc, args ...asm.Instructions) asm.Instructions {
		insns := asm.Instructions{asm.LoadMapPtr(asm.R1, fd).WithSymbol(label)}
		return append(append(insns, slices.Concat(args...)...), fn.Call())
	}
	flags := func(r asm.Register) asm.Instructions {
		return asm.Instructions{asm.LoadMem(r, asm.R6, ctlFlags, asm.DWord)}
	}
	done := asm.Instructions{asm.Ja.Label("store")}
	insns := asm.Instructions{
		asm.Mov.Imm(asm.R0, 0),
		asm.StoreMem(asm.RFP, -4, asm.R0, asm.Word),
		asm.LoadMapPtr(asm.R1, control),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "exit"),
		asm.Mov.Reg(asm.R6, asm.R0),
		asm.LoadMem(asm.R7, asm.R6, ctlOp, asm.DWord),
		asm.JEq.Imm(asm.R7, opDelete, "delete"),
		asm.JEq.Imm(asm.R7, opLookup, "lookup"),
	}
	switch spec.Type {
	case ebpf.RingBuf:
		size := asm.Instructions{ // bounded for the verifier
			asm.LoadMem(asm.R3, asm.R6, ctlKey, asm.DWord),
			asm.And.Imm(asm.R3, 511),
		}
		insns = append(insns, call("update", asm.FnRingbufOutput, at(asm.R2, ctlValue), size, flags(asm.R4))...)
		insns = append(insns, done...)
		insns = append(insns, call("delete", asm.FnRingbufQuery, flags(asm.R2))...)
		insns = append(insns, done...)
		insns = append(insns, call("lookup", asm.FnRingbufQuery, flags(asm.R2))...)
	case ebpf.Queue, ebpf.Stack:
		insns = append(insns, call("update", asm.FnMapPushElem, at(asm.R2, ctlValue), flags(asm.R3))...)
		insns = append(insns, done...)
		insns = append(insns, call("delete", asm.FnMapPopElem, at(asm.R2, ctlOut))...)
		insns = append(insns, done...)
		insns = append(insns, call("lookup", asm.FnMapPeekElem, at(asm.R2, ctlOut))...)
	default:
		insns = append(insns, call("update", asm.FnMapUpdateElem, at(asm.R2, ctlKey), at(asm.R3, ctlValue), flags(asm.R4))...)
		insns = append(insns, done...)
		insns = append(insns, call("delete", asm.FnMapDeleteElem, at(asm.R2, ctlKey))...)
		insns = append(insns, done...)
		insns = append(insns, call("lookup", asm.FnMapLookupElem, at(asm.R2, ctlKey))...)
		insns = append(insns, asm.JEq.Imm(asm.R0, 0, "store"))
		fields := valueFields(spec)
		for i := range spec.ValueSize {
			if slices.ContainsFunc(fields, func(f Field) bool { return i-f.Offset < f.Size }) {
				continue // not the program's to read
			}
			insns = append(insns,
				asm.LoadMem(asm.R1, asm.R0, int16(i), asm.Byte),
				asm.StoreMem(asm.R6, ctlOut+int16(i), asm.R1, asm.Byte))
		}
		insns = append(insns, asm.Mov.Imm(asm.R0, 1)) // not the address
	}
	return append(insns,
		asm.StoreMem(asm.R6, ctlRet, asm.R0, asm.DWord).WithSymbol("store"),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("exit"),
		asm.Return(),
	)
}

// do runs one operation in the kernel.
func (a *actor) do(op int, flags uint64, key, value []byte) (ret int64, out []byte, err error) {
	ctl := make([]byte, ctlSize)
	binary.NativeEndian.PutUint64(ctl[ctlOp:], uint64(op))
	binary.NativeEndian.PutUint64(ctl[ctlFlags:], flags)
	copy(ctl[ctlKey:ctlValue], key)
	copy(ctl[ctlValue:], value)
	if err := a.control.Put(uint32(0), ctl); err != nil {
		return 0, nil, err
	}
	if _, err := a.prog.Run(&ebpf.RunOptions{Data: make([]byte, 14)}); err != nil {
		return 0, nil, err
	}
	if err := a.control.Lookup(uint32(0), ctl); err != nil {
		return 0, nil, err
	}
	return int64(binary.NativeEndian.Uint64(ctl[ctlRet:])), ctl[ctlOut : ctlOut+64], nil
}

// ourDo is the same operation here, as the helpers do it.
func ourDo(m Map, cpu, op int, flags uint64, key, value []byte) (ret int64, out []byte) {
	out = make([]byte, 64)
	size := int(m.Info().ValueSize)
	q, keyless := m.(Keyless)
	var err error
	switch {
	case op == opUpdate && keyless:
		err = q.Push(value, flags)
	case op == opUpdate:
		err = m.Update(cpu, key, value, flags)
	case op == opDelete && keyless:
		err = q.Pop(out[:size])
	case op == opDelete:
		err = m.Delete(key)
	case keyless:
		err = q.Peek(out[:size])
	default:
		addr := m.Lookup(cpu, key)
		if addr == 0 {
			return 0, out
		}
		copy(out, mem.View(addr, size))
		return 1, out
	}
	return -int64(errnoOf(err)), out
}

// onCPU keeps the test on one CPU and gives its number.
func onCPU(t *testing.T, cpu int) {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	var old, one unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &old))
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Skipf("cannot run on CPU %d: %v", cpu, err)
	}
	t.Cleanup(func() { must(t, unix.SchedSetaffinity(0, &old)) })
}

// TestProgramsLikeTheKernel runs the same random operations by a program and by
// user space on a map of the kernel and on ours.
func TestProgramsLikeTheKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "some map types and helpers were not there yet")
	first := *seed
	if first == 0 {
		first = testenv.Seed(t) >> 32
	}
	for _, tr := range trials() {
		if tr.userOnly() {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			cpu := possibleCPUs() - 1
			onCPU(t, cpu)
			for i := range *sequences {
				s := first + uint64(i)
				if diff := tr.program(t, s, cpu); diff != "" {
					t.Fatalf("seed %d (-seed %[1]d -sequences 1):\n%s", s, diff)
				}
			}
		})
	}
}

// userOnly reports whether programs have no lookup, update or deletion for the
// type, or none but through its objects.
func (tr *trial) userOnly() bool {
	switch tr.specs[0].Type {
	case ebpf.ProgramArray, ebpf.PerfEventArray, ebpf.RingBuf, ebpf.UserRingbuf, ebpf.StackTrace, ebpf.CGroupArray,
		ebpf.CGroupStorage, ebpf.PerCPUCGroupStorage, ebpf.BloomFilter:
		return true
	}
	return tr.objects != nil
}

// program is one sequence; it gives what was done where the maps differ.
func (tr *trial) program(t *testing.T, seed uint64, cpu int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	spec := tr.specs[r.IntN(len(tr.specs))]
	for max(spec.KeySize, spec.ValueSize) > 64 {
		spec = tr.specs[r.IntN(len(tr.specs))]
	}
	o, err := newOracle(&spec, -1)
	must(t, err)
	defer o.Close()
	ours, err := New(&spec, possibleCPUs())
	must(t, err)
	defer ours.Close()
	a := newActor(t, &spec, o.fd)
	defer a.Close()
	s := &sequence{trial: tr, r: r, kernel: o, ours: ours, noPadding: true}
	s.open(t, &spec)
	fmt.Fprintf(&s.log, "%v\n", &spec)
	if s.program(t, a, cpu) {
		return s.log.String()
	}
	return ""
}

// program does the steps, and reports whether the maps differ.
func (s *sequence) program(t *testing.T, a *actor, cpu int) bool {
	info := s.ours.Info()
	for range 40 {
		key := s.keys[s.r.IntN(len(s.keys))]
		if s.r.IntN(4) == 0 && s.step() {
			return true
		}
		op, flags := s.r.IntN(opTotal), uint64(0)
		if s.r.IntN(3) == 0 {
			flags = []uint64{1, 2, 3, 4, 5, 6, 8, 1 << 32}[s.r.IntN(8)]
		}
		value := randomBytes(s.r, int(info.ValueSize))
		want, wantOut, err := a.do(op, flags, key, value)
		must(t, err)
		got, gotOut := ourDo(s.ours, cpu, op, flags, key, value)
		for _, f := range info.Fields { // which programs cannot read either
			clear(gotOut[f.Offset:][:f.Size])
		}
		fmt.Fprintf(&s.log, "program: op %d key %x flags %d: kernel %d %x, ours %d %x\n", op, key, flags, want, wantOut, got, gotOut)
		if want != got || !bytes.Equal(wantOut, gotOut) {
			return true
		}
	}
	diff := cmp.Diff(s.all(s.kernel), s.all(s.ours))
	if diff != "" {
		fmt.Fprintf(&s.log, "contents (-kernel +ours):\n%s", diff)
	}
	return diff != ""
}
