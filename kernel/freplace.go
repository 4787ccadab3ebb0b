package kernel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/program"
)

// extension is a program that takes the place of a global function of another one, of
// the same object or of what is pinned: FUNCTION, PROGRAM:FUNCTION, or
// PIN/PROGRAM:FUNCTION. It is loaded for that program, and so after it.
type extension struct {
	name          string
	function      string
	program       string // of the object
	pin, ofPinned string // or a program of what is pinned
}

// extensions finds, among programs of an object, those that take a function's place.
func extensions(spec *ebpf.CollectionSpec, names []string, at []hook.Attachment) (all []extension, err error) {
	for _, name := range names {
		p := spec.Programs[name]
		if p == nil {
			continue // Subset says so
		}
		target, isExtension := p.AttachTo, p.Type == ebpf.Extension
		if i := slices.IndexFunc(at, func(a hook.Attachment) bool { return a.Program == name }); i >= 0 {
			target, isExtension = at[i].Point.Target, at[i].Point.Kind.Prog == ebpf.Extension
		}
		if !isExtension {
			continue
		}
		if target == "" {
			return nil, fmt.Errorf("program %s: %w", name, needsTarget(hook.Find("freplace")))
		}
		e := extension{name: name, function: target}
		if i := strings.LastIndexByte(target, ':'); i >= 0 {
			e.program, e.function = target[:i], target[i+1:]
		}
		if i := strings.IndexByte(e.program, '/'); i >= 0 {
			e.pin, e.ofPinned, e.program = e.program[:i], e.program[i+1:], ""
		} else if err := e.find(spec); err != nil {
			return nil, fmt.Errorf("program %s: %w", name, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// find looks for the function in the programs of the object.
func (e *extension) find(spec *ebpf.CollectionSpec) error {
	if e.program != "" && spec.Programs[e.program] == nil {
		return fmt.Errorf("the object has no program %s%s", e.program, suggest.Name(e.program, slices.Collect(maps.Keys(spec.Programs))))
	}
	var have, functions []string
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		p := spec.Programs[name]
		if p.Type == ebpf.Extension || e.program != "" && e.program != name {
			continue
		}
		for i := range p.Instructions {
			f := btf.FuncMetadata(&p.Instructions[i])
			switch {
			case f == nil || f.Linkage != btf.GlobalFunc || f.Name == name:
			case f.Name == e.function:
				have = append(have, name)
			default:
				functions = append(functions, f.Name)
			}
		}
	}
	switch len(have) {
	case 0:
		who := "no program of the object has a"
		if e.program != "" {
			who = "program " + e.program + " has no"
		}
		slices.Sort(functions)
		return fmt.Errorf("%s global function %s%s", who, e.function, suggest.Name(e.function, slices.Compact(functions)))
	case 1:
		e.program = have[0]
		return nil
	}
	return fmt.Errorf("function %s is in programs %s: say in which it is replaced, such as freplace/%s:%s", e.function, strings.Join(have, " and "), have[0], e.function)
}

// target is the loaded program whose function is replaced; drop gives it back.
func (e *extension) target(coll *ebpf.Collection) (prog *ebpf.Program, drop func(), err error) {
	if e.program != "" {
		return coll.Programs[e.program], func() {}, nil
	}
	path := PinsIn(BPFFS).path(e.pin, "progs", escape(e.ofPinned))
	if prog, err = ebpf.LoadPinnedProgram(path, nil); err != nil {
		return nil, nil, fmt.Errorf("program %s of what is pinned as %s: %w ('skep ps' shows what there is)", e.ofPinned, e.pin, err)
	}
	if err := hasFunction(prog, e.function); err != nil {
		prog.Close()
		return nil, nil, fmt.Errorf("program %s of what is pinned as %s: %w", e.ofPinned, e.pin, err)
	}
	return prog, func() { prog.Close() }, nil
}

// hasFunction looks for a global function in a loaded program.
func hasFunction(prog *ebpf.Program, name string) error {
	handle, err := prog.Handle()
	if err != nil {
		return err
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		return err
	}
	var names []string
	for t, err := range types.All() {
		if err != nil {
			return err
		}
		if f, ok := t.(*btf.Func); ok && f.Linkage == btf.GlobalFunc {
			names = append(names, f.Name)
		}
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("it has no global function %s%s", name, suggest.Name(name, names))
	}
	return nil
}

// load loads the program, with the maps that are there already.
func (e *extension) load(coll *ebpf.Collection, spec *ebpf.CollectionSpec, opts *Options, needs []Need) error {
	target, drop, err := e.target(coll)
	if err != nil {
		return fmt.Errorf("program %s: %w", e.name, err)
	}
	defer drop()
	own, err := program.Subset(spec, e.name)
	if err != nil {
		return err
	}
	p := own.Programs[e.name].Copy()
	p.AttachTarget, p.AttachTo = target, e.function
	own.Programs[e.name] = p
	there := make(map[string]*ebpf.Map)
	for name := range own.Maps {
		there[name] = coll.Maps[name]
	}
	loaded, err := ebpf.NewCollectionWithOptions(own, (&Options{Link: opts.Link, Maps: there, Log: opts.Log}).collection(own))
	logErr := writeLog(opts.Log, loaded, err)
	if err != nil {
		return errors.Join(explain(own, opts.Link, needs, err), logErr)
	}
	defer loaded.Close()
	coll.Programs[e.name] = loaded.DetachProgram(e.name)
	return logErr
}
