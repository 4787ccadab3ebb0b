package kernels

// Limit is a number beyond which Linux refuses a program.
type Limit uint8

// The limits. What each is stands in the table below and in docs/kernels.md.
const (
	ProgramInsns Limit = iota
	UnprivInsns
	ProcessedInsns
	PendingBranches
	FoldedStates
	CallFrames
	FrameStack
	TotalStack
	TailCallStack
	TailCalls
	Subprograms
	FuncArgs
	UsedMaps
	KfuncDescs
	PacketOffset
	VarOffset
	LoopTurns

	numLimits
)

// limit is what the table says of one.
type limit struct {
	name   string
	means  string
	values []limitValue // oldest first
}

type limitValue struct {
	since Version
	value int
}

// always is a limit that no profile has otherwise.
func always(value int) []limitValue { return []limitValue{{oldest, value}} }

var limitTable = [numLimits]limit{
	ProgramInsns:    {"instructions", "instruction slots of a program", always(1_000_000)},
	UnprivInsns:     {"instructions, unprivileged", "instruction slots of a program whose loader lacks CAP_BPF", always(4096)},
	ProcessedInsns:  {"processed instructions", "instructions that the verifier walks over all paths", always(1_000_000)},
	PendingBranches: {"pending branches", "branches that wait to be walked at one time", always(8192)},
	FoldedStates:    {"states", "states kept at an instruction before the verifier gives up an unprivileged program", always(64)},
	CallFrames:      {"call frames", "functions that call one another, the program counted", []limitValue{{oldest, 8}, {V(7, 2), 16}}},
	FrameStack:      {"stack of a function", "bytes, in a frame", always(512)},
	TotalStack:      {"stack of a call chain", "bytes, over all frames that share a stack", always(512)},
	TailCallStack:   {"stack under a tail call", "bytes, over the frames below a function that makes a tail call", always(256)},
	TailCalls:       {"tail calls", "tail calls in a row", always(33)},
	Subprograms:     {"functions", "functions of a program", always(256)},
	FuncArgs:        {"arguments", "arguments of a function, of the program or of the kernel", []limitValue{{oldest, 5}, {V(7, 2), 12}}},
	UsedMaps:        {"maps", "maps that a program uses", always(64)},
	KfuncDescs:      {"kernel functions", "kernel functions that a program calls", always(256)},
	PacketOffset:    {"packet offset", "bytes from a packet's start that a program may reach", always(0xffff)},
	VarOffset:       {"variable offset", "a pointer's variable part, in bytes, either way", always(1 << 29)},
	LoopTurns:       {"loop turns", "turns of bpf_loop and of may_goto", always(1 << 23)},
}

// String is the limit's name, for people: "call frames".
func (l Limit) String() string { return limitTable[l].name }

// Means says in a line what is counted.
func (l Limit) Means() string { return limitTable[l].means }

// Limits gives all limits.
func Limits() []Limit {
	all := make([]Limit, numLimits)
	for i := range all {
		all[i] = Limit(i)
	}
	return all
}

// Limit is a limit's value.
func (k *Kernel) Limit(l Limit) int {
	value := 0
	for _, change := range limitTable[l].values {
		if change.since <= k.version {
			value = change.value
		}
	}
	return value
}
