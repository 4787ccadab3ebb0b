package verifier

import (
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// setBTF makes a register a pointer to an object of a type.
func (c *checker) setBTF(r *Reg, typ *Type, flags RegFlags) {
	r.setPointer(PtrToBTF, flags)
	r.BTF = typ
	if flags&MaybeNull != 0 {
		r.ID = c.newID()
	}
}

// accessBTF checks an access to an object that BTF describes
// (check_ptr_to_btf_access).
func (c *checker) accessBTF(a *memAccess) error {
	r := a.reg
	if r.maybeNull() {
		return c.invalidAccess(a)
	}
	off, err := c.objectOffset(a)
	if err != nil {
		return err
	}
	if a.write {
		return c.writeObject(a, off)
	}
	found, err := c.walkObject(r, off, a.size)
	if err != nil {
		return err
	}
	if a.value >= 0 {
		c.setFound(c.reg(uint8(a.value)), &found, c.pointerTrust(r, &found))
	}
	return nil
}

// setFound makes a register what was loaded through a pointer; flags are a pointer's.
func (c *checker) setFound(dst *Reg, found *walkResult, flags RegFlags) {
	switch found.kind {
	case walkScalar:
		dst.setUnknown()
	case walkUntrusted:
		c.setUntyped(dst)
	default:
		c.setBTF(dst, found.typ, flags)
	}
}

// setUntyped makes a register what a pointer in the kernel's memory is that leads to
// no struct: its target may be read, in case it is there.
func (c *checker) setUntyped(r *Reg) {
	if c.since(6, 17) {
		r.setPointer(PtrToMem, Readonly|Untrusted)
	} else {
		r.setUnknown()
	}
}

// objectOffset is the offset of an access in an object, of which the program may see
// something there.
func (c *checker) objectOffset(a *memAccess) (int, error) {
	r, name := a.reg, a.reg.BTF.Name
	refuse := func(cause Cause, format string, args ...any) (int, error) {
		return 0, c.failReg(cause, int(a.n), format, args...)
	}
	off := int(r.minOffset()) + a.off
	switch {
	case !c.leaks:
		return refuse(CausePrivilege, "'struct %s' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", name)
	case r.BTF.Kernel && c.img.Proprietary():
		return refuse(CauseLicense, "Cannot access kernel 'struct %s' from non-GPL compatible program", name)
	case !r.fixed():
		return refuse(CauseUnboundedOffset, "R%d is ptr_%s invalid variable offset: off=%d, var_off=%s", a.n, name, a.off, r.offsetBits())
	case off < 0:
		return refuse(CauseBounds, "R%d is ptr_%s invalid negative access: off=%d", a.n, name, off)
	case r.Flags&UserMem != 0:
		return refuse(CauseBTF, "R%d is ptr_%s access user memory: off=%d", a.n, name, off)
	case r.Flags&PerCPU != 0:
		return refuse(CauseBTF, "R%d is ptr_%s access percpu memory: off=%d", a.n, name, off)
	}
	return off, nil
}

// walkObject finds what lies at an offset in an object (btf_struct_access).
func (c *checker) walkObject(r *Reg, off, size int) (walkResult, error) {
	own := r.Flags&Alloc != 0
	if own {
		for i := range r.BTF.Fields {
			f := &r.BTF.Fields[i]
			if off < int(f.Offset+f.Size) && int(f.Offset) < off+size {
				return walkResult{}, c.fail(CauseGraph, "direct access to %s is disallowed", fieldName(f.Kind))
			}
		}
	}
	found := walkResult{kind: walkStruct, typ: r.BTF}
	for found.kind == walkStruct {
		found = c.walkStruct(found.typ, off, size, found.flags, !own)
		off = 0
	}
	switch {
	case found.kind == walkRefused:
		return found, c.fail(CauseBTF, "%s", found.refusal)
	case found.kind == walkPointer && own:
		found.kind = walkScalar
	}
	return found, nil
}

// pointerTrust is how far a pointer can be trusted that was found in an object.
func (c *checker) pointerTrust(r *Reg, found *walkResult) RegFlags {
	flags := found.flags
	switch {
	case !c.since(6, 2):
		return flags&(UserMem|PerCPU) | r.Flags&Untrusted
	case r.Flags&Untrusted != 0:
		return Untrusted
	case !c.isTrusted(r) && r.Flags&RCU == 0:
		return flags &^ (Alloc | Trusted | NonOwning | RCU)
	case c.isSafe(r.BTF, "__safe_trusted", found):
		return flags | Trusted
	case c.isSafe(r.BTF, "__safe_trusted_or_null", found):
		return flags | Trusted | MaybeNull
	case !c.inRCU():
		return Untrusted
	case c.isSafe(r.BTF, "__safe_rcu", found):
		return flags | RCU
	case c.isSafe(r.BTF, "__safe_rcu_or_null", found):
		return flags&^Untrusted | RCU | MaybeNull
	case flags&RCU != 0:
		return flags | MaybeNull
	case flags&(PerCPU|UserMem) != 0:
		return flags
	}
	return flags &^ (Alloc | Trusted | NonOwning)
}

// isSafe reports whether the kernel's types list a member as one whose pointer stays as
// valid as the object's, by a struct of its name and the suffix
// (btf_nested_type_is_trusted).
func (c *checker) isSafe(t *Type, suffix string, found *walkResult) bool {
	if !t.Kernel {
		return false
	}
	list := c.kernelType(t.Name + suffix)
	if list == nil {
		return false
	}
	ms, _, _ := members(list.Type)
	for _, m := range ms {
		target, ok := pointee(m.Type)
		if ok && m.Name == found.field && c.typeOf(target, true) == found.typ {
			return true
		}
	}
	return false
}

// writeObject checks a store to an object: programs may write to their own, and to a
// few members of the kernel's.
func (c *checker) writeObject(a *memAccess, off int) error {
	r := a.reg
	rules := c.writableMembers()
	switch {
	case r.Flags&Untrusted != 0, r.Flags&Alloc == 0 && rules == nil:
		return c.failReg(CauseReadOnly, int(a.n), "only read is supported")
	case r.Flags&Alloc != 0:
		_, err := c.walkObject(r, off, a.size)
		return err
	}
	known := false
	for i := range rules {
		if w := &rules[i]; w.object == r.BTF.Name {
			if c.allowsWrite(w, off, a.size) {
				return nil
			}
			known = true
		}
	}
	if !known {
		return c.failReg(CauseReadOnly, int(a.n), "only read is supported")
	}
	return c.failReg(CauseReadOnly, int(a.n), "R%d cannot write into ptr_%s at off=%d size=%d", a.n, r.BTF.Name, off, a.size)
}

// writableMembers are the members of the kernel's objects that the program may write
// to; nil: its type may not write to any.
func (c *checker) writableMembers() []writableMember {
	switch c.typ.Prog {
	case ebpf.XDP, ebpf.SchedCLS, ebpf.SchedACT:
		return connectionMembers
	case ebpf.StructOps:
		if c.target != nil && c.target.ops != nil {
			return operationMembers[c.target.ops.Name]
		}
	}
	return nil
}

// writableMember is a member of a kernel object that programs may write to.
type writableMember struct {
	object string
	path   string // "": all of the object
	within bool   // a store may begin anywhere in it
	less   int    // bytes at its end that are not for programs
}

var connectionMembers = []writableMember{{object: "nf_conn", path: "mark"}, {object: "nf_conn___init", path: "mark"}}

// operationMembers are those of programs that are operations of a structure, by its
// name (btf_struct_access of its bpf_verifier_ops).
var operationMembers = map[string][]writableMember{
	"tcp_congestion_ops": {
		{object: "tcp_sock", path: "inet_conn.icsk_inet.sk.sk_pacing_rate"},
		{object: "tcp_sock", path: "inet_conn.icsk_inet.sk.sk_pacing_status"},
		{object: "tcp_sock", path: "inet_conn.icsk_ca_priv", within: true},
		{object: "tcp_sock", path: "inet_conn.icsk_ack.pending"},
		{object: "tcp_sock", path: "snd_cwnd"},
		{object: "tcp_sock", path: "snd_cwnd_cnt"},
		{object: "tcp_sock", path: "snd_cwnd_stamp"},
		{object: "tcp_sock", path: "snd_ssthresh"},
		{object: "tcp_sock", path: "ecn_flags"},
		{object: "tcp_sock", path: "app_limited"},
	},
	"Qdisc_ops": {
		{object: "Qdisc", path: "limit"},
		{object: "Qdisc", path: "q.qlen"},
		{object: "Qdisc", path: "qstats", within: true},
		{object: "sk_buff", path: "tstamp"},
		{object: "sk_buff", path: "cb/qdisc_skb_cb.data", within: true},
	},
	"sched_ext_ops": {
		{object: "task_struct", path: "scx.slice", within: true},
		{object: "task_struct", path: "scx.dsq_vtime", within: true},
		{object: "task_struct", path: "scx.disallow", within: true},
	},
	"hid_bpf_ops": {
		{object: "hid_bpf_ctx", path: "retval", within: true},
		{object: "hid_device", path: "name", within: true, less: 1},
		{object: "hid_device", path: "uniq", within: true, less: 1},
		{object: "hid_device", path: "phys", within: true, less: 1},
	},
	"bpf_dummy_ops": {{object: "bpf_dummy_ops_state", within: true}},
}

// allowsWrite reports whether a store lies in a member.
func (c *checker) allowsWrite(w *writableMember, off, size int) bool {
	object := c.kernelType(w.object)
	if object == nil {
		return false
	}
	path, inside, nested := strings.Cut(w.path, "/")
	begin, end, ok := memberAt(object.Type, path)
	if nested {
		name, member, _ := strings.Cut(inside, ".")
		inner := c.kernelType(name)
		if inner == nil {
			return false
		}
		from, to, found := memberAt(inner.Type, member)
		begin, end, ok = begin+from, begin+to, ok && found
	}
	return ok && off+size <= end-w.less && (off == begin || w.within && off > begin)
}

// memberAt finds where a member lies in a struct: its first byte and that behind it.
// The names of nested members are joined with dots; "" is the struct.
func memberAt(t btf.Type, path string) (begin, end int, ok bool) {
	size, ok := sizeOf(t)
	if !ok || path == "" {
		return 0, int(size), ok
	}
	name, rest, _ := strings.Cut(path, ".")
	ms, _, _ := members(t)
	for i := range ms {
		m := &ms[i]
		inner := rest
		switch m.Name {
		case name:
		case "":
			inner = path
		default:
			continue
		}
		if from, to, ok := memberAt(m.Type, inner); ok {
			at := int(m.Offset / 8)
			return at + from, at + to, true
		}
	}
	return 0, 0, false
}

// mapStructs are what the kernel keeps of maps, as programs may read it.
var mapStructs = map[ebpf.MapType]string{
	ebpf.Hash: "bpf_htab", ebpf.PerCPUHash: "bpf_htab", ebpf.LRUHash: "bpf_htab", ebpf.LRUCPUHash: "bpf_htab",
	ebpf.HashOfMaps: "bpf_htab", ebpf.Array: "bpf_array", ebpf.PerCPUArray: "bpf_array", ebpf.ProgramArray: "bpf_array",
	ebpf.PerfEventArray: "bpf_array", ebpf.CGroupArray: "bpf_array", ebpf.ArrayOfMaps: "bpf_array",
	ebpf.StackTrace: "bpf_stack_map", ebpf.LPMTrie: "lpm_trie", ebpf.DevMap: "bpf_dtab", ebpf.DevMapHash: "bpf_dtab",
	ebpf.SockMap: "bpf_stab", ebpf.SockHash: "bpf_shtab", ebpf.CPUMap: "bpf_cpu_map", ebpf.XSKMap: "xsk_map",
	ebpf.CGroupStorage: "bpf_cgroup_storage_map", ebpf.PerCPUCGroupStorage: "bpf_cgroup_storage_map",
	ebpf.ReusePortSockArray: "reuseport_array", ebpf.Queue: "bpf_queue_stack", ebpf.Stack: "bpf_queue_stack",
	ebpf.SkStorage: "bpf_local_storage_map", ebpf.InodeStorage: "bpf_local_storage_map",
	ebpf.TaskStorage: "bpf_local_storage_map", ebpf.CgroupStorage: "bpf_local_storage_map",
	ebpf.StructOpsMap: "bpf_struct_ops_map", ebpf.RingBuf: "bpf_ringbuf_map", ebpf.UserRingbuf: "bpf_ringbuf_map",
	ebpf.BloomFilter: "bpf_bloom_filter", ebpf.Arena: "bpf_arena", insnArray: "bpf_insn_array",
}

// accessMap checks an access to a map itself, of which the kernel's struct may be read
// (check_ptr_to_map_access).
func (c *checker) accessMap(a *memAccess) error {
	m := a.reg.Map
	name, ok := mapStructs[m.Type]
	if !ok || !c.since(5, 9) {
		return c.failReg(CauseMap, int(a.n), "map_ptr access not supported for map type %d", m.Type)
	}
	off := a.off + int(a.reg.Off)
	switch {
	case !c.leaks:
		return c.failReg(CausePrivilege, int(a.n), "'struct %s' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", name)
	case off < 0:
		return c.failReg(CauseBounds, int(a.n), "R%d is %s invalid negative access: off=%d", a.n, name, off)
	case a.write:
		return c.failReg(CauseReadOnly, int(a.n), "only read from %s is supported", name)
	}
	t := c.kernelType(name)
	if t == nil {
		return c.failReg(CauseUnsupported, int(a.n), "struct %s is not among the kernel's types", name)
	}
	found, err := c.walkObject(&Reg{Type: PtrToBTF, BTF: t}, off, a.size)
	if err != nil || a.value < 0 {
		return err
	}
	c.setFound(c.reg(uint8(a.value)), &found, found.flags)
	return nil
}
