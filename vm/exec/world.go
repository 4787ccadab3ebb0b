package exec

import (
	"strconv"
	"strings"
)

// What lies around the machine is asked of small interfaces: an embedder answers
// from its own knowledge, vm/world from a file. A nil one knows nothing, and the
// helpers that ask then give what Linux gives where there is nothing.

// Tasks answers what helpers ask of processes and their threads.
type Tasks interface {
	// Current is the task that the program runs in; nil: none, as in a packet's
	// way through the kernel.
	Current() *Task
	// Task is a thread by its number, or nil.
	Task(pid uint32) *Task
	// At is the thread whose [Task.Addr] an address is, or nil.
	At(addr uint64) *Task
	// All are the threads that there are, each process's first one before its
	// others.
	All() []*Task
}

// Task is a thread of a process.
type Task struct {
	PID, TGID uint32 // the thread's number and its process's
	PPID      uint32 // number of the process that started it
	UID, GID  uint32
	Comm      string // at most 15 bytes are seen
	Cgroup    uint64 // id of its cgroup
	ClassID   uint32 // of its net_cls cgroup; 0: none
	PIDNS     PIDNamespace
	// Addr is the address of its struct task_struct. Where Env.Objects has none
	// there, programs find zeros in it.
	Addr uint64
	// Regs is the address of its user-space registers in Env.Objects; 0: none.
	Regs uint64
	// Exe is the name of the file that its process executes; "": none.
	Exe string
	// KernelStack and UserStack are the return addresses, the innermost first.
	KernelStack, UserStack []uint64
	// Areas are its mappings of memory by their addresses; none: a thread of the
	// kernel's, which has no memory of its own.
	Areas []MemoryArea
}

// NoTaskStruct is an address for a thread that no object describes: not NULL, and
// not any memory's.
func NoTaskStruct(pid uint32) uint64 { return 0xffff_8880_0000_0000 + uint64(pid)<<12 }

// NoAreaStruct is the same for the n-th mapping of a process's memory.
func NoAreaStruct(tgid uint32, n int) uint64 {
	return 0xffff_9880_0000_0000 + uint64(tgid)<<24 + uint64(n)<<8
}

// NoCgroupStruct is the same for a cgroup.
func NoCgroupStruct(id uint64) uint64 { return 0xffff_a880_0000_0000 + id<<12 }

// exeFiles is where addresses of struct file begin that no object describes: one
// for the executable file of each process, filePage bytes apart.
const (
	exeFiles = 0xffff_c880_0000_0000
	filePage = 1 << 12
)

// ExeFile is an address for the struct file of the task's executable file.
func (t *Task) ExeFile() uint64 { return exeFiles + uint64(t.TGID)*filePage }

// ExeFileOf gives the process in the struct file of whose executable file an
// address lies.
func ExeFileOf(addr uint64) (tgid uint32, ok bool) {
	n := (addr - exeFiles) / filePage
	return uint32(n), addr >= exeFiles && n == uint64(uint32(n))
}

// PIDNamespace is a task's innermost PID namespace and its numbers there.
type PIDNamespace struct {
	Dev, Ino  uint64 // of /proc/PID/ns/pid
	PID, TGID uint32
}

// MemoryArea is one mapping of a process: start up to end.
type MemoryArea struct {
	Start, End uint64
	Addr       uint64 // of its struct vm_area_struct, in Env.Objects or not
}

// Cgroups answers what helpers ask of control groups.
type Cgroups interface {
	// Parent gives the cgroup above another, 0 for the root, and whether there is
	// a cgroup with this id.
	Parent(id uint64) (parent uint64, ok bool)
	// Children are the cgroups right below another, in a fixed order.
	Children(id uint64) []uint64
	// Addr is the address of a cgroup's struct cgroup, not 0; where Env.Objects has
	// none there, programs find zeros in it. At is the other way round: the id, or
	// 0 where no cgroup has the address.
	Addr(id uint64) uint64
	At(addr uint64) uint64
	// Xattr gives an extended attribute by its name, such as "user.note".
	Xattr(id uint64, name string) (value string, ok bool)
}

// Ancestor is the cgroup at a level above another or itself, where the root has
// level 0; 0: there is none.
func Ancestor(c Cgroups, id uint64, level int) uint64 {
	const deepest = 1 << 10 // more than Linux allows; ends what leads in a circle
	var path []uint64
	for id != 0 && c != nil && len(path) < deepest {
		parent, ok := c.Parent(id)
		if !ok {
			return 0
		}
		path = append(path, id)
		id = parent
	}
	if level < 0 || level >= len(path) {
		return 0
	}
	return path[len(path)-1-level]
}

// Trace is what a traced program knows beside its context: where it is attached,
// and what it was told there.
type Trace struct {
	IP     uint64 // address of the traced function (bpf_get_func_ip)
	Cookie uint64 // of the attachment (bpf_get_attach_cookie)
	// Args is how many words of the context are the function's arguments, and
	// HasRet says that its result follows.
	Args   int
	HasRet bool
	// Return says that a session's program runs as its function returns, and Session
	// is the number that its runs at the entry and the return share.
	Return  bool
	Session uint64
	// Retval is what the system call returns that a program of a cgroup judges, where
	// the context does not say it.
	Retval int32
}

// Measurement is the hash of a file, as the kernel's integrity measurements keep it.
type Measurement struct {
	Algorithm uint32 // HASH_ALGO_* of linux/hash_info.h
	Digest    []byte
}

// Sysctl is a setting that a process reads or writes, as programs see it.
type Sysctl struct {
	Name  string // "net/ipv4/ip_forward"
	Value string // before
	New   string // that is being written
}

// Effect is something that a program did to the world around it. The machine
// notes it and does nothing.
type Effect struct {
	What string // the helper's name without bpf_: "send_signal"
	Args [4]uint64
	Text string
	// List is the arguments as they are shown, in place of Args and Text.
	List string
}

// String is the effect as a call: "send_signal(9, 1200)". Arguments at the end that
// are 0 are left away.
func (e Effect) String() string {
	if e.List != "" {
		return e.What + "(" + e.List + ")"
	}
	n := len(e.Args)
	for n > 0 && e.Args[n-1] == 0 {
		n--
	}
	var args []string
	for _, a := range e.Args[:n] {
		args = append(args, strconv.FormatInt(int64(a), 10))
	}
	if e.Text != "" {
		args = append(args, strconv.Quote(e.Text))
	}
	return e.What + "(" + strings.Join(args, ", ") + ")"
}

// Act notes an effect of this run.
func (s *State) Act(what string, args ...uint64) {
	e := Effect{What: what}
	copy(e.Args[:], args)
	s.Effects = append(s.Effects, e)
}

// ActOn notes an effect that a text tells.
func (s *State) ActOn(what, text string) {
	s.Act(what)
	s.Effects[len(s.Effects)-1].Text = text
}
