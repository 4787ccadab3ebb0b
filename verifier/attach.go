package verifier

import (
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Attach types that cilium/ebpf has no names for.
const (
	attachUprobeSession  ebpf.AttachType = 57 // BPF_TRACE_UPROBE_SESSION
	attachFSession       ebpf.AttachType = 58 // BPF_TRACE_FSESSION
	attachFEntryMulti    ebpf.AttachType = 59 // BPF_TRACE_FENTRY_MULTI
	attachFExitMulti     ebpf.AttachType = 60 // BPF_TRACE_FEXIT_MULTI
	attachFSessionMulti  ebpf.AttachType = 61 // BPF_TRACE_FSESSION_MULTI
	maxFunctionArguments                 = 12 // MAX_BPF_FUNC_ARGS
)

// progType is the program's type; of a program that takes the place of another's
// function, that one's (resolve_prog_type).
func (c *checker) progType() ebpf.ProgramType {
	if c.img.Type == ebpf.Extension {
		return c.typ.Prog
	}
	return c.img.Type
}

// typeOfProgram describes a program's type. What a program replaces that takes the place
// of another's function is found later.
func typeOfProgram(img *program.Image) (*progtype.Type, error) {
	if img.Type == ebpf.Extension {
		return &progtype.Type{Prog: ebpf.Extension}, nil
	}
	return progtype.ForAttach(img.Type, img.Attach)
}

// sleepableProgram reports whether the program may sleep (BPF_F_SLEEPABLE).
func (c *checker) sleepableProgram() bool { return c.img.Flags&flagSleepable != 0 }

// session reports whether the program runs at a function's entry and exit.
func (c *checker) session() bool { return c.attachedAs(attachFSession, attachFSessionMulti) }

// multi reports whether the program is attached to many functions, which are not known
// when it is loaded.
func (c *checker) multi() bool {
	return c.attachedAs(attachFEntryMulti, attachFExitMulti, attachFSessionMulti)
}

// checkAttach refuses a program that cannot be attached to what it names, and finds
// out what that is (check_attach_btf_id).
func (c *checker) checkAttach() error {
	c.insn = -1
	typ := c.img.Type
	if typ == ebpf.Syscall && !c.sleepableProgram() {
		return c.fail(CauseSleepable, "Syscall programs can only be sleepable")
	}
	if c.sleepableProgram() && typ != ebpf.Syscall && !c.canSleep() {
		if !c.since(6, 3) {
			return c.fail(CauseSleepable, "Only fentry/fexit/fmod_ret, lsm, and kprobe/uprobe programs can be sleepable")
		}
		return c.fail(CauseSleepable, "Program of this type cannot be sleepable")
	}
	if err := c.findTarget(); err != nil {
		return err
	}
	c.describeArguments()
	return c.ownsArguments()
}

// findTarget finds what the program is attached to.
func (c *checker) findTarget() error {
	switch c.img.Type {
	case ebpf.Extension:
		return c.attachExtension()
	case ebpf.StructOps:
		return c.attachOperation()
	case ebpf.LSM:
		return c.attachHook()
	case ebpf.Tracing:
		switch {
		case c.img.Attach == ebpf.AttachTraceRawTp:
			return c.attachTracepoint()
		case c.img.Attach == ebpf.AttachTraceIter:
			return c.attachIterator()
		}
		return c.attachFunction()
	}
	return nil
}

// attachExtension finds out of what type the program is whose function this one takes
// the place of, by the function's context.
func (c *checker) attachExtension() error {
	if c.img.AttachTo == "" {
		return c.fail(CauseAttach, "Tracing programs must provide btf_id")
	}
	var main *btf.Func
	if len(c.img.Funcs) > 0 {
		main = c.img.Funcs[0].Type
	}
	replaced, err := progtype.ForFunction(main)
	if err != nil {
		return c.fail(CauseUnsupported, "%v", err)
	}
	c.typ = replaced
	return nil
}

// canSleep reports whether programs of this type and attach type may sleep
// (can_be_sleepable).
func (c *checker) canSleep() bool {
	if !c.since(6, 3) {
		return c.img.Type == ebpf.Tracing || c.img.Type == ebpf.LSM || c.img.Type == ebpf.Kprobe && c.since(6, 0)
	}
	switch c.img.Type {
	case ebpf.Tracing:
		switch {
		case c.attachedAs(ebpf.AttachTraceFEntry, ebpf.AttachTraceFExit, ebpf.AttachModifyReturn, ebpf.AttachTraceIter):
			return true
		case c.img.Attach == ebpf.AttachTraceRawTp:
			return c.since(7, 0)
		}
		return c.session() || c.multi()
	case ebpf.LSM:
		return c.img.Attach != ebpf.AttachLSMCgroup
	case ebpf.RawTracepoint, ebpf.TracePoint:
		return c.since(7, 0)
	}
	return c.img.Type == ebpf.Kprobe || c.img.Type == ebpf.StructOps
}

// kernelFunction gives the prototype of a function of the kernel, for a program that
// is attached to it.
func (c *checker) kernelFunction(name string) (*btf.FuncProto, error) {
	if c.kernelTypes() == nil {
		return nil, c.fail(CauseUnsupported, "without the kernel's types nothing is known of function %s", name)
	}
	for _, t := range ctype.Named(c.kernelTypes(), name) {
		f, ok := t.(*btf.Func)
		if !ok {
			continue
		}
		if proto, ok := f.Type.(*btf.FuncProto); ok {
			return proto, nil
		}
	}
	return nil, c.fail(CauseUnsupported, "function %s is not in the kernel's types: it may be a module's, or the types another kernel's", name)
}

// attachTracepoint finds the arguments of a tracepoint.
func (c *checker) attachTracepoint() error {
	name := c.img.AttachTo
	if proto, err := c.kernelFunction("__bpf_trace_" + name); err == nil {
		c.target = &target{name: name, proto: proto, hidden: 1}
		return c.tracepointSleeps(name)
	}
	for _, t := range ctype.Named(c.kernelTypes(), "btf_trace_"+name) {
		ptr, ok := btf.UnderlyingType(t).(*btf.Pointer)
		if !ok {
			continue
		}
		if proto, ok := btf.UnderlyingType(ptr.Target).(*btf.FuncProto); ok {
			c.target = &target{name: name, proto: proto, hidden: 1}
			return c.tracepointSleeps(name)
		}
	}
	return c.fail(CauseUnsupported, "tracepoint %s is not in the kernel's types: it may be a module's, or the types another kernel's", name)
}

// tracepointSleeps refuses programs that may sleep, but where the tracepoint is one at
// which page faults may happen: those of system calls.
func (c *checker) tracepointSleeps(name string) error {
	if c.sleepableProgram() && name != "sys_enter" && name != "sys_exit" && c.since(6, 3) {
		return c.fail(CauseSleepable, "Sleepable program cannot attach to non-faultable tracepoint %s", name)
	}
	return nil
}

// attachFunction finds the arguments of a function at which a program runs.
func (c *checker) attachFunction() error {
	if c.multi() {
		c.target = &target{name: c.img.AttachTo}
		return nil
	}
	name := c.img.AttachTo
	if name == "" {
		return c.fail(CauseAttach, "Tracing programs must provide btf_id")
	}
	proto, err := c.kernelFunction(name)
	if err != nil {
		return err
	}
	c.target = &target{name: name, proto: proto}
	if err := c.callable(name, proto); err != nil {
		return err
	}
	switch {
	case c.sleepableProgram() && !c.injectable(name) && !slices.Contains(modifiableFunctions, name):
		return c.fail(CauseSleepable, "%s is not sleepable", name)
	case c.sleepableProgram() && slices.Contains(atomicFunctions, name):
		return c.fail(CauseSleepable, "%s is not sleepable", name)
	case c.img.Attach == ebpf.AttachModifyReturn && !c.sleepableProgram() && !c.modifiable(name):
		return c.fail(CauseAttach, "%s() is not modifiable", name)
	case slices.Contains(deniedFunctions, name):
		return c.fail(CauseAttach, "Attaching tracing programs to function '%s' is rejected.", name)
	case slices.Contains(endlessFunctions, name) &&
		(c.attachedAs(ebpf.AttachTraceFExit, ebpf.AttachModifyReturn) || c.session()):
		return c.fail(CauseAttach, "Attaching fexit/fsession/fmod_ret to __noreturn function '%s' is rejected.", name)
	}
	return nil
}

// injectable reports whether a function is one of those that the kernel lets fail on
// purpose: system calls, and a few others, where it was configured to. Later Linux
// takes system calls in any case.
func (c *checker) injectable(name string) bool {
	_, err := c.kernelFunction("within_error_injection_list")
	configured := err == nil
	if strings.HasPrefix(name, "__x64_sys_") || strings.HasPrefix(name, "__arm64_sys_") {
		return configured || c.since(7, 0)
	}
	return configured && (strings.HasPrefix(name, "__ia32_sys_") || slices.Contains(injectableFunctions, name))
}

// modifiable reports whether a program may give another result in place of a
// function's.
func (c *checker) modifiable(name string) bool {
	return strings.HasPrefix(name, "security_") || c.injectable(name) || slices.Contains(modifiableFunctions, name)
}

// callable refuses functions whose arguments or result a program cannot be given
// (btf_distill_func_proto).
func (c *checker) callable(name string, proto *btf.FuncProto) error {
	if n := len(proto.Params); n > maxFunctionArguments {
		return c.fail(CauseAttach, "The function %s has %d arguments. Too many.", name, n)
	}
	if _, _, ok := members(proto.Return); ok {
		return c.fail(CauseAttach, "The function %s return type %s is unsupported.", name, kindName(btf.UnderlyingType(proto.Return)))
	}
	for i, p := range proto.Params {
		if isVoid(p.Type) {
			if i == len(proto.Params)-1 {
				return c.fail(CauseAttach, "The function %s with variable args is unsupported.", name)
			}
			return c.fail(CauseAttach, "The function %s has malformed void argument.", name)
		}
		size, ok := sizeOf(p.Type)
		_, _, isStruct := members(p.Type)
		if !ok || size > 16 || isStruct && !c.since(6, 1) {
			return c.fail(CauseAttach, "The function %s arg%d type %s is unsupported.", name, i, kindName(btf.UnderlyingType(p.Type)))
		}
	}
	return nil
}

// attachHook finds the arguments of a hook of LSM (bpf_lsm_verify_prog).
func (c *checker) attachHook() error {
	name := lsmPrefix + c.img.AttachTo
	proto, err := c.kernelFunction(name)
	if err != nil {
		return err
	}
	c.target = &target{name: name, proto: proto}
	if err := c.callable(name, proto); err != nil {
		return err
	}
	switch {
	case c.sleepableProgram() && !c.sleepableHook(name):
		return c.fail(CauseSleepable, "%s is not sleepable", name)
	case c.img.Proprietary():
		return c.fail(CauseLicense, "LSM programs must have a GPL compatible license")
	case disabledHook(name) && c.since(6, 12):
		return c.fail(CauseAttach, "points to disabled hook %s", name)
	case hookIn(notHooks, name):
		return c.fail(CauseAttach, "points to wrong type name %s", name)
	}
	return nil
}

// attachIterator finds the arguments of an iterator.
func (c *checker) attachIterator() error {
	name := "bpf_iter_" + c.img.AttachTo
	if _, ok := iteratorArgs[c.img.AttachTo]; !ok {
		return c.fail(CauseAttach, "%s is no iterator", name)
	}
	proto, err := c.kernelFunction(name)
	if err != nil {
		return err
	}
	c.target = &target{name: name, proto: proto}
	return c.callable(name, proto)
}

// sleepableOperations are the operations, of structures that say so, in which programs
// may sleep. Of other structures they may in all.
var sleepableOperations = map[string][]string{
	"bpf_dummy_ops": {"test_sleepable"},
	"sched_ext_ops": {
		"init_task", "cgroup_init", "cgroup_exit", "cgroup_prep_move", "cpu_online", "cpu_offline", "init", "exit",
		"sub_attach", "sub_detach",
	},
	"hid_bpf_ops": {"hid_rdesc_fixup", "hid_hw_request", "hid_hw_output_report"},
}

// supportedOperations are the operations that programs may be, of structures that have
// others too.
var supportedOperations = map[string][]string{
	"Qdisc_ops": {"enqueue", "dequeue", "init", "reset", "destroy"},
	"tcp_congestion_ops": {
		"ssthresh", "cong_avoid", "set_state", "cwnd_event", "cwnd_event_tx_start", "in_ack_event", "pkts_acked",
		"min_tso_segs", "cong_control", "undo_cwnd", "sndbuf_expand", "init", "release",
	},
}

// attachOperation finds the arguments of an operation of a struct_ops structure
// (check_struct_ops_btf_id).
func (c *checker) attachOperation() error {
	if c.img.Proprietary() {
		return c.fail(CauseLicense, "struct ops programs must have a GPL compatible license")
	}
	ops, member, _ := strings.Cut(c.img.AttachTo, ":")
	ops, _, _ = strings.Cut(ops, "___") // a flavour of the structure
	typ := c.kernelType(ops)
	if typ == nil || c.kernelType("bpf_struct_ops_"+ops) == nil {
		return c.fail(CauseUnsupported, "structure %q is not one of the kernel's with operations; it may be a module's", ops)
	}
	st, ok := typ.Type.(*btf.Struct)
	if !ok {
		return c.fail(CauseAttach, "%s is not a supported struct", ops)
	}
	i := slices.IndexFunc(st.Members, func(m btf.Member) bool { return m.Name == member })
	if i < 0 {
		return c.fail(CauseAttach, "attach to invalid member idx %d of struct %s", c.img.Attach, ops)
	}
	to, _ := pointee(st.Members[i].Type)
	proto, ok := btf.UnderlyingType(to).(*btf.FuncProto)
	if to == nil || !ok {
		return c.fail(CauseAttach, "attach to invalid member %s(@idx %d) of struct %s", member, i, ops)
	}
	if may, some := supportedOperations[ops]; some && !slices.Contains(may, member) {
		return c.fail(CauseAttach, "attach to unsupported member %s of struct %s", member, ops)
	}
	if may, some := sleepableOperations[ops]; c.sleepableProgram() && some && !slices.Contains(may, member) {
		return c.fail(CauseSleepable, "attach to unsupported member %s of struct %s", member, ops)
	}
	c.target = &target{name: member, proto: proto, ops: st}
	return nil
}

// ownsArguments refuses tail calls where the program owns a reference to an argument,
// which the next program would not be given.
func (c *checker) ownsArguments() error {
	owns := func(a targetArg) bool { return a.acquired }
	if c.target != nil && slices.ContainsFunc(c.target.args, owns) && c.tailCalls() {
		return c.fail(CauseTailCall, "program with __ref argument cannot tail call")
	}
	return nil
}

// tailCalls reports whether the program has a tail call.
func (c *checker) tailCalls() bool {
	for i := range c.insns {
		if c.insns[i].IsCall(0) && c.insns[i].Imm == helperTailCall {
			return true
		}
	}
	return false
}
