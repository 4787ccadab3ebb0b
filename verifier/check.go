package verifier

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// Options say whose verdict is asked for. The zero value is a privileged loader
// on the newest known Linux.
type Options struct {
	// Kernel is the version of Linux, such as "6.12"; "": the newest known; "any":
	// what is safe, whether some Linux takes it or not.
	Kernel string
	// Lacks are the capabilities that the loader does not have, nor CAP_SYS_ADMIN in
	// their place.
	Lacks kernels.Caps
	// KernelTypes are the kernel's types, for programs whose context or calls they
	// describe. Nil: what the image was linked against, or the running kernel's.
	KernelTypes *btf.Spec
	// Kfuncs are functions of kernel modules that the tables of package kernels do not
	// know, by their names. Optional.
	Kfuncs map[string]Kfunc
	// Budget is how many instructions are looked at; 0: as many as Linux does.
	Budget int
	// Numbers asks for each Fact.Number, which takes another walk.
	Numbers bool
	// Log is written to: the state at each instruction, in the notation of Linux's
	// log at level 2. Optional.
	Log io.Writer
	// Link says how [Check] links. Optional.
	Link program.LinkOptions
}

// Result is what was found of an accepted program, and as far as it got of a
// refused one.
type Result struct {
	Processed int // instructions looked at, as Linux counts them
	States    int // states that were kept
	Stack     int // bytes of stack, with those of the functions called
	// Context is how many bytes of the context are accessed at most, from its start
	// (max_ctx_offset).
	Context int
	// Facts are what was proved of each instruction; nil of a refused program.
	Facts []Fact
}

// Check verifies one program of a spec. A refusal is an [*Error].
func Check(spec *ebpf.CollectionSpec, prog string, opts *Options) (*Result, error) {
	if opts == nil {
		opts = new(Options)
	}
	img, err := program.Link(spec, prog, &opts.Link)
	if err != nil {
		return nil, err
	}
	return CheckImage(img, spec.Maps, opts)
}

// CheckImage verifies a linked program. Maps gives the maps that the image names
// and that linking did not make.
func CheckImage(img *program.Image, specs map[string]*ebpf.MapSpec, opts *Options) (*Result, error) {
	if opts == nil {
		opts = new(Options)
	}
	c, err := newChecker(img, specs, opts)
	if err != nil {
		return nil, err
	}
	err = c.run()
	var refusal *Error
	if errors.As(err, &refusal) && c.processed <= trailLimit {
		refusal.again = func(x *Explanation) {
			if c, err := newChecker(img, specs, opts); err == nil {
				c.log = nil
				c.explainBy(refusal, x)
			}
		}
	}
	c.result.Processed = c.processed
	if err == nil {
		c.result.Facts = c.facts()
	}
	return c.result, err
}

// newChecker prepares a verification.
func newChecker(img *program.Image, specs map[string]*ebpf.MapSpec, opts *Options) (*checker, error) {
	typ, err := typeOfProgram(img)
	if err != nil {
		return nil, err
	}
	c := &checker{
		img: img, insns: img.Insns, typ: typ, opts: opts, specs: specs, result: new(Result), log: newLogger(opts.Log),
		capable: opts.Lacks&kernels.CapBPF == 0, leaks: opts.Lacks&kernels.CapPerfmon == 0, bypass: opts.Lacks&kernels.CapPerfmon == 0,
		strict: img.Flags&(flagStrictAlignment|flagAnyAlignment) == flagStrictAlignment,
	}
	if c.kernel, err = kernelOf(opts.Kernel); err != nil {
		return nil, err
	}
	_, c.uninitReads = c.kernel.Has(kernels.UninitStackReads)
	for _, was := range scalarRules {
		if c.kernel.Version() < was.before {
			c.rules = was.rules
		}
	}
	return c, nil
}

// run verifies the program.
func (c *checker) run() error {
	if err := c.prepare(); err != nil {
		return err
	}
	if c.summarisable() {
		if t := c.summarise(); t != nil {
			*c = *t
			return c.mixedTailCalls()
		}
	}
	if err := c.walkAll(); err != nil {
		return err
	}
	return c.mixedTailCalls()
}

// prepare checks what needs no walk.
func (c *checker) prepare() error {
	if err := c.resolve(c.specs); err != nil {
		return err
	}
	if err := c.profile(); err != nil {
		return err
	}
	if err := c.kfuncsAllowed(); err != nil {
		return err
	}
	if err := c.checkMaps(); err != nil {
		return err
	}
	if err := c.checkAttach(); err != nil {
		return err
	}
	return c.structure()
}

// scalarRules are what versions know of numbers, from the newest to the oldest.
var scalarRules = [...]struct {
	before kernels.Version
	rules  scalar.Rules
}{
	{kernels.V(7, 2), scalar.Before72},
	{kernels.V(6, 17), scalar.Before617},
	{kernels.V(6, 10), scalar.Before610},
	{kernels.V(6, 8), scalar.Before68},
	{kernels.V(5, 15), scalar.Before515},
	{kernels.V(5, 7), scalar.Before57},
}

// since reports whether the kernel is at least of a version.
func (c *checker) since(major, minor int) bool { return c.kernel.Version() >= kernels.V(major, minor) }

// kernelOf finds a kernel by the name that [Options].Kernel gives.
func kernelOf(name string) (*kernels.Kernel, error) {
	if name == "" {
		all := kernels.All()
		return all[len(all)-1], nil
	}
	return kernels.Get(name)
}

// resolve finds the maps that the program refers to.
func (c *checker) resolve(specs map[string]*ebpf.MapSpec) error {
	for _, name := range c.img.Maps {
		spec := specs[name]
		if spec == nil {
			spec = c.img.Data[name]
		}
		if spec == nil {
			return fmt.Errorf("program %s: there is no map %q", c.img.Name, name)
		}
		c.maps = append(c.maps, newMap(spec))
	}
	return nil
}
