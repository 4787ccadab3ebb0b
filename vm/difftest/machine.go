package difftest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/progen"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/internal/proof"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// budget ends a run that does not end, in instructions.
const budget = 50_000_000

// Machine is the user-space machine in one of its modes, with values for cpus
// CPUs in its per-CPU maps.
func Machine(mode engine.Mode, cpus int) (Engine, error) {
	s, err := exec.NewState(0)
	if err != nil {
		return Engine{}, err
	}
	return Engine{mode.String(), func(c *progen.Case) (*Result, error) { return runMachine(c, s, mode, cpus) }}, nil
}

func runMachine(c *progen.Case, s *exec.State, mode engine.Mode, cpus int) (_ *Result, err error) {
	typ, err := progtype.Get(c.Type)
	if err != nil {
		return nil, err
	}
	var open []maps.Map
	var ids []uint32
	var progs []*engine.Program
	defer func() {
		for _, id := range ids {
			maps.UnregisterProg(id)
		}
		for _, p := range progs {
			err = errors.Join(err, p.Close())
		}
		for _, m := range open {
			err = errors.Join(err, m.Close())
		}
	}()
	for i := range c.Maps {
		m := &c.Maps[i]
		t, err := maps.New(m.Spec(), cpus)
		if err != nil {
			return nil, err
		}
		open = append(open, t)
		if m.Type == ebpf.ProgramArray {
			continue
		}
		if err := fill(t, m, cpus); err != nil {
			return nil, err
		}
		if m.Frozen {
			if err := t.Freeze(); err != nil {
				return nil, err
			}
		}
	}
	for i, insns := range c.Progs {
		in := &interp.Input{Name: fmt.Sprintf("program %d", i), Type: typ, Insns: insns, Maps: open}
		if mode != engine.Checked {
			if in.Facts, err = proof.Of(typ, insns, open); err != nil {
				return nil, err
			}
		}
		p, err := engine.Compile(in, engine.Options{Mode: mode})
		if err != nil {
			return nil, err
		}
		progs = append(progs, p)
		ids = append(ids, maps.RegisterProg(p.Registered()))
	}
	for i := range c.Maps {
		if c.Maps[i].Type != ebpf.ProgramArray {
			continue
		}
		for _, e := range c.Maps[i].Entries {
			if err := open[i].UserUpdate(e.Key, binary.LittleEndian.AppendUint32(nil, ids[e.Value[0]]), 0); err != nil {
				return nil, fmt.Errorf("fill map %s, key %x: %w", c.Maps[i].Name, e.Key, err)
			}
		}
	}
	if err := typ.Setup(s, &progtype.Input{Data: c.Packet, Ctx: c.Ctx}); err != nil {
		return refused(err)
	}
	s.Budget = budget
	ret, err := guard(func() (uint64, error) { return progs[0].Run(s) })
	if err != nil {
		return nil, err
	}
	out := progtype.Output{Ctx: make([]byte, len(c.Ctx))}
	typ.Finish(s, &out)
	r := &Result{Ret: uint32(ret), Packet: out.Data, Ctx: out.Ctx}
	r.Maps, err = contents(c, open, cpus)
	return r, err
}

// guard makes an access of memory that is not there an error: in fast mode it is
// what a wrong result may look like.
func guard(run func() (uint64, error)) (ret uint64, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the run panicked: %v", r)
		}
	}()
	return run()
}
