package verifier

// causes says of each Cause what it is called in machine-readable output, what was
// wrong, and what usually helps.
var causes = [...]struct{ name, what, hint string }{
	CauseUnsupported: {"unsupported", "skep cannot tell whether this is safe", "the program may be fine: verify it with the types of the kernel that it is for (--btf, a copy of its /sys/kernel/btf/vmlinux), or ask that kernel"},
	CauseInstruction: {"instruction", "this instruction does not exist, or has reserved fields set", "build with clang, and with -mcpu=v3 for kernels that do not know newer instructions"},
	CauseControlFlow: {"control-flow", "the program leaves its instructions, or has some that nothing reaches", "every path must end in a return, and code that is never reached must go"},
	CauseLoop:        {"loop", "this loop may never end", "give it a bound that the verifier sees, as for (i = 0; i < 100; i++), or use bpf_loop, bpf_for or can_loop"},
	CauseTooComplex:  {"too-complex", "there are more paths than Linux looks at", "use bpf_loop or bpf_for in place of unrolled loops, make helpers of the program __noinline or global, or cut it up with tail calls"},
	CauseTooLarge:    {"too-large", "the program is too large", "cut it up with tail calls"},
	CauseStackDepth:  {"stack-depth", "the functions on this path use more stack than the 512 bytes there are, or nest too deeply", "move large variables into a per-CPU array, or call fewer functions inside each other"},
	CauseUninitRegister: {"uninitialised-register", "a register is read that nothing was written to on this path",
		"after a call R1 to R5 are gone; and every path must set what is used later"},
	CauseUninitStack:       {"uninitialised-stack", "stack memory is read that nothing was written to", "initialise the variable, all of it, padding too: struct key k = {}; or __builtin_memset(&k, 0, sizeof(k))"},
	CauseMaybeNull:         {"maybe-null", "a pointer is used that may be NULL", "compare it first: if (!ptr) return 0;"},
	CauseNotPointer:        {"not-a-pointer", "a number is used as a pointer", "read memory that the program has no pointer to with bpf_probe_read_kernel or bpf_probe_read_user; a pointer that went through arithmetic of 32 bits or a mask is a number"},
	CausePointerArithmetic: {"pointer-arithmetic", "this arithmetic makes an invalid pointer", "add bounded numbers only, after the NULL check, and to pointers into packets, map values, the stack or memory"},
	CausePointerLeak:       {"pointer-leak", "an address would become visible", "store numbers, not pointers; or load with CAP_PERFMON"},
	CauseBounds:            {"bounds", "memory is accessed outside the object", "compare the index with the size first: if (i >= N) return 0; right before the access"},
	CausePacketBounds: {"packet-bounds", "the packet is accessed further than was compared with data_end",
		"compare first, with the same pointer: if ((void *)(p + 1) > data_end) return XDP_PASS;"},
	CauseUnboundedOffset: {"unbounded-offset", "an offset or a size has no useful bound", "bound it on both sides: make it unsigned and compare it, or mask it: i &= N - 1"},
	CauseStackBounds:     {"stack-bounds", "the stack is accessed outside of its 512 bytes, or at an unknown place", "keep indices into local arrays within bounds that the verifier sees"},
	CauseAlignment:       {"alignment", "memory is accessed at an address that is not a multiple of the size", "align the field, or copy it bytewise"},
	CauseReadOnly:        {"read-only", "memory is written that is read-only, or read that is write-only", "use a map or variable that the program may write: not const, not BPF_F_RDONLY_PROG"},
	CauseContext:         {"context", "this field of the context is not for programs of this type, or not in this size", "see docs/contexts.md for what each program type may access"},
	CauseHelper:          {"helper", "this helper is not for programs of this type", "see docs/helpers.md for who has it"},
	CauseKfunc:           {"kfunc", "this kernel function is not for this program", "see docs/kernels.md for who has it and since when"},
	CauseArgument:        {"argument", "an argument is not of the kind that the call takes", "see the helper's signature, or the kernel function's"},
	CauseMap:             {"map", "this map is not for this program or call", "see the map type's helpers in docs/helpers.md"},
	CauseReference:       {"reference", "something acquired is not released on this path, or used after its release", "release it on every path that leaves: bpf_sk_release, bpf_ringbuf_discard, bpf_obj_drop, ..."},
	CauseLock:            {"lock", "a rule of locks is broken", "between lock and unlock there may be no calls, and both name the same lock, on every path"},
	CauseRCU:             {"rcu", "a rule of RCU, preemption or interrupt sections is broken", "end each section that was begun, on every path"},
	CauseSleepable:       {"sleepable", "something that may sleep is called where nothing may", "use a sleepable program (section name with .s), and no such call inside a lock or RCU section"},
	CauseReturn:          {"return", "the result is not one that programs of this type may give", "return one of the constants that the type knows, on every path"},
	CauseCallback:        {"callback", "a rule of callbacks is broken", "a callback is a static function of the program, with the arguments that the helper gives"},
	CauseGlobal:          {"global-function", "a rule of global functions is broken", "make the function static, or tag its arguments: __arg_ctx, __arg_nonnull, __arg_trusted"},
	CauseTailCall:        {"tail-call", "a rule of tail calls is broken", "see the limits of tail calls together with functions"},
	CauseDynptr:          {"dynptr", "a rule of dynptrs is broken", "make it with bpf_dynptr_from_*, keep it at a constant place on the stack, and submit or discard those of ring buffers"},
	CauseIterator:        {"iterator", "a rule of iterators is broken", "new, next until NULL, destroy: on every path, on the same variable (bpf_for_each does it)"},
	CauseGraph:           {"graph", "a rule of lists and trees is broken", "hold the lock of the list or tree, and give only nodes that the program owns"},
	CauseBTF:             {"btf", "type information is missing or does not fit", "build with -g, and with the kernel's own vmlinux.h"},
	CauseAttach:          {"attach", "the program cannot be attached to its target", "see that the function, tracepoint or hook exists in this kernel and may be traced"},
	CauseLicense:         {"license", "this is for programs of a GPL compatible licence only", `say so: char LICENSE[] SEC("license") = "GPL";`},
	CausePrivilege:       {"privilege", "this needs a capability", "load with CAP_BPF, and CAP_PERFMON or CAP_NET_ADMIN"},
	CauseKernel:          {"kernel", "this needs a newer Linux", "see docs/kernels.md for what brought it"},
	CauseMissing:         {"missing", "the program needs what this kernel lacks", "ask first whether it is there: bpf_core_field_exists(), bpf_core_type_exists(), bpf_ksym_exists()"},
	CauseThisKernel:      {"this-kernel", "this kernel alone refuses the program, skep's verifier does not", "keep the kernel's whole log with --log, and see what other versions say: skep check --kernel"},
	CauseException:       {"exception", "a rule of exceptions is broken", "bpf_throw may not leave references, locks or iterators behind"},
}

// String is the cause's name in machine-readable output: "packet-bounds".
func (c Cause) String() string { return causes[c].name }

// what says what was wrong.
func (e *Error) what() string {
	if e.Missing != "" {
		return e.Missing
	}
	return causes[e.Cause].what
}
