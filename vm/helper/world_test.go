package helper_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/internal/oracle"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
	"github.com/skep-ebpf/skep/vm/world"
)

const aWorld = `
current:
  pid: 101
  socket: client
  counter: {value: 7, enabled: 9, running: 8}
  branches: [{from: 0x10, to: 0x20, mispred: true, cycles: 3}, {from: 0x30, to: 0x40, predicted: true, type: 2}]
counters:
- {map: cycles, index: 0, value: 100, step: 5, enabled: 9, running: 8}
processes:
- pid: 100
  comm: nginx
  uid: 33
  gid: 34
  cgroup: /a/b
  pid_namespace: {dev: 4, ino: 99, pid: 7}
  threads: [{pid: 101, comm: worker, user_stack: [1, 2, 3], kernel_stack: [10, 11]}]
cgroups:
- {path: /a, id: 5}
- {path: /a/b, id: 6, classid: 77}
sockets:
- {name: listener, proto: tcp, local: "10.0.0.1:80"}
- {name: client, proto: tcp, local: "10.0.0.1:80", remote: "10.0.0.9:5555", uid: 33, cookie: 4242, cgroup: /a/b, tcp: {snd_cwnd: 10}}
sysctl: {name: net/ipv4/ip_forward, value: "0", new: "1"}
paths: {0x1000: /etc/passwd}
measurements: {0x5000: "md5:000102030405060708090a0b0c0d0e0f"}
symbols: {bpf_fentry_test1: 0xffffffff81000000}
`

// inWorld is a state in a world, set up for a program type.
func inWorld(t *testing.T, typ ebpf.ProgramType, ctx []byte) *exec.State {
	t.Helper()
	w, err := world.Parse("world.yaml", []byte(aWorld))
	if err != nil {
		t.Fatal(err)
	}
	s := oracle.State(t)
	s.Env = new(exec.Env).Defaults()
	w.Into(s.Env)
	pt, err := progtype.Get(typ)
	if err != nil {
		t.Fatal(err)
	}
	var packet []byte
	if typ == ebpf.SchedCLS {
		packet = make([]byte, 64)
		packet[12] = 8
		packet[14] = 0x45
	}
	if err := pt.Setup(s, &progtype.Input{Ctx: ctx, Data: packet}); err != nil {
		t.Fatal(err)
	}
	pt.EnterSocket(s, s.Env.Sockets.Current())
	return s
}

// call calls a helper by its name.
func call(t *testing.T, s *exec.State, name string, args ...uint64) uint64 {
	t.Helper()
	for _, h := range helper.All() {
		if h.Name == name {
			args = append(args, make([]uint64, 5)...)
			return h.Func(s, args[0], args[1], args[2], args[3], args[4])
		}
	}
	t.Fatalf("there is no helper %s", name)
	return 0
}

func addr(b []byte) uint64 { return uint64(exec.Addr(b)) }

func TestTasks(t *testing.T) {
	s := inWorld(t, ebpf.Kprobe, nil)
	buf, _ := s.Lend(64)
	task := call(t, s, "bpf_get_current_task_btf")
	for _, tt := range []struct {
		name string
		args []uint64
		want uint64
	}{
		{"bpf_get_current_pid_tgid", nil, 100<<32 | 101},
		{"bpf_get_current_uid_gid", nil, 34<<32 | 33},
		{"bpf_get_cgroup_classid", nil, 77},
		{"bpf_get_current_cgroup_id", nil, 6},
		{"bpf_get_current_ancestor_cgroup_id", []uint64{1}, 5},
		{"bpf_get_current_ancestor_cgroup_id", []uint64{4}, 0},
		{"bpf_get_current_task", nil, task},
		{"bpf_get_ns_current_pid_tgid", []uint64{4, 99, addr(buf), 8}, 0},
		{"bpf_get_ns_current_pid_tgid", []uint64{4, 98, addr(buf), 8}, errno.EINVAL.Ret()},
		{"bpf_get_current_comm", []uint64{addr(buf), 16}, 0},
		{"bpf_get_stack", []uint64{0, addr(buf), 16, 1 << 8}, 16},
		{"bpf_get_stack", []uint64{0, addr(buf), 64, 1<<8 | 1}, 16},
		{"bpf_get_stack", []uint64{0, addr(buf), 64, 3}, errno.EFAULT.Ret()},
		{"bpf_get_stack", []uint64{0, addr(buf), 63, 0}, errno.EINVAL.Ret()},
		{"bpf_get_stack", []uint64{0, addr(buf), 64, 1 << 20}, errno.EINVAL.Ret()},
		{"bpf_get_task_stack", []uint64{task, addr(buf), 64, 0}, 16},
		{"bpf_get_task_stack", []uint64{1, addr(buf), 64, 0}, errno.EFAULT.Ret()},
		{"bpf_find_vma", []uint64{task, 0x1000, 0, 0, 1}, errno.EINVAL.Ret()},
		{"bpf_find_vma", []uint64{task, 0x1000, 0, 0, 0}, errno.ENOENT.Ret()},
		{"bpf_send_signal", []uint64{9}, 0},
		{"bpf_send_signal", []uint64{65}, errno.EINVAL.Ret()},
		{"bpf_d_path", []uint64{0x1000, addr(buf), 12}, 12},
		{"bpf_d_path", []uint64{0x1000, addr(buf), 11}, errno.ENAMETOOLONG.Ret()},
		{"bpf_d_path", []uint64{0x2000, addr(buf), 11}, errno.ENOENT.Ret()},
		{"bpf_ima_file_hash", []uint64{0x5000, addr(buf), 64}, 1},
		{"bpf_ima_inode_hash", []uint64{0x5000, addr(buf), 4}, 1},
		{"bpf_ima_inode_hash", []uint64{0x5001, addr(buf), 64}, errno.EOPNOTSUPP.Ret()},
		{"bpf_ima_inode_hash", []uint64{0, addr(buf), 64}, errno.EINVAL.Ret()},
		{"bpf_override_return", []uint64{0, 5}, 0},
	} {
		if got := call(t, s, tt.name, tt.args...); got != tt.want {
			t.Errorf("%s(%x) = %d, want %d", tt.name, tt.args, int64(got), int64(tt.want))
		}
	}
	want := []exec.Effect{
		{What: "send_signal", Args: [4]uint64{9, 101}}, {What: "override_return", Args: [4]uint64{5}},
	}
	if diff := cmp.Diff(want, s.Effects); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	clear(buf)
	call(t, s, "bpf_ima_file_hash", 0x5000, addr(buf), 5)
	if got := buf[:8]; !bytes.Equal(got, []byte{0, 1, 2, 3, 4, 0, 0, 0}) {
		t.Errorf("the hash in 5 bytes is %x", got)
	}
	call(t, s, "bpf_get_current_comm", addr(buf), 5)
	if got := string(buf[:5]); got != "work\x00" {
		t.Errorf("the name in 5 bytes is %q", got)
	}
}

// words is memory as numbers of 8 bytes.
func words(b []byte) (all []uint64) {
	for ; len(b) > 0; b = b[8:] {
		all = append(all, binary.LittleEndian.Uint64(b))
	}
	return all
}

func TestCounters(t *testing.T) {
	s := inWorld(t, ebpf.PerfEvent, nil)
	array, err := maps.New(&ebpf.MapSpec{Name: "cycles", Type: ebpf.PerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 2}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer array.Close()
	m := uint64(array.Info().Handle)
	buf, _ := s.Lend(64)
	for _, tt := range []struct {
		name string
		args []uint64
		want uint64
		read []uint64 // from the buffer
	}{
		{"bpf_perf_event_read", []uint64{m, 0}, 100, nil},
		{"bpf_perf_event_read", []uint64{m, 1}, errno.ENOENT.Ret(), nil},
		{"bpf_perf_event_read_value", []uint64{m, 0, addr(buf), 24}, 0, []uint64{105, 9, 8}},
		{"bpf_perf_event_read_value", []uint64{m, 1, addr(buf), 24}, errno.ENOENT.Ret(), []uint64{0, 0, 0}},
		{"bpf_perf_event_read", []uint64{m, 1<<32 - 1}, 110, nil},
		{"bpf_perf_event_output", []uint64{0, m, 0, addr(buf), 8}, errno.EINVAL.Ret(), nil},
		{"bpf_perf_prog_read_value", []uint64{0, addr(buf), 24}, 0, []uint64{7, 9, 8}},
		{"bpf_perf_prog_read_value", []uint64{0, addr(buf), 16}, errno.EINVAL.Ret(), []uint64{0, 0, 8}},
		{"bpf_read_branch_records", []uint64{0, 0, 0, 1}, 48, nil},
		{"bpf_read_branch_records", []uint64{0, 0, 0, 2}, errno.EINVAL.Ret(), nil},
		{"bpf_read_branch_records", []uint64{0, 0, 0, 0}, errno.EINVAL.Ret(), nil},
		{"bpf_read_branch_records", []uint64{0, addr(buf), 25, 0}, errno.EINVAL.Ret(), nil},
		{"bpf_read_branch_records", []uint64{0, addr(buf), 24, 0}, 24, []uint64{0x10, 0x20, 3<<4 | 1, 0}},
		{"bpf_read_branch_records", []uint64{0, addr(buf), 48, 0}, 48, []uint64{0x10, 0x20, 3<<4 | 1, 0x30, 0x40, 2<<20 | 2}},
		{"bpf_get_branch_snapshot", []uint64{addr(buf), 47, 0}, 24, []uint64{0x10, 0x20, 3<<4 | 1}},
		{"bpf_get_branch_snapshot", []uint64{addr(buf), 64, 0}, 48, []uint64{0x10, 0x20, 3<<4 | 1, 0x30, 0x40, 2<<20 | 2}},
		{"bpf_get_branch_snapshot", []uint64{addr(buf), 24, 1}, errno.EINVAL.Ret(), nil},
		{"bpf_get_branch_snapshot", []uint64{addr(buf), 23, 0}, errno.ENOENT.Ret(), nil},
	} {
		if got := call(t, s, tt.name, tt.args...); got != tt.want {
			t.Errorf("%s(%x) = %d, want %d", tt.name, tt.args, int64(got), int64(tt.want))
		}
		if diff := cmp.Diff(tt.read, words(buf[:8*len(tt.read)])); diff != "" {
			t.Errorf("%s(%x) reads (-want +got):\n%s", tt.name, tt.args, diff)
		}
		clear(buf[24:48])
	}
}

// TestNamespaces: a program in a network namespace finds what lies there.
func TestNamespaces(t *testing.T) {
	w, err := world.Parse("world.yaml", []byte(`
interfaces:
- {index: 1, name: blue0, netns: 2}
- {index: 2, name: blue1, netns: 2, mtu: 1400}
- {index: 3, name: eth0}
sockets:
- {name: here, proto: tcp, local: "0.0.0.0:80", interface: blue0}
- {name: first, proto: tcp, local: "0.0.0.0:81"}
`))
	if err != nil {
		t.Fatal(err)
	}
	s := inWorld(t, ebpf.SchedCLS, nil)
	w.Into(s.Env)
	buf, _ := s.Lend(16)
	for ifindex, want := range map[uint64]uint64{1: 0, 2: 0, 3: errno.ENODEV.Ret(), 9: errno.ENODEV.Ret()} {
		clear(buf)
		if got := call(t, s, "bpf_check_mtu", uint64(s.Ctx()), ifindex, addr(buf), 0, 0); got != want {
			t.Errorf("the MTU of interface %d: %d, want %d", ifindex, int64(got), int64(want))
		}
	}
	for _, tt := range []struct {
		port  byte
		netns uint64
		found bool
	}{{80, 1<<64 - 1, true}, {81, 1<<64 - 1, false}, {81, 0, true}, {80, 2, true}, {80, 3, false}} {
		clear(buf)
		buf[11] = tt.port
		if got := call(t, s, "bpf_skc_lookup_tcp", uint64(s.Ctx()), addr(buf), 12, tt.netns, 0); (got != 0) != tt.found {
			t.Errorf("port %d in namespace %d: %#x", tt.port, int64(tt.netns), got)
		}
	}
}

func TestTrampoline(t *testing.T) {
	s := inWorld(t, ebpf.Tracing, bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 4))
	out, _ := s.Lend(8)
	if got := call(t, s, "bpf_get_func_arg_cnt"); got != 3 {
		t.Errorf("%d arguments, want 3", got)
	}
	if got := call(t, s, "bpf_get_func_arg", 0, 2, addr(out)); got != 0 || out[0] != 1 {
		t.Errorf("argument 2: %d, %x", got, out)
	}
	if got := call(t, s, "bpf_get_func_arg", 0, 3, addr(out)); got != errno.EINVAL.Ret() {
		t.Errorf("argument 3: %d", int64(got))
	}
	if got := call(t, s, "bpf_get_func_ret", 0, addr(out)); got != errno.EOPNOTSUPP.Ret() {
		t.Errorf("the result before the function ran: %d", int64(got))
	}
	s.Trace = exec.Trace{HasRet: true, Cookie: 7, IP: 8}
	if got := call(t, s, "bpf_get_func_ret", 0, addr(out)); got != 0 || out[0] != 1 {
		t.Errorf("the result: %d, %x", int64(got), out)
	}
	if a, b := call(t, s, "bpf_get_attach_cookie"), call(t, s, "bpf_get_func_ip"); a != 7 || b != 8 {
		t.Errorf("cookie %d, address %d", a, b)
	}
}

func TestSysctl(t *testing.T) {
	s := inWorld(t, ebpf.CGroupSysctl, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	buf, _ := s.Lend(64)
	for _, tt := range []struct {
		name string
		args []uint64
		want uint64
		text string
	}{
		{"bpf_sysctl_get_name", []uint64{0, addr(buf), 64, 0}, 19, "net/ipv4/ip_forward"},
		{"bpf_sysctl_get_name", []uint64{0, addr(buf), 64, 1}, 10, "ip_forward"},
		{"bpf_sysctl_get_name", []uint64{0, addr(buf), 4, 1}, errno.E2BIG.Ret(), "ip_"},
		{"bpf_sysctl_get_current_value", []uint64{0, addr(buf), 8}, 2, "0\n"},
		{"bpf_sysctl_get_new_value", []uint64{0, addr(buf), 8}, 1, "1"},
		{"bpf_sysctl_set_new_value", []uint64{0, addr(buf), 8}, 0, "1"},
	} {
		got := call(t, s, tt.name, tt.args...)
		text, _, _ := bytes.Cut(buf, []byte{0})
		if got != tt.want || string(text) != tt.text {
			t.Errorf("%s(%x) = %d, %q; want %d, %q", tt.name, tt.args, int64(got), text, int64(tt.want), tt.text)
		}
	}
	if diff := cmp.Diff([]exec.Effect{{What: "sysctl_set_new_value", Text: "1"}}, s.Effects); diff != "" {
		t.Error(diff)
	}
}

func TestSocketOptions(t *testing.T) {
	s := inWorld(t, ebpf.SockOps, nil)
	buf, _ := s.Lend(16)
	ctx := uint64(s.Ctx())
	buf[0] = 9
	const socket, mark, tcp, congestion = 1, 36, 6, 13
	if got := call(t, s, "bpf_setsockopt", ctx, socket, mark, addr(buf), 4); got != 0 {
		t.Errorf("set SO_MARK: %d", int64(got))
	}
	if k := s.Env.Sockets.Current(); k.Mark != 9 {
		t.Errorf("mark %d", k.Mark)
	}
	copy(buf, "bbr\x00")
	if got := call(t, s, "bpf_setsockopt", ctx, tcp, congestion, addr(buf), 4); got != 0 {
		t.Errorf("set TCP_CONGESTION: %d", int64(got))
	}
	clear(buf)
	if got := call(t, s, "bpf_getsockopt", ctx, tcp, congestion, addr(buf), 16); got != 0 || string(buf[:4]) != "bbr\x00" {
		t.Errorf("get TCP_CONGESTION: %d, %q", int64(got), buf)
	}
	if got := call(t, s, "bpf_setsockopt", ctx, 99, 1, addr(buf), 4); got != errno.EINVAL.Ret() {
		t.Errorf("an unknown level: %d", int64(got))
	}
	if got := call(t, s, "bpf_getsockopt", ctx, socket, mark, addr(buf), 2); got != errno.EINVAL.Ret() {
		t.Errorf("half an int: %d", int64(got))
	}
	if got := call(t, s, "bpf_get_socket_cookie", ctx); got != 4242 {
		t.Errorf("cookie %d", got)
	}
}

// TestSocketFaults runs programs that treat sockets as they must not.
func TestSocketFaults(t *testing.T) {
	tuple := onStack(-16, []byte{10, 0, 0, 9, 10, 0, 0, 1, 0x15, 0xb3, 0, 80})
	lookup := func() asm.Instructions {
		return append(calling(asm.FnSkLookupTcp, ctxArg{}, stackArg(-16), 12, -1, 0),
			asm.JNE.Imm(asm.R0, 0, "found"), asm.Return(), asm.Mov.Reg(asm.R7, asm.R0).WithSymbol("found"))
	}
	release := func() asm.Instructions { return calling(asm.FnSkRelease, asm.R7) }
	exit := asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	tests := map[string]struct {
		insns asm.Instructions
		want  string // "": no fault
	}{
		"released":      {join(tuple, lookup(), release(), exit), ""},
		"not released":  {join(tuple, lookup(), exit), "bpf_sk_lookup_tcp"},
		"twice":         {join(tuple, lookup(), release(), release(), exit), "R1 (argument 1 of bpf_sk_release) points to a socket that was released"},
		"used after":    {join(tuple, lookup(), release(), asm.Instructions{asm.LoadMem(asm.R0, asm.R7, 4, asm.Word)}, exit), "socket that was released"},
		"behind":        {join(tuple, lookup(), asm.Instructions{asm.LoadMem(asm.R0, asm.R7, 80, asm.Word)}, release(), exit), "may reach 80 bytes"},
		"written":       {join(tuple, lookup(), asm.Instructions{asm.StoreMem(asm.R7, 16, asm.R7, asm.Word)}, release(), exit), "may not write"},
		"not a socket":  {join(calling(asm.FnSkRelease, stackArg(-16)), exit), "is not a socket"},
		"NULL":          {join(calling(asm.FnSkRelease, nullArg{}), exit), "is NULL, not a socket"},
		"derived, used": {join(tuple, lookup(), calling(asm.FnTcpSock, asm.R7), asm.Instructions{asm.Mov.Reg(asm.R8, asm.R0)}, release(), asm.Instructions{asm.LoadMem(asm.R0, asm.R8, 0, asm.Word)}, exit), "socket that was released"},
		"the context's": {join(asm.Instructions{asm.LoadMem(asm.R7, asm.R6, 168, asm.DWord)}, release(), exit), "is a socket that the program need not release"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := inWorld(t, ebpf.SchedCLS, nil)
			packet := make([]byte, 64)
			packet[12], packet[14] = 8, 0x45
			run := oracle.Run{Type: ebpf.SchedCLS, Data: packet, Insns: tt.insns}
			err := run.Machine(t, s, engine.Checked).Err
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	const text = "0123456789"
	for _, tt := range []struct {
		name          string
		args          []uint64
		want          uint64
		message, seen string
	}{
		{"bpf_msg_pull_data", []uint64{0, 2, 5, 0}, 0, text, "234"},
		{"bpf_msg_pull_data", []uint64{0, 5, 5, 0}, errno.EINVAL.Ret(), text, text},
		{"bpf_msg_pull_data", []uint64{0, 2, 11, 0}, errno.EINVAL.Ret(), text, text},
		{"bpf_msg_push_data", []uint64{0, 4, 2, 0}, 0, "0123\x00\x00456789", "0123\x00\x00456789"},
		{"bpf_msg_push_data", []uint64{0, 10, 1, 0}, 0, text + "\x00", text + "\x00"},
		{"bpf_msg_push_data", []uint64{0, 11, 1, 0}, errno.EINVAL.Ret(), text, text},
		{"bpf_msg_push_data", []uint64{0, 0, 1 << 30, 0}, errno.ENOMEM.Ret(), text, text},
		{"bpf_msg_pop_data", []uint64{0, 1, 8, 0}, 0, "09", "09"},
		{"bpf_msg_pop_data", []uint64{0, 1, 10, 0}, errno.EINVAL.Ret(), text, text},
	} {
		s := inWorld(t, ebpf.SchedCLS, nil)
		if err := s.SetPacket(ebpf.SkMsg, []byte(text), 0, 0); err != nil {
			t.Fatal(err)
		}
		got := call(t, s, tt.name, tt.args...)
		message := string(mem.View(s.Packet.HardStart, int(s.Packet.HardEnd-s.Packet.HardStart)))
		if got != tt.want || message != tt.message || string(s.Packet.Bytes()) != tt.seen {
			t.Errorf("%s(%d) = %d, %q of %q; want %d, %q of %q",
				tt.name, tt.args, int64(got), s.Packet.Bytes(), message, int64(tt.want), tt.seen, tt.message)
		}
	}
}

func TestHeaderOptions(t *testing.T) {
	const op, isFullsock = 0, 72
	const headerLen, writeHeader, parseHeader = 14, 15, 13
	tcp := append(make([]byte, 20), "\x02\x04\x05\xb4\x01\xfe\x06\xeb\x9f\x01\x02"...)
	withOp := func(n byte) *exec.State {
		s := inWorld(t, ebpf.SockOps, nil)
		if err := s.SetPacket(ebpf.SockOps, tcp, 0, 0); err != nil {
			t.Fatal(err)
		}
		progtype.Seen(s)[op] = n
		return s
	}
	for _, tt := range []struct {
		name, search string
		want         uint64
		found        string
	}{
		{"a size", "\x02\x00\x00\x00", 4, "\x02\x04\x05\xb4"},
		{"no room", "\x02\x00", errno.ENOSPC.Ret(), "\x02\x04"},
		{"a kind of one's own", "\xfe\x04\xeb\x9f\x00\x00", 6, "\xfe\x06\xeb\x9f\x01\x02"},
		{"another magic", "\xfe\x04\xeb\x9e\x00\x00", errno.ENOMSG.Ret(), "\xfe\x04\xeb\x9e\x00\x00"},
		{"none", "\x03\x00\x00\x00", errno.ENOMSG.Ret(), "\x03\x00\x00\x00"},
		{"no kind", "\x01\x00", errno.EINVAL.Ret(), "\x01\x00"},
		{"a length", "\x02\x04", errno.EINVAL.Ret(), "\x02\x04"},
	} {
		s := withOp(parseHeader)
		buf, _ := s.Lend(len(tt.search))
		copy(buf, tt.search)
		if got := call(t, s, "bpf_load_hdr_opt", 0, addr(buf), uint64(len(buf))); got != tt.want || string(buf) != tt.found {
			t.Errorf("%s: %d, %q; want %d, %q", tt.name, int64(got), buf, int64(tt.want), tt.found)
		}
	}
	s := withOp(writeHeader)
	opt, _ := s.Lend(4)
	copy(opt, "\xfd\x04\x01\x02")
	if got := call(t, s, "bpf_store_hdr_opt", 0, addr(opt), 4); got != 0 {
		t.Errorf("store: %d", int64(got))
	}
	copy(opt, "\x02\x04\x05\xb4")
	if got := call(t, s, "bpf_store_hdr_opt", 0, addr(opt), 4); got != errno.EEXIST.Ret() {
		t.Errorf("store what is there: %d", int64(got))
	}
	if got := call(t, s, "bpf_reserve_hdr_opt", 0, 4); got != errno.EPERM.Ret() {
		t.Errorf("reserve while writing: %d", int64(got))
	}
	s = withOp(headerLen)
	if got := call(t, s, "bpf_reserve_hdr_opt", 0, 4); got != 0 {
		t.Errorf("reserve: %d", int64(got))
	}
	progtype.Seen(s)[isFullsock] = 0
	if got := call(t, s, "bpf_sock_ops_cb_flags_set", 0, 1); got != errno.EINVAL.Ret() {
		t.Errorf("flags of half a socket: %d", int64(got))
	}
	progtype.Seen(s)[isFullsock] = 1
	if got := call(t, s, "bpf_sock_ops_cb_flags_set", 0, 0x181); got != 0x180 {
		t.Errorf("flags that there are none of: %#x", got)
	}
}
