package kernel

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// explain puts into words why the kernel did not take an object. Where our verifier
// refuses a program as well, for this kernel, the error is its [*verifier.Error]; where it
// does not, and the kernel's did, one that is read from the kernel's log.
func explain(spec *ebpf.CollectionSpec, link program.LinkOptions, needs []Need, refused error) error {
	if err := lacking(refused, needs); err != nil {
		return err
	}
	name := refusedProgram(spec, refused)
	if name == "" { // a map: the programs that use it are refused for it as a whole
		for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
			var whole *verifier.Error
			if err := explainProgram(spec, name, link, nil); errors.As(err, &whole) && whole.Insn < 0 {
				return err
			}
		}
		return explainErrno(refused)
	}
	if link.KernelTypes == nil && !link.NoHostTypes && relocated(spec.Programs[name]) && !hostTells() {
		return fmt.Errorf("program %s finds fields by the kernel's types (CO-RE), and the running kernel does not tell them (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF): name a file that does, with --btf", name)
	}
	var said *ebpf.VerifierError
	if !errors.As(refused, &said) {
		said = new(ebpf.VerifierError)
	}
	if err := explainProgram(spec, name, link, said.Log); err != nil {
		return err
	}
	if lacks := unknownKfunc.FindStringSubmatch(refused.Error()); lacks != nil {
		return fmt.Errorf("program %s calls kernel function %s, which this kernel does not have: declare it __weak and ask with bpf_ksym_exists() to do without%s", name, lacks[1], suggest.Name(lacks[1], hostKfuncs()))
	}
	return explainErrno(refused)
}

// unknownKfunc is how cilium/ebpf says that there is no kernel function of a name.
var unknownKfunc = regexp.MustCompile(`kfunc "(\w+)": not supported`)

// hostKfuncs are the kernel functions that some Linux offers and this one has.
func hostKfuncs() (names []string) {
	types, err := runningTypes.Kernel()
	if err != nil {
		return nil
	}
	for _, f := range kernels.Kfuncs() {
		if hasType[*btf.Func](types, f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// explainProgram says why the kernel refuses a program, with this log; nil: nothing is
// known of it.
func explainProgram(spec *ebpf.CollectionSpec, name string, link program.LinkOptions, log []string) error {
	img, err := program.Link(spec, name, hostLink(link))
	switch {
	case err != nil && len(log) > 0:
		return nil // that is not why
	case err != nil:
		return err
	}
	var told *verifier.Error // by the kernel
	if len(log) > 0 {
		told = verifier.ReadLog(img, log)
	}
	var ours *verifier.Error
	_, err = verifier.CheckImage(img, spec.Maps, &verifier.Options{Kernel: "host", KernelTypes: link.KernelTypes, Lacks: lacks()})
	switch {
	case errors.As(err, &ours) && ours.Cause != verifier.CauseUnsupported:
		ours.AddKernel(told)
		return fmt.Errorf("program %s: %w", name, ours)
	case told != nil && told.Kernel != "": // a log may end without words, as when it was interrupted
		return fmt.Errorf("program %s: %w", name, told)
	}
	return nil
}

// refusedProgram is the program that an error of cilium/ebpf's is about; "": none, or not
// known.
func refusedProgram(spec *ebpf.CollectionSpec, err error) string {
	text := err.Error()
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		if strings.HasPrefix(text, "program "+name+": ") || strings.HasPrefix(text, "loading program "+name+", ") {
			return name
		}
	}
	return ""
}

// relocated reports whether a program has CO-RE relocations.
func relocated(p *ebpf.ProgramSpec) bool {
	return slices.ContainsFunc(p.Instructions, func(ins asm.Instruction) bool { return btf.CORERelocationMetadata(&ins) != nil })
}

// hostTells reports whether the running kernel tells its types.
func hostTells() bool {
	_, err := runningTypes.Kernel()
	return err == nil
}

// hasFunc reports whether the kernel has a function.
func hasFunc(name string) bool {
	_, err := kernelID[*btf.Func](name)
	return err == nil
}

// hostLink links a program as the kernel finds it: with its functions and variables.
func hostLink(link program.LinkOptions) *program.LinkOptions {
	link.HasKfunc = hasFunc
	known := sync.OnceValue(func() []string {
		all, _ := symbols("")
		return all
	})
	link.Ksym = func(name string) (uint64, bool) { return 1, slices.Contains(known(), name) } // any address serves to verify
	return &link
}

// explainErrno says what a refusal means that comes with an error number alone.
func explainErrno(err error) error {
	var said *ebpf.VerifierError
	what, _, _ := strings.Cut(err.Error(), ": load program: ")
	what, _, _ = strings.Cut(what, ": map create: ")
	switch {
	case errors.Is(err, os.ErrPermission) && memoryCounts() && memoryLimit() != unix.RLIM_INFINITY:
		return fmt.Errorf("%s: before 5.11 Linux counts programs and maps as locked memory, of which this process may have %d KiB, and it may not have more without CAP_SYS_RESOURCE: raise the limit (ulimit -l unlimited): %w", what, memoryLimit()>>10, unix.EPERM)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: %s: %w", what, forbidden(err), unix.EPERM)
	case errors.As(err, &said) && len(said.Log) == 0:
		return fmt.Errorf("%w: the kernel refuses it before its verifier looks at it", err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%w: the maps are larger than what memory there is, or than the memory cgroup allows", err)
	}
	return err
}

// memoryCounts reports whether programs and maps count against the limit of locked
// memory in this kernel.
func memoryCounts() bool {
	host, err := kernels.Host()
	return err == nil && host.Version() < kernels.V(5, 11)
}

// memoryLimit is how many bytes this process may lock.
func memoryLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return unix.RLIM_INFINITY
	}
	return limit.Cur
}

// raiseMemoryLimit lifts the limit of locked memory where programs and maps count
// against it. That it cannot is said when the kernel refuses them for it.
func raiseMemoryLimit() {
	if memoryCounts() {
		_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	}
}
