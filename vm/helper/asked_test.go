package helper

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
	described "github.com/skep-ebpf/skep/vm/world"
)

// around is a state in a world, set up for a program type and a context.
func around(t *testing.T, typ ebpf.ProgramType, ctx []byte, text string) *exec.State {
	t.Helper()
	w, err := described.Parse("world.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := newState(t)
	s.Env = new(exec.Env).Defaults()
	w.Into(s.Env)
	pt, err := progtype.Get(typ)
	if err != nil {
		t.Fatal(err)
	}
	in := progtype.Input{Ctx: ctx}
	if typ == ebpf.SchedCLS {
		in.Data = make([]byte, 64)
	}
	if err := pt.Setup(s, &in); err != nil {
		t.Fatal(err)
	}
	pt.EnterSocket(s, s.Env.Sockets.Current())
	return s
}

func TestUnderCgroup(t *testing.T) {
	const groups = `
current: {pid: 100, socket: web}
processes: [{pid: 100, cgroup: /a/b}]
cgroups: [{path: /a, id: 5}, {path: /a/b, id: 6}, {path: /a/b/c, id: 7}]
sockets: [{name: web, proto: tcp, local: "10.0.0.1:80", cgroup: /a/b/c}]
`
	m, handle := mapFor(t, &ebpf.MapSpec{Type: ebpf.CGroupArray, KeySize: 4, ValueSize: 4, MaxEntries: 6})
	for i, id := range []uint32{5, 6, 7, 1, 99} {
		if err := m.UserUpdate(u32(uint32(i)), u32(id), 0); err != nil {
			t.Fatal(err)
		}
	}
	_, other := mapFor(t, &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 6})
	s := around(t, ebpf.SchedCLS, nil, groups)
	for _, tt := range []struct {
		m, index   uint64
		task, sock uint64
	}{
		{handle, 0, 1, 1},
		{handle, 1, 1, 1},
		{handle, 2, 0, 1},
		{handle, 3, 1, 1}, // the root
		{handle, 4, 0, 0},
		{handle, 5, errno.EAGAIN.Ret(), errno.EAGAIN.Ret()},
		{handle, 6, errno.E2BIG.Ret(), errno.E2BIG.Ret()},
		{other, 0, errno.EINVAL.Ret(), errno.EINVAL.Ret()},
	} {
		if got := taskUnderCgroup(s, tt.m, tt.index, 0, 0, 0); got != tt.task {
			t.Errorf("the task under cgroup %d: %d, want %d", tt.index, int64(got), int64(tt.task))
		}
		if got := skbUnderCgroup(s, 0, tt.m, tt.index, 0, 0); got != tt.sock {
			t.Errorf("the socket under cgroup %d: %d, want %d", tt.index, int64(got), int64(tt.sock))
		}
	}
	s = around(t, ebpf.SchedCLS, nil, "processes: []")
	if got := taskUnderCgroup(s, handle, 0, 0, 0, 0); got != errno.EINVAL.Ret() {
		t.Errorf("no task: %d", int64(got))
	}
	if got := skbUnderCgroup(s, 0, handle, 0, 0, 0); got != errno.ENOENT.Ret() {
		t.Errorf("no socket: %d", int64(got))
	}
}

func TestFindVMA(t *testing.T) {
	s := around(t, ebpf.Kprobe, nil, `
current: {pid: 100}
processes: [{pid: 100, memory: [{start: 0x1000, end: 0x3000, vma: 0xabc}, {start: 0x5000, end: 0x6000, vma: 0xdef}]}]
`)
	task := s.Env.Tasks.Current().Addr
	var calls [][3]uint64
	s.Engine = engine(func(args *[5]uint64) (uint64, error) {
		calls = append(calls, [3]uint64(args[:3]))
		return 0, nil
	})
	for _, tt := range []struct{ addr, want uint64 }{
		{0xfff, errno.ENOENT.Ret()}, {0x1000, 0}, {0x2fff, 0}, {0x3000, errno.ENOENT.Ret()}, {0x5000, 0},
	} {
		if got := findVMA(s, task, tt.addr, 7, 8, 0); got != tt.want {
			t.Errorf("find_vma(%#x) = %d, want %d", tt.addr, int64(got), int64(tt.want))
		}
	}
	if diff := cmp.Diff([][3]uint64{{task, 0xabc, 8}, {task, 0xabc, 8}, {task, 0xdef, 8}}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestAssignInLookup chooses sockets for TCP over IPv4.
func TestAssignInLookup(t *testing.T) {
	ctx := make([]byte, 72)
	ctx[8], ctx[12] = 2, 6 // family, protocol
	s := around(t, ebpf.SkLookup, ctx, `
sockets:
- {name: one, proto: tcp, local: "10.0.0.1:80", cookie: 11}
- {name: two, proto: tcp, local: "10.0.0.1:81", cookie: 12}
- {name: datagrams, proto: udp, local: "10.0.0.1:80"}
- {name: connected, proto: tcp, local: "10.0.0.1:80", remote: "10.0.0.2:99"}
- {name: six, proto: tcp, local: "[::1]:80", cookie: 15}
`)
	socket := func(n uint32) uint64 { return s.Env.Sockets.Socket(n).SockAddr() }
	const replace, noReuseport = 1, 2
	for _, tt := range []struct {
		name          string
		socket, flags uint64
		want          uint64
	}{
		{"unknown flags", socket(1), 4, errno.EINVAL.Ret()},
		{"connected", socket(4), 0, errno.ESOCKTNOSUPPORT.Ret()},
		{"another protocol", socket(3), 0, errno.EPROTOTYPE.Ret()},
		{"the first", socket(1), 0, 0},
		{"a second", socket(2), 0, errno.EEXIST.Ret()},
		{"in its place", socket(2), replace | noReuseport, 0},
		{"IPv6, which may take both", socket(5), replace, 0},
		{"none, though there is one", 0, 0, errno.EEXIST.Ret()},
		{"none", 0, replace, 0},
		{"again", socket(1), 0, 0},
	} {
		if got := skAssign(s, 0, tt.socket, tt.flags, 0, 0); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, int64(got), int64(tt.want))
		}
	}
	var cookies []uint64
	for _, e := range s.Effects {
		cookies = append(cookies, e.Args[0])
	}
	if diff := cmp.Diff([]uint64{11, 12, 15, 0, 11}, cookies); diff != "" {
		t.Errorf("chosen (-want +got):\n%s", diff)
	}
}

func TestInfrared(t *testing.T) {
	s := newState(t)
	for _, id := range []uint32{77, 78, 92} {
		if got := ByID(id).Func(s, 1, 2, 3, 4, 0); got != 0 {
			t.Errorf("helper %d gives %d", id, int64(got))
		}
	}
	want := []exec.Effect{
		{What: "rc_repeat"}, {What: "rc_keydown", Args: [4]uint64{2, 3, 4}}, {What: "rc_pointer_rel", Args: [4]uint64{2, 3}},
	}
	if diff := cmp.Diff(want, s.Effects); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}
