// Package vmlinux writes vmlinux.h: C declarations of all types of a kernel, or of
// any other BTF, as a compiler for BPF lays them out as they were.
//
// Types come in an order in which C takes them: enums, then structures, unions and
// typedefs, each behind what it needs, with forward declarations where pointers go
// in circles, then kernel functions. What C cannot say plainly is said by other means:
// holes by unnamed bit-fields, lost alignment by packed, and a name that stands for
// several things by a suffix, as in name___2, which CO-RE takes for the same name.
//
// The target is 64-bit.
package vmlinux

import (
	"bytes"
	"fmt"
	"io"

	"github.com/cilium/ebpf/btf"
)

// maxDepth is how many types may be on the way from one to what it needs. The
// kernel's own stay below 100; a hostile file's go in circles.
const maxDepth = 1000

// maxSteps bounds the work: what types without names need, and their members, are
// gone through at each use. A kernel's take a quarter of a million steps.
const maxSteps = 2_000_000

// header and footer surround the declarations.
const (
	header = `#ifndef __VMLINUX_H__
#define __VMLINUX_H__

/* C declarations of the types of a kernel, written by skep from its BTF. */

#ifndef __has_attribute
#define __has_attribute(x) 0
#endif

#if __has_attribute(btf_type_tag)
#define __btf_type_tag(x) __attribute__((btf_type_tag(x)))
#else
#define __btf_type_tag(x)
#endif

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif
`
	footer = `
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif
`
)

// Write writes the declarations of all types of a spec. It fails, with one sentence,
// on types that refer to themselves as C's cannot, or whose members overlap.
func Write(out io.Writer, spec *btf.Spec) error {
	w := &writer{
		names:   newNames(),
		state:   make(map[btf.Type]state),
		layouts: make(map[btf.Type]layout),
	}
	for t, err := range spec.All() {
		if err != nil {
			return err
		}
		w.types = append(w.types, t)
	}
	w.names.assign(w.types)
	w.WriteString(header)
	if err := w.all(); err != nil {
		return err
	}
	w.WriteString(footer)
	_, err := out.Write(w.Bytes())
	return err
}

// state is how much of a type has been written.
type state uint8

const (
	unknown  state = iota
	forward        // its name is declared
	open           // what it needs is being written
	complete       // it is defined
)

type writer struct {
	bytes.Buffer
	types   []btf.Type
	names   *names
	state   map[btf.Type]state
	layouts map[btf.Type]layout
	body    btf.Type // the structure that is written next: its own name is known within
	depth   int      // of require
	steps   int      // taken so far
}

func (w *writer) all() error {
	for _, t := range w.types {
		if enum, ok := t.(*btf.Enum); ok {
			w.enum(enum)
		}
	}
	for _, t := range w.types {
		var err error
		switch t := t.(type) {
		case *btf.Struct, *btf.Union:
			if t.TypeName() != "" {
				err = w.require(t, true)
			}
		case *btf.Typedef, *btf.Fwd:
			err = w.require(t, false)
		}
		if err != nil {
			return err
		}
	}
	return w.kernelFunctions()
}

// require writes what C must have seen before it takes a type's name: with whole,
// its definition as well, as members and elements need it.
func (w *writer) require(typ btf.Type, whole bool) error {
	if w.depth++; w.depth > maxDepth {
		return fmt.Errorf("types refer to one another without end, at %v", typ)
	}
	defer func() { w.depth-- }()
	if err := w.step(1); err != nil {
		return err
	}
	switch t := typ.(type) {
	case *btf.Struct:
		return w.requireRecord(t, t.Members, whole)
	case *btf.Union:
		return w.requireRecord(t, t.Members, whole)
	case *btf.Fwd:
		w.forward(w.names.definition(t))
	case *btf.Typedef:
		if err := w.typedef(t); err != nil || !whole {
			return err
		}
		return w.require(t.Type, true)
	case *btf.Const:
		return w.require(t.Type, whole)
	case *btf.Volatile:
		return w.require(t.Type, whole)
	case *btf.Restrict:
		return w.require(t.Type, whole)
	case *btf.TypeTag:
		return w.require(t.Type, whole)
	case *btf.Pointer:
		return w.require(t.Target, false)
	case *btf.Array:
		return w.require(t.Type, true)
	case *btf.FuncProto:
		for _, p := range t.Params {
			if err := w.require(p.Type, false); err != nil {
				return err
			}
		}
		return w.require(t.Return, false)
	}
	return nil
}

// step counts steps.
func (w *writer) step(n int) error {
	if w.steps += n; w.steps > maxSteps {
		return fmt.Errorf("types hold one another more than %d times", maxSteps)
	}
	return nil
}

// requireRecord is require for a structure or union. One without a name is
// written where it is used, so that only its members need something.
func (w *writer) requireRecord(t btf.Type, members []btf.Member, whole bool) error {
	named := t.TypeName() != ""
	if named && !whole {
		w.forward(t)
		return nil
	}
	switch w.state[t] {
	case complete:
		return nil
	case open:
		return fmt.Errorf("%v contains itself", t)
	}
	before := w.state[t]
	w.state[t] = open
	outer := w.body
	if named {
		w.body = t
	}
	for _, m := range members {
		if err := w.require(m.Type, true); err != nil {
			return err
		}
	}
	w.body = outer
	if !named {
		w.state[t] = before // written at each use
		return nil
	}
	w.state[t] = complete
	text, err := w.record(w.names.tagged(t), t, 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s;\n", text)
	return nil
}

// forward declares a structure's or union's name, unless that is known.
func (w *writer) forward(t btf.Type) {
	if s := w.state[t]; s == forward || s == complete || t == w.body {
		return
	}
	if w.state[t] == unknown {
		w.state[t] = forward
	}
	fmt.Fprintf(w, "\n%s;\n", w.names.tagged(t))
}

func (w *writer) typedef(t *btf.Typedef) error {
	switch w.state[t] {
	case complete:
		return nil
	case open:
		return fmt.Errorf("typedef %s refers to itself", t.Name)
	}
	w.state[t] = open
	outer := w.body
	w.body = nil // a typedef stands in front of the body, not within
	if err := w.require(t.Type, false); err != nil {
		return err
	}
	w.body = outer
	w.state[t] = complete
	text, err := w.declare(t.Type, w.names.of[t], 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\ntypedef %s;\n", text)
	return nil
}

// kernelFunctions declares what programs may call, as far as the BTF marks it.
func (w *writer) kernelFunctions() error {
	const opening = `
#ifndef BPF_NO_KFUNC_PROTOTYPES
#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif

`
	var functions bytes.Buffer
	for _, t := range w.types {
		f, ok := t.(*btf.Func)
		if !ok || w.names.of[f] == "" {
			continue
		}
		if err := w.require(f.Type, false); err != nil {
			return err
		}
		text, err := w.declare(f.Type, w.names.of[f], 0)
		if err != nil {
			return err
		}
		fmt.Fprintf(&functions, "extern %s __weak __ksym;\n", text)
	}
	if functions.Len() > 0 {
		w.WriteString(opening)
		functions.WriteTo(w)
		w.WriteString("#endif\n")
	}
	return nil
}
