package ctxfile_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/ctxfile"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// kernel has the types of a few functions and events.
func kernel(t *testing.T) *btf.Spec {
	t.Helper()
	char := &btf.Int{Name: "char", Size: 1, Encoding: btf.Char}
	number := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	unsigned := &btf.Int{Name: "unsigned int", Size: 4}
	text := &btf.Pointer{Target: char}
	task := &btf.Struct{Name: "task_struct", Size: 32}
	task.Members = []btf.Member{
		{Name: "pid", Type: number},
		{Name: "comm", Type: &btf.Array{Index: unsigned, Type: char, Nelems: 16}, Offset: 32},
		{Name: "parent", Type: &btf.Pointer{Target: task}, Offset: 192},
	}
	file := &btf.Struct{Name: "file", Size: 16, Members: []btf.Member{{Name: "name", Type: text}, {Name: "flags", Type: unsigned, Offset: 64}}}
	seq := &btf.Struct{Name: "seq_file", Size: 8, Members: []btf.Member{{Name: "size", Type: number}}}
	meta := &btf.Struct{Name: "bpf_iter_meta", Size: 8, Members: []btf.Member{{Name: "seq", Type: &btf.Pointer{Target: seq}}}}
	tcp := &btf.Struct{Name: "tcp_sock", Size: 8, Members: []btf.Member{{Name: "sk_mark", Type: unsigned}, {Name: "snd_cwnd", Type: unsigned, Offset: 32}}}
	sock := &btf.Struct{Name: "sock", Size: 4, Members: []btf.Member{{Name: "sk_mark", Type: unsigned}}}
	tcpOps := &btf.Struct{Name: "tcp_congestion_ops", Size: 8, Members: []btf.Member{{Name: "cong_avoid", Type: &btf.Pointer{
		Target: &btf.FuncProto{Return: (*btf.Void)(nil), Params: []btf.FuncParam{{Type: &btf.Pointer{Target: sock}}, {Type: unsigned}}}}}}}
	fn := func(name string, result btf.Type, params ...btf.FuncParam) *btf.Func {
		return &btf.Func{Name: name, Type: &btf.FuncProto{Return: result, Params: params}, Linkage: btf.GlobalFunc}
	}
	return testenv.Types(t,
		fn("bpf_lsm_file_open", number, btf.FuncParam{Name: "file", Type: &btf.Pointer{Target: file}}),
		fn("do_unlinkat", number, btf.FuncParam{Name: "dfd", Type: number}, btf.FuncParam{Name: "name", Type: text}),
		fn("__traceiter_exec", number, btf.FuncParam{Name: "__data", Type: &btf.Pointer{Target: (*btf.Void)(nil)}},
			btf.FuncParam{Name: "p", Type: &btf.Pointer{Target: task}}, btf.FuncParam{Name: "old_pid", Type: number}),
		tcp, tcpOps,
		fn("sched_ext_ops__running", (*btf.Void)(nil), btf.FuncParam{Name: "p__nullable", Type: &btf.Pointer{Target: task}}),
		&btf.Struct{Name: "sched_ext_ops", Size: 8, Members: []btf.Member{{Name: "running", Type: &btf.Pointer{
			Target: &btf.FuncProto{Return: (*btf.Void)(nil), Params: []btf.FuncParam{{Type: &btf.Pointer{Target: task}}}}}}}},
		&btf.Struct{Name: "bpf_iter__task", Size: 16, Members: []btf.Member{
			{Name: "meta", Type: &btf.Pointer{Target: meta}}, {Name: "task", Type: &btf.Pointer{Target: task}, Offset: 64}}},
		&btf.Struct{Name: "trace_event_raw_exec", Size: 16, Members: []btf.Member{
			{Name: "__data_loc_filename", Type: unsigned, Offset: 64}, {Name: "pid", Type: number, Offset: 96}}},
	)
}

// target is a program of a type, attached to something of kernel's.
func target(t *testing.T, prog ebpf.ProgramType, attach ebpf.AttachType, to string) *ctxfile.Target {
	t.Helper()
	typ, err := progtype.ForAttach(prog, attach)
	if err != nil {
		t.Fatal(err)
	}
	return &ctxfile.Target{Type: typ, Attach: attach, AttachTo: to, Kernel: kernel(t)}
}

func parse(t *testing.T, to *ctxfile.Target, text string) *ctxfile.Context {
	t.Helper()
	c, err := ctxfile.Parse("ctx.yaml", []byte(text), to)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var le = binary.LittleEndian

// word is a word of a context.
func word(c *ctxfile.Context, i int) uint64 { return le.Uint64(c.Ctx[8*i:]) }

// textAt is the text at an address.
func textAt(c *ctxfile.Context, addr uint64) string {
	s, _, _ := strings.Cut(string(c.Objects.Readable(addr, false)), "\x00")
	return s
}

func TestArguments(t *testing.T) {
	c := parse(t, target(t, ebpf.Tracing, ebpf.AttachTraceRawTp, "exec"), `
p: {pid: 7, comm: curl, parent: &init}
old_pid: -1
memory:
  - {name: init, type: struct task_struct, value: {pid: 1, parent: "&init"}}
`)
	if len(c.Ctx) != 16 || word(c, 1) != ^uint64(0) {
		t.Errorf("context % x", c.Ctx)
	}
	task := c.Objects.Readable(word(c, 0), false)
	if le.Uint32(task) != 7 || string(task[4:8]) != "curl" {
		t.Errorf("task % x", task)
	}
	parent := c.Objects.Readable(le.Uint64(task[24:]), false)
	if le.Uint32(parent) != 1 || le.Uint64(parent[24:]) != le.Uint64(task[24:]) {
		t.Errorf("parent % x", parent)
	}

	c = parse(t, target(t, ebpf.Tracing, ebpf.AttachTraceFExit, "do_unlinkat"), "dfd: 3\nname: /etc/passwd\nret: -2\n")
	if len(c.Ctx) != 24 || word(c, 0) != 3 || textAt(c, word(c, 1)) != "/etc/passwd" || int64(word(c, 2)) != -2 {
		t.Errorf("context % x", c.Ctx)
	}
	c = parse(t, target(t, ebpf.LSM, ebpf.AttachLSMMac, "file_open"), `{"file": {"name": "x", "flags": 32768}}`)
	if file := c.Objects.Readable(word(c, 0), false); len(file) != 16 || le.Uint32(file[8:]) != 0x8000 {
		t.Errorf("file % x", file)
	}
}

func TestOperations(t *testing.T) {
	c := parse(t, target(t, ebpf.StructOps, ebpf.AttachStructOps, "tcp_congestion_ops:cong_avoid"), "arg1: {snd_cwnd: 10}\narg2: 3\n")
	if socket := c.Objects.Readable(word(c, 0), false); len(socket) != 8 || socket[4] != 10 || word(c, 1) != 3 {
		t.Errorf("context % x, socket % x", c.Ctx, socket)
	}
	if got := c.Changes(); got != nil {
		t.Errorf("nothing ran, and it changed %q", got)
	}
	c = parse(t, target(t, ebpf.StructOps, ebpf.AttachStructOps, "sched_ext_ops:running"), "p: {pid: 5}\n")
	if task := c.Objects.Readable(word(c, 0), false); len(task) == 0 || task[0] != 5 {
		t.Errorf("task % x", task)
	}
}

func TestStructures(t *testing.T) {
	c := parse(t, target(t, ebpf.Tracing, ebpf.AttachTraceIter, "task"), "task: {pid: 5}\n")
	if meta := c.Objects.Readable(word(c, 0), false); len(meta) == 0 || c.Objects.Readable(le.Uint64(meta), false) == nil {
		t.Error("no sequence file")
	}
	if task := c.Objects.Readable(word(c, 1), false); le.Uint32(task) != 5 {
		t.Errorf("task % x", task)
	}
	c = parse(t, target(t, ebpf.TracePoint, 0, "sched/exec"), "__data_loc_filename: ls\npid: 9\n")
	if want := []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x03\x00\x09\x00\x00\x00ls\x00"); !bytes.Equal(c.Ctx, want) {
		t.Errorf("record % x", c.Ctx)
	}
}

func TestRegisters(t *testing.T) {
	c := parse(t, target(t, ebpf.Kprobe, 0, "x"), `
arch: amd64
arg1: 5
rsi: &name
ret: -1
memory:
  - {name: name, type: "char[8]", value: lock}
  - {at: 0x7ffe0000, user: true, string: /etc/passwd}
  - {at: 0xffff888000000000, bytes: "01 02", size: 4}
`)
	if len(c.Ctx) != 168 || word(c, 14) != 5 || textAt(c, word(c, 13)) != "lock" || word(c, 10) != ^uint64(0) {
		t.Errorf("registers % x", c.Ctx)
	}
	var b [5]byte
	if !c.Objects.Read(0x7ffe0000, b[:], true) || string(b[:]) != "/etc/" {
		t.Errorf("user memory: %q", b)
	}
	if c.Objects.Read(0x7ffe0000, b[:], false) || c.Objects.Read(0xffff888000000000, b[:], false) {
		t.Error("reads memory that is not there")
	}
	c = parse(t, target(t, ebpf.Kprobe, 0, "x"), "arch: arm64\narg1: 5\n")
	if len(c.Ctx) != 272 || word(c, 0) != 5 {
		t.Errorf("registers % x", c.Ctx)
	}
}

func TestCurrent(t *testing.T) {
	c := parse(t, target(t, ebpf.Kprobe, 0, "x"), `current: {pid: 9, comm: sh, parent: {pid: 1}}`)
	env := new(exec.Env)
	if err := c.Into(env); err != nil {
		t.Fatal(err)
	}
	task := env.Tasks.Current()
	if task.PID != 9 || task.Comm != "sh" || env.Tasks.At(task.Addr) != task || env.Tasks.Task(9) != task || env.Tasks.Task(1) != nil {
		t.Errorf("task %+v", task)
	}
	if parent := env.Objects.Readable(le.Uint64(env.Objects.Readable(task.Addr, false)[24:]), false); le.Uint32(parent) != 1 {
		t.Errorf("parent % x", parent)
	}
}

func TestAttached(t *testing.T) {
	c := parse(t, target(t, ebpf.Kprobe, 0, "x"), "arg1: 5\nattached: {ip: 0x1000, cookie: 7, return: true, session: 9}\n")
	if want := (exec.Trace{IP: 0x1000, Cookie: 7, Return: true, Session: 9}); c.Trace != want {
		t.Errorf("%+v, want %+v", c.Trace, want)
	}
}

func TestFields(t *testing.T) {
	c := parse(t, target(t, ebpf.CGroupSockAddr, ebpf.AttachCGroupInet6Connect, ""), `
user_family: 10
user_ip6: "2001:db8::1"
user_port: 443
`)
	if c.Ctx[0] != 10 || c.Ctx[8] != 0x20 || c.Ctx[23] != 1 || c.Ctx[24] != 1 || c.Ctx[25] != 187 {
		t.Errorf("context % x", c.Ctx)
	}
	c = parse(t, target(t, ebpf.SchedCLS, 0, ""), "mark: 7\ncb: [1, 2]\n")
	if c.Ctx[8] != 7 || c.Ctx[48] != 1 || c.Ctx[52] != 2 {
		t.Errorf("context % x", c.Ctx)
	}
	xdp := target(t, ebpf.XDP, 0, "")
	xdp.Data = make([]byte, 60)
	if c = parse(t, xdp, "ingress_ifindex: 3\n"); c.Ctx[12] != 3 || c.Ctx[4] != 60 {
		t.Errorf("context % x", c.Ctx)
	}
	if c = parse(t, target(t, ebpf.Syscall, 0, ""), `bytes: "01 02"`); !bytes.Equal(c.Ctx, []byte{1, 2}) {
		t.Errorf("context % x", c.Ctx)
	}
}

func TestErrors(t *testing.T) {
	lsm := func() *ctxfile.Target { return target(t, ebpf.LSM, ebpf.AttachLSMMac, "file_open") }
	for _, c := range []struct {
		to         *ctxfile.Target
		text, want string
	}{
		{lsm(), "file:\n  nam: x\n", "ctx.yaml: line 2: file: struct file has no field nam; did you mean name?"},
		{lsm(), "attached: {coookie: 1}\n", "ctx.yaml: line 1: attached: there is no coookie; did you mean cookie?"},
		{lsm(), "attached: 1\n", "ctx.yaml: line 1: attached: want {ip: .., cookie: .., return: .., session: ..}"},
		{lsm(), "fil: 1\n", "ctx.yaml: line 1: fil: there is no such argument; did you mean file?"},
		{target(t, ebpf.StructOps, ebpf.AttachStructOps, "tcp_congestion_ops:cong_avoid"), "sk: 1\n", "ctx.yaml: line 1: sk: there is no such argument; there is arg1, arg2"},
		{lsm(), "file: &x\n", "ctx.yaml: line 1: file: there is no object named x; there are none"},
		{lsm(), "file: 1\nfile: 2\n", "ctx.yaml: line 2: file is there twice"},
		{lsm(), "- 1\n", "ctx.yaml: line 1: a context is names with values, as in arg1: 5"},
		{lsm(), "file: 1.5\n", "ctx.yaml: line 1: 1.5 is no whole number"},
		{lsm(), "memory:\n - {name: a, type: filee}\n", "ctx.yaml: line 2: memory: there is no type filee"},
		{lsm(), "memory:\n - {nme: a, type: file}\n", "ctx.yaml: line 2: memory: unknown field nme; did you mean name?"},
		{lsm(), "memory:\n - {name: a, type: file, value: {flags: x}}\n", "ctx.yaml: object a: line 2: field flags of struct file: unsigned int: the text \"x\" is no number"},
		{lsm(), "memory:\n - {at: 1, user: maybe, size: 2}\n", "ctx.yaml: line 2: memory: user: maybe is not true or false"},
		{lsm(), "memory:\n - {at: 1}\n", "ctx.yaml: line 2: memory: memory at 0x1 has neither string, bytes nor size"},
		{lsm(), "memory:\n - {at: 1, size: 2}\n - {at: 2, size: 2}\n", "ctx.yaml: memory of 2 bytes at 0x1 and memory at 0x2 overlap"},
		{target(t, ebpf.XDP, 0, ""), "ingres_ifindex: 1\n", "ctx.yaml: line 1: ingres_ifindex: struct xdp_md has no such field; did you mean ingress_ifindex?"},
		{target(t, ebpf.XDP, 0, ""), "data: 1\n", "ctx.yaml: line 1: data: field data is a pointer, which the run sets"},
		{target(t, ebpf.Kprobe, 0, ""), "arch: amd64\nrxx: 1\n", "ctx.yaml: line 2: rxx: amd64 has no such register; arg1 to arg6 and ret stand for those of arguments and result; did you mean rax?"},
		{target(t, ebpf.Syscall, 0, ""), "a: 1\n", "ctx.yaml: the context's type is not known: name it, as in type: my_args, or give bytes"},
		{target(t, ebpf.Tracing, ebpf.AttachTraceFEntry, "other"), "x: 1\n", "ctx.yaml: line 1: x: the arguments' names are not known here; they are arg1 to arg12"},
	} {
		if _, err := ctxfile.Parse("ctx.yaml", []byte(c.text), c.to); err == nil || err.Error() != c.want {
			t.Errorf("%q: %v\nwant %s", c.text, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("file: {name: x}\nmemory: [{name: a, type: file}]\n"))
	f.Add([]byte("arg1: [1, &a x]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		typ, err := progtype.ForAttach(ebpf.LSM, ebpf.AttachLSMMac)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ctxfile.Parse("ctx.yaml", text, &ctxfile.Target{Type: typ, AttachTo: "file_open"})
		if (c == nil) != (err != nil) {
			t.Errorf("%v, %v", c, err)
		}
	})
}
