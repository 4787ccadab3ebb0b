package verifier

import (
	"encoding/binary"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/maps"
)

// insnArray is BPF_MAP_TYPE_INSN_ARRAY, whose values are addresses of instructions.
const insnArray ebpf.MapType = 34

func (m *Map) isInsnArray() bool { return m.Type == insnArray }

// valueSize is how many bytes a pointer to a map's value leads to. All entries of an
// instruction array can be reached from the first.
func (m *Map) valueSize() int64 {
	if m.isInsnArray() {
		return int64(m.MaxEntries) * 8
	}
	return int64(m.ValueSize)
}

// accessMapKey checks an access to a map's key, which a callback was given.
func (c *checker) accessMapKey(a *memAccess) error {
	if a.write {
		return c.failReg(CauseReadOnly, int(a.n), "write to change key R%d not allowed", a.n)
	}
	if err := c.region(a.reg, a.n, a.off, a.size, int64(a.reg.Map.KeySize), false); err != nil {
		return err
	}
	c.loaded(a)
	return nil
}

// accessMapValue checks an access to a map's value.
func (c *checker) accessMapValue(a *memAccess) error {
	if err := c.leaksInto(a, "map"); err != nil {
		return err
	}
	r := a.reg
	if err := c.mapAllows(r, a.off, a.size, a.write); err != nil {
		return err
	}
	if err := c.valueRange(r, a.n, a.off, a.size, false, true); err != nil {
		return err
	}
	if r.fixed() {
		if f := kptrAt(r.Map.Fields, r.minOffset()+int64(a.off)); f != nil {
			return c.accessKptr(a, f)
		}
	}
	if a.write || a.value < 0 {
		return nil
	}
	switch {
	case r.Map.isInsnArray():
		return c.loadInsn(a)
	case r.fixed() && r.Map.constant():
		return c.loadConstant(a)
	}
	c.loaded(a)
	return nil
}

// mapAllows refuses what the map's flags keep from programs.
func (c *checker) mapAllows(r *Reg, off, size int, write bool) error {
	word, flag := "read from", uint32(maps.FlagWronlyProg)
	if write {
		word, flag = "write into", maps.FlagRdonlyProg
	}
	if r.Map.Flags&flag == 0 {
		return nil
	}
	return c.fail(CauseReadOnly, "%s map forbidden, value_size=%d off=%d size=%d", word, r.Map.ValueSize, r.minOffset()+int64(off), size)
}

const kptrFields = maps.FieldKptrUntrusted | maps.FieldKptr | maps.FieldKptrPercpu | maps.FieldUptr

// valueRange checks that bytes lie in a map's value and, where they touch special
// fields, that those may be accessed so (check_map_access). direct says that it is a
// load or store, not a call.
func (c *checker) valueRange(r *Reg, n uint8, off, size int, zeroOK, direct bool) error {
	if err := c.region(r, n, off, size, r.Map.valueSize(), zeroOK); err != nil {
		return err
	}
	if len(r.Map.Fields) == 0 {
		return nil
	}
	begin, end := r.minOffset()+int64(off), int64(r.UMax)+int64(r.Off)+int64(off)+int64(size)
	for i := range r.Map.Fields {
		f := &r.Map.Fields[i]
		if begin >= int64(f.Offset)+int64(f.Size) || int64(f.Offset) >= end {
			continue
		}
		name := fieldName(f.Kind)
		switch {
		case f.Kind&kptrFields == 0:
			return c.failReg(CauseMap, int(n), "%s cannot be accessed directly by load/store", name)
		case !direct:
			return c.failReg(CauseMap, int(n), "%s cannot be accessed indirectly by helper", name)
		case !r.fixed():
			return c.failReg(CauseMap, int(n), "%s access cannot have variable offset", name)
		case begin != int64(f.Offset):
			return c.failReg(CauseMap, int(n), "%s access misaligned expected=%d off=%d", name, f.Offset, begin)
		case size != 8:
			return c.failReg(CauseMap, int(n), "%s access size must be BPF_DW", name)
		}
	}
	return nil
}

// fieldNames are special fields as Linux's log calls them (btf_field_type_name).
var fieldNames = map[maps.FieldKind]string{
	maps.FieldSpinLock: "bpf_spin_lock", maps.FieldResSpinLock: "bpf_res_spin_lock", maps.FieldTimer: "bpf_timer",
	maps.FieldWorkqueue: "bpf_wq", maps.FieldKptrUntrusted: "kptr", maps.FieldKptr: "kptr", maps.FieldKptrPercpu: "percpu_kptr",
	maps.FieldUptr: "uptr", maps.FieldListHead: "bpf_list_head", maps.FieldListNode: "bpf_list_node",
	maps.FieldRBRoot: "bpf_rb_root", maps.FieldRBNode: "bpf_rb_node", maps.FieldRefcount: "bpf_refcount",
	maps.FieldTaskWork: "bpf_task_work",
}

func fieldName(kind maps.FieldKind) string { return fieldNames[kind] }

// kptrAt gives the field at an offset that holds a pointer, or nil.
func kptrAt(fields maps.Fields, off int64) *maps.Field {
	for i := range fields {
		if f := &fields[i]; f.Kind&kptrFields != 0 && int64(f.Offset) == off {
			return f
		}
	}
	return nil
}

// accessKptr checks a load or store of a field that holds a pointer
// (check_map_kptr_access).
func (c *checker) accessKptr(a *memAccess, f *maps.Field) error {
	ins := &c.insns[c.insn]
	class := ins.Op & 7
	owned := f.Kind&(maps.FieldKptr|maps.FieldKptrPercpu) != 0
	switch {
	case ins.Op&0xe0 != isa.ModeMEM:
		return c.failReg(CauseMap, int(a.n), "kptr in map can only be accessed using BPF_MEM instruction mode")
	case class != isa.ClassLDX && owned:
		return c.failReg(CauseMap, int(a.n), "store to referenced kptr disallowed")
	case class != isa.ClassLDX && f.Kind == maps.FieldUptr:
		return c.failReg(CauseMap, int(a.n), "store to uptr disallowed")
	}
	switch class {
	case isa.ClassLDX:
		return c.loadKptr(uint8(a.value), f)
	case isa.ClassSTX:
		if c.reg(uint8(a.value)).isZero() {
			return c.precise(uint8(a.value))
		}
		return c.storesKptr(f, uint8(a.value))
	case isa.ClassST:
		if ins.Imm != 0 {
			return c.fail(CauseMap, "BPF_ST imm must be 0 when storing to kptr at off=%d", f.Offset)
		}
		return nil
	}
	return c.failReg(CauseMap, int(a.n), "kptr in map can only be accessed using BPF_LDX/BPF_STX/BPF_ST")
}

// loadKptr sets the register that a kptr is loaded to.
func (c *checker) loadKptr(n uint8, f *maps.Field) error {
	typ := c.kptrTarget(f)
	if typ == nil {
		return c.fail(CauseUnsupported, "what the %s at offset %d points to is unknown", fieldName(f.Kind), f.Offset)
	}
	r := c.reg(n)
	if f.Kind == maps.FieldUptr {
		size, _ := sizeOf(typ.Type)
		r.setPointer(PtrToMem, MaybeNull)
		r.Size, r.ID = size, c.newID()
		return nil
	}
	c.setBTF(r, typ, c.kptrFlags(f, typ))
	return nil
}

// kptrFlags is what is known of a kptr that was loaded (btf_ld_kptr_type).
func (c *checker) kptrFlags(f *maps.Field, typ *Type) RegFlags {
	flags := MaybeNull
	if !(f.Kind == maps.FieldKptrPercpu || f.Kind == maps.FieldKptr && c.rcuProtected(typ)) || !c.inRCU() {
		return flags | Untrusted
	}
	flags |= RCU
	switch {
	case f.Kind == maps.FieldKptrPercpu:
		flags |= PerCPU
	case !typ.Kernel:
		flags |= Alloc
	}
	if typ.Fields.Has(maps.FieldListNode | maps.FieldRBNode) {
		flags |= NonOwning
	}
	return flags
}

// rcuTypes are the kernel's structs that live on until an RCU grace period has passed
// (rcu_protected_types).
var rcuTypes = map[string]bool{
	"prog_test_ref_kfunc": true, "cgroup": true, "bpf_cpumask": true, "task_struct": true, "bpf_crypto_ctx": true,
}

func (c *checker) rcuProtected(t *Type) bool { return !t.Kernel || rcuTypes[t.Name] }

// storesKptr checks that a register may be stored to a kptr (map_kptr_match_type).
func (c *checker) storesKptr(f *maps.Field, n uint8) error {
	r, want := c.reg(n), c.kptrTarget(f)
	if want == nil {
		return c.fail(CauseUnsupported, "what the %s at offset %d points to is unknown", fieldName(f.Kind), f.Offset)
	}
	if r.Type != PtrToBTF {
		return c.wrongKptr(f, n, want)
	}
	allowed := MaybeNull | Alloc
	switch {
	case r.BTF.Kernel:
		allowed = MaybeNull | Trusted | RCU
		if f.Kind == maps.FieldKptrUntrusted {
			allowed |= Untrusted
		}
	case f.Kind == maps.FieldKptrPercpu:
		allowed |= PerCPU
	}
	percpu := c.since(7, 0) && (f.Kind == maps.FieldKptrPercpu) != (r.Flags&PerCPU != 0)
	if r.Flags&^allowed != 0 || percpu {
		return c.wrongKptr(f, n, want)
	}
	if err := c.unmodified(r, n, true); err != nil {
		return err
	}
	if !c.structMatches(r.BTF, int(r.minOffset()), want, f.Kind != maps.FieldKptrUntrusted, r.Flags&Alloc == 0) {
		return c.wrongKptr(f, n, want)
	}
	return nil
}

func (c *checker) wrongKptr(f *maps.Field, n uint8, want *Type) error {
	r := c.reg(n)
	have := ""
	if r.Type == PtrToBTF {
		have = r.BTF.Name
	}
	or := ""
	if f.Kind == maps.FieldKptrUntrusted {
		or = " or " + typeName(PtrToBTF, Untrusted) + want.Name
	}
	return c.failReg(CauseMap, int(n), "invalid kptr access, R%d type=%s%s expected=%s%s%s", n, r.typeName(), have,
		typeName(PtrToBTF, 0), want.Name, or)
}

// constant reports whether nobody can change the map's values any more.
func (m *Map) constant() bool { return m.Frozen != nil && m.Flags&maps.FlagRdonlyProg != 0 }

// loadConstant sets the register that a constant of a frozen map is loaded to.
func (c *checker) loadConstant(a *memAccess) error {
	var b [8]byte
	copy(b[:a.size], a.reg.Map.Frozen[a.reg.minOffset()+int64(a.off):])
	v := binary.LittleEndian.Uint64(b[:])
	if a.signed {
		shift := 64 - 8*a.size
		v = uint64(int64(v<<shift) >> shift)
	}
	c.reg(uint8(a.value)).setConst(v)
	return nil
}

// loadInsn sets the register that an address of an instruction is loaded to.
func (c *checker) loadInsn(a *memAccess) error {
	if a.size != 8 {
		return c.failReg(CauseMap, int(a.n), "Invalid read of %d bytes from insn_array", a.size)
	}
	r := *a.reg
	r.Type = PtrToInsn
	r.Off += int32(a.off)
	*c.reg(uint8(a.value)) = r
	return nil
}
