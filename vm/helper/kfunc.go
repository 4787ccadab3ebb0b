package helper

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
)

// Flags are what the kernel knows of a kernel function besides its types.
type Flags uint8

// The flags.
const (
	Acquire Flags = 1 << iota // the result is the program's to give back (KF_ACQUIRE)
	Release                   // ends the loan or ownership of an argument (KF_RELEASE)
	RetNull                   // the result may be NULL (KF_RET_NULL)
)

// Slot is a kind of object that lies on a program's stack and is the machine's
// to change.
type Slot uint8

// The kinds.
const (
	SlotDynptr        Slot = iota + 1 // struct bpf_dynptr
	SlotIterNum                       // struct bpf_iter_num
	SlotIterBits                      // struct bpf_iter_bits
	SlotIRQFlag                       // unsigned long, of bpf_local_irq_save
	SlotIterTask                      // struct bpf_iter_task
	SlotIterCSS                       // struct bpf_iter_css
	SlotIterCSSTask                   // struct bpf_iter_css_task
	SlotIterVMA                       // struct bpf_iter_task_vma
	SlotIterDSQ                       // struct bpf_iter_scx_dsq
	SlotIterKmemCache                 // struct bpf_iter_kmem_cache
	SlotIterDMABuf                    // struct bpf_iter_dmabuf
)

var slots = [...]struct {
	name string
	size uintptr
}{
	SlotDynptr:   {"bpf_dynptr", 16},
	SlotIterNum:  {"bpf_iter_num", 8},
	SlotIterBits: {"bpf_iter_bits", 16},
	SlotIRQFlag:  {"flag of bpf_local_irq_save", 8},

	SlotIterTask:    {"bpf_iter_task", 24},
	SlotIterCSS:     {"bpf_iter_css", 24},
	SlotIterCSSTask: {"bpf_iter_css_task", 8},
	SlotIterVMA:     {"bpf_iter_task_vma", 8},
	SlotIterDSQ:     {"bpf_iter_scx_dsq", 48},

	SlotIterKmemCache: {"bpf_iter_kmem_cache", 8},
	SlotIterDMABuf:    {"bpf_iter_dmabuf", 8},
}

// Size is how many bytes of the stack one takes.
func (k Slot) Size() uintptr { return slots[k].size }

func (k Slot) String() string { return slots[k].name }

var kfuncs = map[string]*Helper{}

// registerKfuncs adds kernel functions to the table; each family's file calls it
// from init.
func registerKfuncs(since string, fs ...*Helper) {
	for _, f := range fs {
		if kfuncs[f.Name] != nil {
			panic(fmt.Sprintf("kernel function %s is there twice", f.Name))
		}
		if f.Since == "" {
			f.Since = since
		}
		kfuncs[f.Name] = f
	}
}

// only restricts kernel functions to program types.
func only(types []ebpf.ProgramType, fs ...*Helper) []*Helper {
	for _, f := range fs {
		f.Types = types
	}
	return fs
}

// Kfunc gives a kernel function by its name, or nil where the machine does not
// have it. A suffix behind three underscores is the program's own, as for
// libbpf, where it is not Linux's.
func Kfunc(name string) *Helper {
	if f := kfuncs[name]; f != nil {
		return f
	}
	if i := strings.LastIndex(name, "___"); i > 0 {
		return kfuncs[name[:i]]
	}
	return nil
}

// Kfuncs gives every kernel function of the machine in the order of their names.
func Kfuncs() []*Helper {
	all := make([]*Helper, 0, len(kfuncs))
	for _, f := range kfuncs {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *Helper) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Sets of program types, as the kernel registers kernel functions for them.
// Functions without one are for all types.
var (
	kfuncsTracing = []ebpf.ProgramType{ebpf.Tracing, ebpf.TracePoint, ebpf.RawTracepoint, ebpf.PerfEvent, ebpf.LSM,
		ebpf.StructOps, ebpf.Syscall}
	kfuncsGeneric = append([]ebpf.ProgramType{ebpf.SchedCLS, ebpf.XDP, ebpf.CGroupSKB, ebpf.CGroupSock,
		ebpf.CGroupDevice, ebpf.CGroupSockAddr, ebpf.CGroupSockopt, ebpf.CGroupSysctl, ebpf.SockOps}, kfuncsTracing...)
	kfuncsXDP = []ebpf.ProgramType{ebpf.XDP}
	kfuncsSKB = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.SocketFilter, ebpf.CGroupSKB, ebpf.SkSKB,
		ebpf.LWTIn, ebpf.LWTOut, ebpf.LWTXmit, ebpf.LWTSeg6Local, ebpf.Netfilter}
)

// gives notes where a pointer to an object comes from, and gives it.
func gives(s *exec.State, addr uintptr) uint64 {
	if addr != 0 && s.Checked {
		s.RetProv = s.ProvOf(addr)
	}
	return uint64(addr)
}

// truth is a bool as a result.
func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
