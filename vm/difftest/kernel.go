package difftest

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/progen"
)

// Kernel is the running kernel, and how many CPUs it has values for in a per-CPU
// map. A case that its verifier refuses gives a [kernelrun.Rejected].
func Kernel() (e Engine, cpus int, err error) {
	cpus, err = kernelrun.PossibleCPUs()
	if err != nil {
		return Engine{}, 0, err
	}
	return Engine{"kernel", func(c *progen.Case) (*Result, error) {
		k, err := load(c, cpus, false)
		if err != nil {
			return nil, err
		}
		r, err := k.run()
		return r, errors.Join(err, k.close())
	}}, cpus, nil
}

// Explain gives the verifier's log of a case that it refuses, or nil.
func Explain(c *progen.Case) error {
	cpus, err := kernelrun.PossibleCPUs()
	if err != nil {
		return err
	}
	k, err := load(c, cpus, true)
	if err != nil {
		return err
	}
	return k.close()
}

// Stable reports whether what a case leaves in the kernel depends on nothing but
// the case. It runs the case in two places at once, so that addresses and what
// memory held before differ.
func Stable(c *progen.Case) bool {
	cpus, err := kernelrun.PossibleCPUs()
	if err != nil {
		return false
	}
	var results [2]*Result
	runtime.LockOSThread() // so that the other run has another stack
	defer runtime.UnlockOSThread()
	for i := range results {
		k, err := load(c, cpus, false)
		if err != nil {
			return false
		}
		defer k.close()
		done := make(chan error, 1)
		run := func() {
			var err error
			results[i], err = k.run()
			done <- err
		}
		if i == 0 {
			run()
		} else {
			go run()
		}
		if <-done != nil {
			return false
		}
	}
	return reflect.DeepEqual(results[0], results[1])
}

// loaded is a case in the kernel.
type loaded struct {
	c     *progen.Case
	maps  []*kernelrun.Map
	progs []*kernelrun.Program
	cpus  int
}

func load(c *progen.Case, cpus int, withLog bool) (_ *loaded, err error) {
	k := &loaded{c: c, cpus: cpus}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
		}
	}()
	for i := range c.Maps {
		m := &c.Maps[i]
		km, err := kernelrun.NewMap(m.Spec())
		if err != nil {
			return nil, err
		}
		k.maps = append(k.maps, km)
		if m.Type == ebpf.ProgramArray {
			continue
		}
		if err := fill(km, m, cpus); err != nil {
			return nil, err
		}
		if m.Frozen {
			if err := km.Freeze(); err != nil {
				return nil, fmt.Errorf("freeze map %s: %w", m.Name, err)
			}
		}
	}
	for _, insns := range c.Progs {
		p, err := kernelrun.Load(c.Type, insns, k.maps, withLog)
		if err != nil {
			return nil, err
		}
		k.progs = append(k.progs, p)
	}
	for i := range c.Maps {
		if c.Maps[i].Type != ebpf.ProgramArray {
			continue
		}
		for _, e := range c.Maps[i].Entries {
			if err := k.maps[i].SetProgram(e.Key, k.progs[e.Value[0]]); err != nil {
				return nil, fmt.Errorf("fill map %s, key %x: %w", c.Maps[i].Name, e.Key, err)
			}
		}
	}
	return k, nil
}

func (k *loaded) run() (*Result, error) {
	release, err := kernelrun.Pin(0)
	if err != nil {
		return nil, err
	}
	out, runErr := k.progs[0].Run(&kernelrun.RunInput{Data: k.c.Packet, Ctx: k.c.Ctx, CtxOut: len(k.c.Ctx)})
	if err := release(); err != nil {
		return nil, err
	}
	if runErr != nil {
		return refused(runErr)
	}
	r := &Result{Ret: out.Ret, Packet: out.Data, Ctx: out.Ctx}
	r.Maps, err = contents(k.c, k.maps, k.cpus)
	return r, err
}

func (k *loaded) close() error {
	var errs []error
	for _, p := range k.progs {
		errs = append(errs, p.Close())
	}
	for _, m := range k.maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// contents reads all maps of a case that have keys and values to compare.
func contents[T table](c *progen.Case, ts []T, cpus int) (map[string]map[string][]byte, error) {
	all := map[string]map[string][]byte{}
	for i := range c.Maps {
		m := &c.Maps[i]
		switch m.Type {
		case ebpf.ProgramArray, ebpf.Queue, ebpf.Stack:
			continue
		}
		var err error
		if all[m.Name], err = read(ts[i], m, cpus); err != nil {
			return nil, err
		}
	}
	return all, nil
}
