package kernels

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
)

// Host is the running kernel: the tables of its version, corrected by what it
// says itself of program and map types, helpers and kernel functions. It is asked
// when the answer is wanted, once. Where it does not answer, to who lacks the
// rights for instance, the tables do, and [Kernel.Unanswered] tells of it.
//
// Features, limits and flags of maps go by the version alone. A process has one
// such kernel.
func Host() (*Kernel, error) { return theHost() }

var theHost = sync.OnceValues(func() (*Kernel, error) {
	v, err := running()
	if err != nil {
		return nil, fmt.Errorf("find the running kernel's version: %w", err)
	}
	h := &host{
		types: sync.OnceValues(btf.LoadKernelSpec),
		kinds: map[kind]kindAnswer{}, helpers: map[helperCall]bool{}, unanswered: map[string]bool{},
	}
	h.kfuncs = sync.OnceValues(h.findKfuncs)
	if v < oldest || v > newest {
		h.note(fmt.Sprintf("Linux %s lies outside of the tables, which go from %s to %s", v, oldest, newest))
	}
	return &Kernel{name: "host", version: min(v, newest), host: h}, nil
})

// Unanswered tells, a sentence each, what the running kernel was asked and did
// not answer. It is empty for other kernels.
func (k *Kernel) Unanswered() []string {
	if k.host == nil {
		return nil
	}
	k.host.mu.Lock()
	defer k.host.mu.Unlock()
	return slices.Sorted(maps.Keys(k.host.unanswered))
}

// running is the running kernel's version.
func running() (Version, error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return 0, err
	}
	return ParseVersion(strings.TrimSpace(string(release)))
}

// host asks the running kernel. Each of its methods takes the tables' answer, and
// gives that where the kernel gives none.
type host struct {
	types  func() (*btf.Spec, error)
	kfuncs func() (map[string]bool, error)

	mu         sync.Mutex // protects what follows
	kinds      map[kind]kindAnswer
	helpers    map[helperCall]bool
	unanswered map[string]bool
}

// kindAnswer is a kind of programs that can be loaded, or the reason why not.
type kindAnswer struct {
	kind kind
	err  error
}

type helperCall struct {
	prog   ebpf.ProgramType
	attach ebpf.AttachType
	id     uint32
}

func (h *host) note(sentence string) { h.unanswered[sentence] = true }

func (h *host) progType(t ebpf.ProgramType, table bool) bool {
	return h.feature("programs of type "+ProgName(t), features.HaveProgramType(t), table)
}

func (h *host) mapType(t ebpf.MapType, table bool) bool {
	return h.feature("maps of type "+MapName(t), features.HaveMapType(t), table)
}

// feature judges the result of a probe.
func (h *host) feature(of string, err error, table bool) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, ebpf.ErrNotSupported):
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(fmt.Sprintf("%s: %v", of, err))
	return table
}

func (h *host) helper(t ebpf.ProgramType, a ebpf.AttachType, id uint32, table bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	call := helperCall{t, a, id}
	if offered, asked := h.helpers[call]; asked {
		return offered
	}
	answer := h.prepare(kind{prog: t, attach: a})
	if err := answer.err; err != nil {
		answer = h.prepare(kind{prog: t, attach: a, sleepable: true}) // some types must
		if answer.err != nil {
			h.note(fmt.Sprintf("helpers of %v programs: %v", kind{prog: t, attach: a}, err))
			return table
		}
	}
	offered, _ := answer.kind.call(id)
	h.helpers[call] = offered
	return offered
}

// prepare prepares a kind of programs once.
func (h *host) prepare(k kind) kindAnswer {
	answer, ok := h.kinds[k]
	if ok {
		return answer
	}
	answer.kind = k
	var types *btf.Spec
	if target(k.prog, k.attach) != "" {
		types, answer.err = h.types()
	}
	if answer.err == nil {
		answer.err = answer.kind.prepare(types)
	}
	h.kinds[k] = answer
	return answer
}

func (h *host) kfunc(name string, table bool) bool {
	names, err := h.kfuncs()
	if err != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.note(fmt.Sprintf("kernel functions: %v", err))
		return table
	}
	return names[name]
}

// findKfuncs collects the kernel functions that the kernel's types and those of
// the loaded modules name.
func (h *host) findKfuncs() (map[string]bool, error) {
	types, err := h.types()
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for name := range kfuncsIn(types) {
		names[name] = true
	}
	if len(names) == 0 {
		return nil, errors.New("the kernel's types do not mark them")
	}
	modules, err := os.ReadDir("/sys/kernel/btf")
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		if m.Name() == "vmlinux" {
			continue
		}
		types, err := btf.LoadKernelModuleSpec(m.Name())
		if err != nil {
			return nil, fmt.Errorf("read the types of module %s: %w", m.Name(), err)
		}
		for name := range kfuncsIn(types) {
			names[name] = true
		}
	}
	return names, nil
}
