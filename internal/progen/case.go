package progen

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// Case is a program, the programs that it tail-calls, and what they run on.
type Case struct {
	Seed uint64
	Type ebpf.ProgramType
	// Progs[0] is run; program arrays hold the others. Imm of a map load is an
	// index into Maps.
	Progs  [][]isa.Instruction
	Maps   []Map
	Packet []byte
	Ctx    []byte // in linux/bpf.h's layout; may be empty
}

// Map is a map and what it holds before the run.
type Map struct {
	Name       string
	Type       ebpf.MapType
	KeySize    uint32 // bytes
	ValueSize  uint32 // bytes, for one CPU
	MaxEntries uint32
	Flags      uint32
	Frozen     bool
	Entries    []Entry
}

// Entry is one key of a map. The value is one CPU's and holds for all CPUs; in a
// program array it is an index into [Case.Progs], as 4 bytes.
type Entry struct {
	Key, Value []byte
}

// Spec is the map in cilium/ebpf's terms, without contents.
func (m *Map) Spec() *ebpf.MapSpec {
	return &ebpf.MapSpec{
		Name: m.Name, Type: m.Type,
		KeySize: m.KeySize, ValueSize: m.ValueSize, MaxEntries: m.MaxEntries, Flags: m.Flags,
	}
}
