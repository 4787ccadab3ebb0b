package kernel

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"

	"github.com/skep-ebpf/skep/hook"
)

// A standIn is attached in place of a program where Linux has no link, and so keeps
// what a process attached when it ends. It runs the program out of a table. Linux
// empties a table of programs when its last user has gone, even one that was killed:
// the program is freed then, and the stand-in that is left does nothing.
type standIn struct {
	*ebpf.Program
	table  *ebpf.Map
	detach func() error    // once it is attached
	net    *netlink.Handle // that detach uses, in the namespace where it was; nil where it uses none
}

// sweepers remove stand-ins that do nothing any more from a point, by the names of kinds of
// hooks.
var sweepers = map[string]func(hook.Point) error{}

const standInName = "skep_stand_in"

// newStandIn makes one for a program, which was loaded to be attached as typ. nothing is
// what a program returns there that does nothing.
func newStandIn(prog *ebpf.Program, typ ebpf.AttachType, nothing int32) (*standIn, error) {
	table, err := ebpf.NewMap(&ebpf.MapSpec{Name: standInName, Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("make a stand-in's table: %w", err)
	}
	stand, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: standInName, Type: prog.Type(), AttachType: typ, License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.LoadMapPtr(asm.R2, table.FD()),
			asm.Mov.Imm(asm.R3, 0),
			asm.FnTailCall.Call(),
			asm.Mov.Imm(asm.R0, nothing),
			asm.Return(),
		},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load a stand-in: %w", err), table.Close())
	}
	s := &standIn{Program: stand, table: table}
	if err := table.Put(uint32(0), prog); err != nil {
		return nil, errors.Join(fmt.Errorf("put the program behind its stand-in: %w", err), s.Close())
	}
	return s, nil
}

// Close ends and detaches the program, if it is not pinned.
func (s *standIn) Close() error {
	pinned := s.table.IsPinned()
	err := errors.Join(s.Program.Close(), s.table.Close())
	if s.detach != nil && !pinned {
		err = errors.Join(err, s.detach())
	}
	if s.net != nil {
		s.net.Close()
	}
	return err
}

// Pin has the program stay attached.
func (s *standIn) Pin(path string) error { return s.table.Pin(path) }

// leftOver says whether a program is a stand-in whose skep has gone.
func leftOver(id ebpf.ProgramID) (bool, error) {
	prog, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return false, err
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil {
		return false, err
	}
	maps, _ := info.MapIDs()
	if info.Name != standInName || len(maps) != 1 {
		return false, nil
	}
	table, err := ebpf.NewMapFromID(maps[0])
	if err != nil {
		return false, err
	}
	defer table.Close()
	var behind uint32
	err = table.Lookup(uint32(0), &behind)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return true, nil
	}
	return false, err
}
