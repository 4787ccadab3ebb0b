package kernels

import "slices"

// Feature is something of the language of eBPF programs that Linux did not
// always have.
type Feature uint8

// feature is what the table says of one.
type feature struct {
	name  string
	means string
	since Version
}

// The features. What each is, and since when, stands in the table below and in
// docs/kernels.md.
const (
	ISAv2 Feature = iota
	ISAv3
	ISAv4
	AtomicFetch
	LoadAcquire
	MayGoto
	TimedMayGoto
	AddrSpaceCast
	IndirectJumps

	Functions
	TailCallsInFunctions
	GlobalFuncs
	GlobalFuncPointers
	GlobalFuncTags
	DeepCalls
	StackArguments
	BoundedLoops
	Callbacks
	BPFLoop
	OpenCodedIters
	Exceptions
	Fastcall
	PrivateStack
	Sleepable

	MapValueAddress
	TypedKsyms
	FunctionAddress
	MapsByIndex
	KfuncCalls
	ModuleKfuncs
	KfuncArgsTrusted

	BTFAccess
	TrustedPointers
	RCULock
	PreemptLock
	IRQLock

	References
	SpinLock
	ResilientLock
	Timer
	Workqueue
	TaskWork
	Kptr
	LocalKptr
	PercpuKptr
	Refcount
	LinkedList
	RBTree
	Uptr
	Dynptr
	PacketDynptr
	Arena
	XDPFrags

	VariableStackWrites
	UninitStackReads
	Bounds32
	LinkedScalars
	RangeCompare
	CapBPFSplit

	numFeatures
)

var featureTable = [numFeatures]feature{
	ISAv2:         {"ISA v2", "jumps on less than (JLT, JLE, JSLT, JSLE)", V(4, 14)},
	ISAv3:         {"ISA v3", "32-bit jumps (JMP32)", V(5, 1)},
	ISAv4:         {"ISA v4", "signed division and modulo, sign-extending loads and moves, byte swap, far jumps (gotol)", V(6, 6)},
	AtomicFetch:   {"atomic operations", "and, or, xor, exchange, compare-and-exchange, and operations that fetch the old value", V(5, 12)},
	LoadAcquire:   {"load-acquire and store-release", "loads and stores that order memory", V(6, 15)},
	MayGoto:       {"may_goto", "a jump that is taken at the latest after 8 million turns", V(6, 9)},
	TimedMayGoto:  {"timed may_goto", "a may_goto that is taken at the latest after a quarter of a second", V(6, 15)},
	AddrSpaceCast: {"addr_space_cast", "pointers into the arena, to and from user space's addresses", V(6, 9)},
	IndirectJumps: {"gotox", "jumps through a table (instruction array map)", V(6, 19)},

	Functions:            {"functions", "calls of the program's own static functions", V(4, 16)},
	TailCallsInFunctions: {"tail calls in functions", "tail calls from programs that have functions of their own", V(5, 10)},
	GlobalFuncs:          {"global functions", "functions verified on their own, by the types of their arguments", V(5, 6)},
	GlobalFuncPointers:   {"pointers to global functions", "arguments of global functions that point to memory", V(5, 12)},
	GlobalFuncTags:       {"argument tags", "tags on arguments of global functions (__arg_ctx, __arg_nonnull ..)", V(6, 8)},
	DeepCalls:            {"deep calls", "frames are counted from the last call of a global function on", V(7, 1)},
	StackArguments:       {"stack arguments", "functions with more than five arguments", V(7, 2)},
	BoundedLoops:         {"bounded loops", "backward jumps, where the verifier sees the loop end", V(5, 3)},
	Callbacks:            {"callbacks", "functions of the program that a helper calls", V(5, 13)},
	BPFLoop:              {"bpf_loop", "a loop by callback that is verified once", V(5, 17)},
	OpenCodedIters:       {"open-coded iterators", "loops over bpf_iter_num_next and its kin", V(6, 4)},
	Exceptions:           {"exceptions", "bpf_throw and its callback", V(6, 7)},
	Fastcall:             {"bpf_fastcall", "spills around calls that need none are removed", V(6, 12)},
	PrivateStack:         {"private stack", "a stack of 512 bytes for the program alone", V(6, 13)},
	Sleepable:            {"sleepable programs", "programs that may sleep", V(5, 10)},

	MapValueAddress:  {"global data", "addresses of map values in the program's text", V(5, 2)},
	TypedKsyms:       {"typed ksyms", "addresses of the kernel's variables", V(5, 10)},
	FunctionAddress:  {"function addresses", "addresses of the program's functions in its text", V(5, 13)},
	MapsByIndex:      {"maps by index", "maps named by their place in fd_array", V(5, 14)},
	KfuncCalls:       {"kernel functions", "calls of functions of the kernel by BTF (kfuncs)", V(5, 13)},
	ModuleKfuncs:     {"kernel functions of modules", "kfuncs of modules", V(5, 16)},
	KfuncArgsTrusted: {"trusted arguments", "all kernel functions want pointers that are surely valid", V(7, 0)},

	BTFAccess:       {"typed pointers", "loads through pointers to the kernel's structures", V(5, 5)},
	TrustedPointers: {"trusted pointers", "pointers to the kernel's structures that are known to be valid", V(6, 2)},
	RCULock:         {"RCU sections", "bpf_rcu_read_lock", V(6, 2)},
	PreemptLock:     {"preempt sections", "bpf_preempt_disable", V(6, 10)},
	IRQLock:         {"interrupt sections", "bpf_local_irq_save", V(6, 14)},

	References:    {"references", "objects that a program takes and must release", V(4, 20)},
	SpinLock:      {"spin locks", "bpf_spin_lock in map values", V(5, 1)},
	ResilientLock: {"resilient locks", "bpf_res_spin_lock, which may fail", V(6, 15)},
	Timer:         {"timers", "bpf_timer in map values", V(5, 15)},
	Workqueue:     {"work queues", "bpf_wq in map values", V(6, 10)},
	TaskWork:      {"task work", "bpf_task_work in map values", V(6, 18)},
	Kptr:          {"kptrs", "pointers to the kernel's objects in map values", V(5, 19)},
	LocalKptr:     {"local objects", "objects that programs allocate (bpf_obj_new)", V(6, 2)},
	PercpuKptr:    {"per-CPU objects", "objects that programs allocate for each CPU", V(6, 7)},
	Refcount:      {"shared ownership", "bpf_refcount in objects", V(6, 4)},
	LinkedList:    {"linked lists", "bpf_list_head and bpf_list_node", V(6, 2)},
	RBTree:        {"red-black trees", "bpf_rb_root and bpf_rb_node", V(6, 3)},
	Uptr:          {"uptrs", "memory of a process in task storage", V(6, 13)},
	Dynptr:        {"dynptrs", "memory whose size is known at run time", V(5, 19)},
	PacketDynptr:  {"dynptrs of packets", "bpf_dynptr_from_skb, bpf_dynptr_from_xdp and slices", V(6, 4)},
	Arena:         {"arena", "memory shared with user space, with plain pointers", V(6, 9)},
	XDPFrags:      {"XDP fragments", "XDP programs that take packets of several buffers", V(5, 18)},

	VariableStackWrites: {"variable stack writes", "stores to the stack at an offset that is not constant", V(5, 12)},
	UninitStackReads:    {"reads of uninitialised stack", "privileged programs may load and pass stack that they did not write", V(6, 3)},
	Bounds32:            {"32-bit bounds", "bounds of the lower halves of registers are tracked", V(5, 7)},
	LinkedScalars:       {"linked registers", "bounds found for a register hold for its copies at a constant distance", V(6, 11)},
	RangeCompare:        {"ranges against ranges", "comparisons of two registers of which neither is constant refine both", V(6, 8)},
	CapBPFSplit:         {"CAP_BPF", "CAP_BPF and CAP_PERFMON instead of CAP_SYS_ADMIN", V(5, 8)},
}

// backported are features that later releases of older, long-term kernels have
// too.
var backported = map[Feature][]Version{
	VariableStackWrites: {V(5, 10)},
	UninitStackReads:    {V(5, 10), V(5, 15), V(6, 1)},
}

// String is the feature's name, for people: "bounded loops".
func (f Feature) String() string { return featureTable[f].name }

// Means says in a line what the feature is.
func (f Feature) Means() string { return featureTable[f].means }

// Backported are long-term kernels before [Feature.Since] whose later releases
// have the feature too, as their profiles do.
func (f Feature) Backported() []Version { return backported[f] }

// Since is the first Linux that has it.
func (f Feature) Since() Version { return featureTable[f].since }

// Features gives all features.
func Features() []Feature {
	all := make([]Feature, numFeatures)
	for i := range all {
		all[i] = Feature(i)
	}
	return all
}

// Has answers for a feature.
func (k *Kernel) Has(f Feature) (since Version, ok bool) {
	return f.Since(), f.Since() <= k.version || slices.Contains(backported[f], k.version)
}
