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

	"github.com/skep-ebpf/skep/internal/edgegen"
	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
)

// TestKfuncsAgainstKernel holds the verdict on random programs that call kernel
// functions, in sections, loops over iterators and with objects on the stack, against
// the running kernel's.
func TestKfuncsAgainstKernel(t *testing.T) {
	testenv.Kernel(t)
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skip(err)
	}
	seed := testenv.Seed(t)
	k := &kfuncJudge{
		types: types, ids: map[string]int32{},
		opts: &verifier.Options{Kernel: runningKernel(t), KernelTypes: types, Budget: 20_000},
	}
	count := map[string]int{}
	for i := range edgePrograms(t) / 3 {
		k.typ, k.flags = ebpf.SchedCLS, 0
		if i%3 == 0 {
			k.typ, k.flags = ebpf.Syscall, 1<<4 // BPF_F_SLEEPABLE
		}
		w := &kfuncWriter{Rand: rand.New(rand.NewPCG(seed, uint64(i))), judge: k}
		p := w.write()
		o, _, _ := k.judge(t, p, false)
		count[o]++
		if o == "same: accepted" || o == "same: refused" || o == "unknown" {
			continue
		}
		small := minimise(p, func(p *edgegen.Program) bool { now, _, _ := k.judge(t, p, false); return now == o })
		_, ours, kernel := k.judge(t, small, true)
		t.Errorf("program %d of seed %d: %s\nskep: %v\nkernel: %v\n%s", i, seed, o, ours, lastWords(kernel), k.listing(small))
		if count[o] > 10 {
			t.FailNow()
		}
	}
	t.Log(count)
}

// kfuncJudge asks skep and the running kernel.
type kfuncJudge struct {
	types *btf.Spec
	ids   map[string]int32 // of functions, by their names; 0: the kernel has it not
	opts  *verifier.Options
	typ   ebpf.ProgramType
	flags uint32
}

// id is the number of a kernel function, 0 where there is none.
func (k *kfuncJudge) id(name string) int32 {
	id, ok := k.ids[name]
	if ok {
		return id
	}
	var fn *btf.Func
	if k.types.TypeByName(name, &fn) == nil {
		n, err := k.types.TypeID(fn)
		if err == nil {
			id = int32(n)
		}
	}
	k.ids[name] = id
	return id
}

func (k *kfuncJudge) image(p *edgegen.Program) *program.Image {
	img := image(p)
	img.Type, img.Flags, img.Kfuncs = k.typ, k.flags, map[int]*btf.Func{}
	for i, ins := range p.Insns {
		if !ins.IsCall(isa.CallKfunc) {
			continue
		}
		if t, err := k.types.TypeByID(btf.TypeID(ins.Imm)); err == nil {
			img.Kfuncs[i], _ = t.(*btf.Func)
		}
	}
	return img
}

func (k *kfuncJudge) judge(t *testing.T, p *edgegen.Program, withLog bool) (outcome string, ours, kernel error) {
	t.Helper()
	_, ours = verifier.CheckImage(k.image(p), specs(p), k.opts)
	var refusal *verifier.Error
	if ours != nil && !errors.As(ours, &refusal) {
		return "failed: " + ours.Error(), ours, nil
	}
	if refusal != nil && (refusal.Cause == verifier.CauseUnsupported || refusal.Cause == verifier.CauseTooComplex) {
		return "unknown", ours, nil
	}
	var maps []*kernelrun.Map
	for _, spec := range p.Maps {
		m, err := kernelrun.NewMap(spec)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		maps = append(maps, m)
	}
	prog, kernel := kernelrun.LoadFor(k.typ, kernelrun.Target{Flags: k.flags}, p.Insns, maps, withLog)
	if kernel == nil {
		if err := prog.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var rejected *kernelrun.Rejected
	switch {
	case kernel != nil && !errors.As(kernel, &rejected):
		t.Fatal(kernel)
	case (kernel == nil) != (refusal == nil):
		if kernel == nil {
			return "falsely refused", ours, kernel
		}
		return "falsely accepted", ours, kernel
	case kernel == nil:
		return "same: accepted", nil, nil
	}
	return "same: refused", ours, kernel
}

// listing is the program with the names of what it calls.
func (k *kfuncJudge) listing(p *edgegen.Program) string {
	img := k.image(p)
	var b strings.Builder
	for i, ins := range p.Insns {
		switch {
		case ins == isa.Instruction{Op: isa.ClassJMP | isa.JmpJA}:
		case img.Kfuncs[i] != nil:
			fmt.Fprintf(&b, "%d: call %s\n", i, img.Kfuncs[i].Name)
		default:
			fmt.Fprintf(&b, "%d: %s\n", i, ins.Text(0))
		}
	}
	return b.String()
}

// kfuncWriter writes a program out of pieces that often, but not always, fit together.
type kfuncWriter struct {
	*rand.Rand
	judge *kfuncJudge
	insns []isa.Instruction
	open  []func() // what ends what was begun, the latest last
	made  []int    // where dynptrs were made
	depth int
}

var kfuncMaps = []*ebpf.MapSpec{
	{Name: "ringbuf", Type: ebpf.RingBuf, MaxEntries: 4096},
	{Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: 64, MaxEntries: 1},
}

func (w *kfuncWriter) emit(op uint8, dst, src int, off int16, imm int32) {
	w.insns = append(w.insns, isa.Instruction{Op: op, Dst: uint8(dst), Src: uint8(src), Off: off, Imm: imm})
}

func (w *kfuncWriter) set(dst int, n int32) { w.emit(isa.ClassALU64|isa.AluMOV, dst, 0, 0, n) }
func (w *kfuncWriter) move(dst, src int)    { w.emit(isa.ClassALU64|isa.AluMOV|isa.SrcX, dst, src, 0, 0) }
func (w *kfuncWriter) helper(id int32)      { w.emit(isa.ClassJMP|isa.JmpCALL, 0, 0, 0, id) }

func (w *kfuncWriter) address(dst, off int) {
	w.move(dst, isa.R10)
	w.emit(isa.ClassALU64|isa.AluADD, dst, 0, 0, int32(off))
}

func (w *kfuncWriter) mapFD(dst, m int) {
	w.emit(isa.OpLDDW, dst, isa.PseudoMapFD, 0, int32(m))
	w.emit(0, 0, 0, 0, 0)
}

func (w *kfuncWriter) kfunc(name string) {
	if id := w.judge.id(name); id != 0 {
		w.emit(isa.ClassJMP|isa.JmpCALL, 0, isa.CallKfunc, 0, id)
	}
}

// often is true but for one time in thirty.
func (w *kfuncWriter) often() bool { return w.IntN(30) > 0 }

// slot is where an object of some bytes lies on the stack.
func (w *kfuncWriter) slot(size int) int {
	off := -8 * (1 + w.IntN(12))
	if w.often() {
		off = -16 * (1 + w.IntN(6))
	}
	if off+size > 0 && w.often() {
		return -size
	}
	return off
}

// kept is a register that calls spare.
func (w *kfuncWriter) kept() int { return isa.R7 + w.IntN(3) }

// ends notes what ends something, which mostly happens, and mostly in order.
func (w *kfuncWriter) ends(end func()) {
	if w.often() {
		w.open = append(w.open, end)
	}
}

// unlessNull goes on behind a piece where R0 is NULL.
func (w *kfuncWriter) unlessNull(piece func()) {
	at := len(w.insns)
	check := w.often()
	if check {
		w.emit(isa.ClassJMP|isa.JmpJEQ, isa.R0, 0, 0, 0)
	}
	piece()
	if check {
		w.insns[at].Off = int16(len(w.insns) - at - 1)
	}
}

// maybe lets a piece happen on one path, and not on the other.
func (w *kfuncWriter) maybe(piece func()) {
	w.helper(7) // bpf_get_prandom_u32
	at := len(w.insns)
	w.emit(isa.ClassJMP|isa.JmpJGT, isa.R0, 0, 0, 5)
	piece()
	w.insns[at].Off = int16(len(w.insns) - at - 1)
}

func (w *kfuncWriter) write() *edgegen.Program {
	w.move(isa.R6, isa.R1)
	for i := range 3 {
		w.set(isa.R7+i, 0)
	}
	for off := -32; off < 0; off += 8 {
		w.emit(isa.ClassST|isa.ModeMEM|isa.SizeDW, isa.R10, 0, int16(off), 0)
	}
	w.pieces(2 + w.IntN(6))
	w.closeAll(0)
	w.set(isa.R0, 0)
	w.emit(isa.ClassJMP|isa.JmpEXIT, 0, 0, 0, 0)
	return &edgegen.Program{Insns: w.insns, Maps: kfuncMaps}
}

// closeAll ends what was begun since there were n things open.
func (w *kfuncWriter) closeAll(n int) {
	ends := slices.Clone(w.open[n:])
	w.open = w.open[:n]
	if w.IntN(8) == 0 {
		w.Shuffle(len(ends), func(i, j int) { ends[i], ends[j] = ends[j], ends[i] })
	}
	for _, end := range slices.Backward(ends) {
		end()
	}
}

func (w *kfuncWriter) pieces(n int) {
	w.depth++
	for range n {
		pieces := []func(*kfuncWriter){
			(*kfuncWriter).section, (*kfuncWriter).section, (*kfuncWriter).irq, (*kfuncWriter).task, (*kfuncWriter).ofType,
			(*kfuncWriter).recordDynptr, (*kfuncWriter).memoryDynptr, (*kfuncWriter).useDynptr,
			(*kfuncWriter).useDynptr, (*kfuncWriter).useDynptr, (*kfuncWriter).useKept, (*kfuncWriter).storeSlot, (*kfuncWriter).loadSlot, (*kfuncWriter).cgroup,
		}
		if w.depth < 3 {
			pieces = append(pieces, (*kfuncWriter).numbers, (*kfuncWriter).numbers, (*kfuncWriter).tasks, (*kfuncWriter).branch)
		}
		pieces[w.IntN(len(pieces))](w)
	}
	w.depth--
}

// section begins an RCU or preemption section.
func (w *kfuncWriter) section() {
	pairs := [][2]string{{"bpf_rcu_read_lock", "bpf_rcu_read_unlock"}, {"bpf_preempt_disable", "bpf_preempt_enable"}}
	pair := pairs[w.IntN(2)]
	w.kfunc(pair[0])
	w.ends(func() { w.kfunc(pair[1]) })
}

func (w *kfuncWriter) irq() {
	off := w.slot(8)
	w.address(isa.R1, off)
	w.kfunc("bpf_local_irq_save")
	w.ends(func() { w.address(isa.R1, off); w.kfunc("bpf_local_irq_restore") })
}

// take keeps what a call gave, and gives it back by another call.
func (w *kfuncWriter) take(back string) {
	kept := w.kept()
	w.move(kept, isa.R0)
	w.unlessNull(func() {
		if w.IntN(2) == 0 {
			w.pieces(w.IntN(2))
		}
		w.move(isa.R1, kept)
		if w.often() {
			w.kfunc(back)
		}
	})
}

func (w *kfuncWriter) task() {
	w.set(isa.R1, 1)
	w.kfunc("bpf_task_from_pid")
	w.take("bpf_task_release")
}

func (w *kfuncWriter) cgroup() {
	w.set(isa.R1, 1)
	w.kfunc("bpf_cgroup_from_id")
	w.take("bpf_cgroup_release")
}

// ofType is a piece that programs of some types may have only.
func (w *kfuncWriter) ofType() {
	if (w.judge.typ == ebpf.Syscall) == w.often() {
		w.mask()
	} else {
		w.skbDynptr()
	}
}

func (w *kfuncWriter) mask() {
	w.kfunc("bpf_cpumask_create")
	kept := w.kept()
	w.move(kept, isa.R0)
	w.unlessNull(func() {
		for range w.IntN(3) {
			w.set(isa.R1, 0)
			w.move(isa.R2, kept)
			w.kfunc([]string{"bpf_cpumask_set_cpu", "bpf_cpumask_test_cpu"}[w.IntN(2)])
		}
		w.move(isa.R1, kept)
		if w.often() {
			w.kfunc("bpf_cpumask_release")
		}
	})
}

// loop asks an iterator until it has no more.
func (w *kfuncWriter) loop(off int, next string, body func()) {
	head := len(w.insns)
	w.address(isa.R1, off)
	w.kfunc(next)
	out := len(w.insns)
	w.emit(isa.ClassJMP|isa.JmpJEQ, isa.R0, 0, 0, 0)
	n := len(w.open)
	body()
	w.closeAll(n)
	w.emit(isa.ClassJMP|isa.JmpJA, 0, 0, int16(head-len(w.insns)-1), 0)
	w.insns[out].Off = int16(len(w.insns) - out - 1)
}

func (w *kfuncWriter) numbers() {
	off := w.slot(8)
	w.address(isa.R1, off)
	w.set(isa.R2, 0)
	w.set(isa.R3, 10)
	w.kfunc("bpf_iter_num_new")
	w.loop(off, "bpf_iter_num_next", func() {
		w.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeW, w.kept(), isa.R0, 0, 0)
		w.pieces(w.IntN(3))
	})
	w.address(isa.R1, off)
	if w.often() {
		w.kfunc("bpf_iter_num_destroy")
	}
}

func (w *kfuncWriter) tasks() {
	off := w.slot(24)
	if w.often() {
		w.kfunc("bpf_rcu_read_lock")
		w.ends(func() { w.kfunc("bpf_rcu_read_unlock") })
	}
	w.address(isa.R1, off)
	w.set(isa.R2, 0)
	w.set(isa.R3, 0)
	w.kfunc("bpf_iter_task_new")
	w.loop(off, "bpf_iter_task_next", func() {
		w.move(isa.R1, isa.R0)
		if w.IntN(2) == 0 {
			w.kfunc("bpf_task_acquire")
			w.take("bpf_task_release")
		}
	})
	w.address(isa.R1, off)
	if w.often() {
		w.kfunc("bpf_iter_task_destroy")
	}
}

func (w *kfuncWriter) branch() {
	w.maybe(func() { n := len(w.open); w.pieces(1 + w.IntN(2)); w.closeAll(n) })
}

func (w *kfuncWriter) skbDynptr() {
	off := w.slot(16)
	w.move(isa.R1, isa.R6)
	w.set(isa.R2, 0)
	w.address(isa.R3, off)
	w.kfunc("bpf_dynptr_from_skb")
	w.useDynptrAt(off)
}

func (w *kfuncWriter) recordDynptr() {
	off := w.slot(16)
	w.mapFD(isa.R1, 0)
	w.set(isa.R2, 16)
	w.set(isa.R3, 0)
	w.address(isa.R4, off)
	w.helper(198) // bpf_ringbuf_reserve_dynptr
	w.useDynptrAt(off)
	w.ends(func() {
		w.address(isa.R1, off)
		w.set(isa.R2, 0)
		w.helper(199 + int32(w.IntN(2))) // submit, discard
	})
}

func (w *kfuncWriter) memoryDynptr() {
	w.emit(isa.ClassST|isa.ModeMEM|isa.SizeW, isa.R10, 0, -4, 0)
	w.address(isa.R2, -4)
	w.mapFD(isa.R1, 1)
	w.helper(1) // bpf_map_lookup_elem
	w.unlessNull(func() {
		off := w.slot(16)
		w.move(isa.R1, isa.R0)
		w.set(isa.R2, 32)
		w.set(isa.R3, 0)
		w.address(isa.R4, off)
		w.helper(197) // bpf_dynptr_from_mem
		w.useDynptrAt(off)
	})
}

// useDynptr does something with a dynptr that was made before.
func (w *kfuncWriter) useDynptr() {
	switch {
	case len(w.made) > 0 && w.often():
		w.useDynptrAt(w.made[w.IntN(len(w.made))])
	case w.IntN(10) == 0:
		w.useDynptrAt(w.slot(16))
	}
}

// useDynptrAt does something with the dynptr at an offset, if there is one.
func (w *kfuncWriter) useDynptrAt(off int) {
	if !slices.Contains(w.made, off) {
		w.made = append(w.made, off)
	}
	w.address(isa.R1, off)
	switch w.IntN(9) {
	case 0, 1:
		w.set(isa.R2, 0)
		w.set(isa.R3, 0)
		if w.IntN(2) == 0 {
			w.address(isa.R3, -16)
		}
		w.set(isa.R4, 8)
		w.kfunc([]string{"bpf_dynptr_slice", "bpf_dynptr_slice_rdwr"}[w.IntN(2)])
		w.unlessNull(w.useSlice)
	case 2:
		w.set(isa.R2, 0)
		w.set(isa.R3, 8)
		w.helper(203) // bpf_dynptr_data
		w.unlessNull(w.useSlice)
	case 3:
		w.set(isa.R2, 0)
		w.set(isa.R3, 4)
		w.kfunc("bpf_dynptr_adjust")
	case 4:
		w.kfunc([]string{"bpf_dynptr_is_null", "bpf_dynptr_is_rdonly", "bpf_dynptr_size"}[w.IntN(3)])
	case 5:
		w.address(isa.R2, w.slot(16))
		w.kfunc("bpf_dynptr_clone")
	case 6:
		w.move(isa.R3, isa.R1)
		w.address(isa.R1, w.slot(8))
		w.set(isa.R2, 8)
		w.set(isa.R4, 0)
		w.set(isa.R5, 0)
		w.helper(201) // bpf_dynptr_read
	case 7:
		w.set(isa.R2, 0)
		w.address(isa.R3, -16)
		w.set(isa.R4, 8)
		w.set(isa.R5, 0)
		w.helper(202) // bpf_dynptr_write
	}
}

// useSlice loads or stores where R0 points to, now or later.
func (w *kfuncWriter) useSlice() {
	if w.IntN(3) == 0 {
		w.move(w.kept(), isa.R0)
		return
	}
	w.access(isa.R0)
}

func (w *kfuncWriter) access(reg int) {
	if w.IntN(2) == 0 {
		w.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeW, isa.R1, reg, int16(4*w.IntN(3)), 0)
		return
	}
	w.emit(isa.ClassST|isa.ModeMEM|isa.SizeW, reg, 0, int16(4*w.IntN(3)), 1)
}

func (w *kfuncWriter) useKept() {
	reg := w.kept()
	if w.often() {
		at := len(w.insns)
		w.emit(isa.ClassJMP|isa.JmpJEQ, reg, 0, 1, 0)
		w.access(reg)
		w.insns[at].Off = int16(len(w.insns) - at - 1)
		return
	}
	w.access(reg)
}

func (w *kfuncWriter) storeSlot() {
	off := int16(w.slot(8))
	if w.IntN(2) == 0 {
		w.emit(isa.ClassSTX|isa.ModeMEM|isa.SizeDW, isa.R10, w.kept(), off, 0)
		return
	}
	w.emit(isa.ClassST|isa.ModeMEM|isa.SizeW, isa.R10, 0, off+4*int16(w.IntN(2)), 7)
}

func (w *kfuncWriter) loadSlot() {
	w.emit(isa.ClassLDX|isa.ModeMEM|isa.SizeDW, w.kept(), isa.R10, int16(w.slot(8)), 0)
}
