package kernels

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
)

// KfuncFlags are what a kernel function promises and asks, with the kernel's
// numbers (KF_ACQUIRE ..).
type KfuncFlags uint32

// The flags of kernel functions, as linux/btf.h has them.
const (
	KfuncAcquire      KfuncFlags = 1 << iota // gives an object that the program owns
	KfuncRelease                             // takes an object that the program owns
	KfuncRetNull                             // gives a pointer that may be NULL
	KfuncRet                                 // not in use
	KfuncTrustedArgs                         // wants pointers that are surely valid; the rule for all since 7.0
	KfuncSleepable                           // may sleep
	KfuncDestructive                         // wants CAP_SYS_BOOT
	KfuncRCU                                 // is content with pointers that RCU protects
	KfuncIterNew                             // begins an iterator
	KfuncIterNext                            // steps it
	KfuncIterDestroy                         // ends it
	KfuncRCUProtected                        // may be called under the RCU read lock only
	KfuncFastcall                            // spares registers (bpf_fastcall)
	KfuncArenaRet                            // gives a pointer into the arena
	KfuncArenaArg1                           // takes one as its first argument
	KfuncArenaArg2                           // takes one as its second argument
	KfuncImplicitArgs                        // has arguments that the verifier supplies
)

// kfuncFlagNames are the names in the table, a bit each.
var kfuncFlagNames = []string{
	"acquire", "release", "ret_null", "", "trusted_args", "sleepable", "destructive", "rcu", "iter_new", "iter_next",
	"iter_destroy", "rcu_protected", "fastcall", "arena_ret", "arena_arg1", "arena_arg2", "implicit_args",
}

func (f KfuncFlags) String() string {
	var names []string
	for i, name := range kfuncFlagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// Kfunc is a kernel function that programs call by name, as the tables know it,
// in whatever version.
type Kfunc struct {
	Name  string
	Since Version // the first Linux that has it
	forms []kfuncForm
	uses  uses // of all forms
}

// kfuncForm is what a kernel function was over a span of versions.
type kfuncForm struct {
	span
	flags KfuncFlags
}

type kfuncTable struct {
	all    []*Kfunc // in the table's order
	byName map[string]*Kfunc
}

var kfuncs = sync.OnceValue(func() *kfuncTable {
	t := &kfuncTable{byName: map[string]*Kfunc{}}
	sets := map[string]uses{}
	for _, row := range rows("kfuncs.txt") {
		if row[0][0] == '$' {
			sets[row[0]] = must(progs().parseUses(row[1:], span{}, sets))
			continue
		}
		if len(row) < 4 {
			panic(fmt.Sprintf("unreachable: kfuncs.txt: %v: want name, versions, flags, users", row))
		}
		form := kfuncForm{span: must(parseSpan(row[1])), flags: must(parseKfuncFlags(row[2]))}
		f := t.byName[row[0]]
		if f == nil {
			f = &Kfunc{Name: row[0], Since: form.since}
			t.all, t.byName[f.Name] = append(t.all, f), f
		}
		f.forms = append(f.forms, form)
		f.uses = append(f.uses, must(progs().parseUses(row[3:], form.span, sets))...)
	}
	return t
})

// parseKfuncFlags reads "acquire|ret_null"; "-" is none.
func parseKfuncFlags(text string) (KfuncFlags, error) {
	flags := KfuncFlags(0)
	if text == "-" {
		return 0, nil
	}
	for name := range strings.SplitSeq(text, "|") {
		bit := slices.Index(kfuncFlagNames, name)
		if bit < 0 || name == "" {
			return 0, fmt.Errorf("%s: there is no flag of kernel functions of this name", name)
		}
		flags |= 1 << bit
	}
	return flags, nil
}

// Kfuncs gives all kernel functions that some version has.
func Kfuncs() []*Kfunc { return kfuncs().all }

// KfuncByName gives a kernel function; false where no Linux has it.
func KfuncByName(name string) (*Kfunc, bool) {
	f, ok := kfuncs().byName[name]
	return f, ok
}

// Users are the kinds of programs that may call the function in some version.
func (f *Kfunc) Users() []User { return f.uses }

// Flags are the function's flags in a version; false where that has it not.
func (f *Kfunc) Flags(v Version) (KfuncFlags, bool) {
	for _, form := range f.forms {
		if form.has(v) {
			if v >= KfuncArgsTrusted.Since() {
				return form.flags | KfuncTrustedArgs, true
			}
			return form.flags, true
		}
	}
	return 0, false
}

// KfuncFlags are the flags of a kernel function as programs of a type and attach
// type find it; false where they may not call it. Of "any" kernel they are those of
// the last profile that lets them.
func (k *Kernel) KfuncFlags(t ebpf.ProgramType, a ebpf.AttachType, name string) (KfuncFlags, bool) {
	f, known := KfuncByName(name)
	if !known {
		return 0, false
	}
	if _, ok := k.Kfunc(t, a, name); ok {
		return f.Flags(k.version)
	}
	if !k.any {
		return 0, false
	}
	for _, v := range slices.Backward(profiles) {
		if flags, ok := (&Kernel{version: v}).KfuncFlags(t, a, name); ok {
			return flags, true
		}
	}
	return 0, false
}

// HasKfunc reports whether the kernel has a function, whoever may call it: what a
// weak extern finds.
func (k *Kernel) HasKfunc(name string) bool {
	f, known := KfuncByName(name)
	if !known {
		return false
	}
	_, has := f.Flags(k.version)
	if k.host != nil {
		return k.host.kfunc(name, has)
	}
	return has
}

// Kfunc answers for a call of a kernel function from programs of a type and
// attach type.
func (k *Kernel) Kfunc(t ebpf.ProgramType, a ebpf.AttachType, name string) (since Version, ok bool) {
	f, known := KfuncByName(name)
	if !known {
		return 0, false
	}
	since, ok = f.uses.find(k.version, t, a)
	if k.host != nil && ok {
		ok = k.host.kfunc(name, ok)
	}
	return since, ok
}
