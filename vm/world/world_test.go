package world_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/world"
)

const description = `
current: {pid: 101, socket: client}
processes:
- pid: 100
  ppid: 1
  comm: nginx
  uid: 33
  cgroup: /system.slice/nginx.service
  pid_namespace: {dev: 4, ino: 4026531836, pid: 7}
  threads: [{pid: 101, comm: worker}]
  user_stack: [0x401000, 0x402000]
cgroups:
- {path: /system.slice/nginx.service, id: 42, classid: 0x10001}
sockets:
- {name: server, proto: tcp, local: "10.0.0.1:80", uid: 33, cgroup: /system.slice/nginx.service}
- {name: any, proto: tcp, local: "0.0.0.0:80"}
- {name: client, proto: tcp, local: "10.0.0.1:80", remote: "10.0.0.9:5555", tcp: {snd_cwnd: 10}}
- {name: closing, proto: tcp, state: time-wait, local: "10.0.0.1:81", remote: "10.0.0.9:5555"}
- {name: dns, proto: udp, local: "[::]:53", interface: eth0, mark: 7}
- {name: other, proto: udp, local: "0.0.0.0:53", netns: 3, cookie: 99}
interfaces:
- {index: 2, name: eth0, mac: "02:00:00:00:00:01", addresses: [10.0.0.1/24, "fd00::1/64"], forwarding: true}
- {index: 3, name: eth1, mac: "02:00:00:00:00:02", addresses: [10.1.0.1/24], forwarding: true, mtu: 1400}
routes:
- {to: default, via: 10.1.0.254, dev: eth1}
- {to: 192.168.0.0/16, type: blackhole}
neighbours:
- {addr: 10.1.0.254, dev: eth1, mac: "02:00:00:00:00:fe"}
`

func open(t *testing.T) *exec.Env {
	t.Helper()
	w, err := world.Parse("world.yaml", []byte(description))
	if err != nil {
		t.Fatal(err)
	}
	env := new(exec.Env)
	w.Into(env)
	return env
}

func TestTasks(t *testing.T) {
	env := open(t)
	task := env.Tasks.Current()
	if task.PID != 101 || task.TGID != 100 || task.Comm != "worker" || task.UID != 33 || task.PPID != 1 {
		t.Errorf("current task: %+v", task)
	}
	if task.Cgroup != 42 || task.ClassID != 0x10001 || task.PIDNS.TGID != 7 {
		t.Errorf("its cgroup and namespace: %+v", task)
	}
	if env.Tasks.At(task.Addr) != task || env.Tasks.Task(5) != nil {
		t.Error("tasks are not found by what they are")
	}
	if got := exec.Ancestor(env.Cgroups, 42, 0); got != 1 {
		t.Errorf("the root is cgroup %d", got)
	}
	if got := exec.Ancestor(env.Cgroups, 42, 2); got != 42 {
		t.Errorf("at level 2 lies cgroup %d", got)
	}
	if got := exec.Ancestor(env.Cgroups, 42, 3); got != 0 {
		t.Errorf("at level 3 lies cgroup %d", got)
	}
}

func TestLookup(t *testing.T) {
	env := open(t)
	tests := []struct {
		name          string
		proto         uint8
		remote, local string
		netns         int64
		ifindex       uint32
		port          uint32 // of the socket that is found; 0: none
		state         uint32
	}{
		{"established first", 6, "10.0.0.9:5555", "10.0.0.1:80", -1, 0, 80, exec.TCPEstablished},
		{"else who listens", 6, "10.0.0.9:5556", "10.0.0.1:80", -1, 0, 80, exec.TCPListen},
		{"on any address", 6, "10.0.0.9:5556", "10.0.0.2:80", 0, 0, 80, exec.TCPListen},
		{"time wait", 6, "10.0.0.9:5555", "10.0.0.1:81", -1, 0, 81, exec.TCPTimeWait},
		{"another port", 6, "10.0.0.9:5555", "10.0.0.1:82", -1, 0, 0, 0},
		{"another protocol", 17, "10.0.0.9:5555", "10.0.0.1:80", -1, 0, 0, 0},
		{"the interface", 17, "[fd00::9]:1", "[fd00::1]:53", -1, 2, 53, 7},
		{"another interface", 17, "[fd00::9]:1", "[fd00::1]:53", -1, 3, 0, 0},
		{"another family", 17, "10.0.0.9:1", "10.0.0.1:53", -1, 2, 0, 0},
		{"another namespace", 17, "10.0.0.9:1", "10.0.0.1:53", 3, 0, 53, 7},
	}
	for _, tt := range tests {
		k := env.Sockets.Lookup(&exec.SocketQuery{
			Protocol: tt.proto, Remote: netip.MustParseAddrPort(tt.remote), Local: netip.MustParseAddrPort(tt.local),
			NetNS: tt.netns, Ifindex: tt.ifindex,
		})
		switch {
		case k == nil && tt.port == 0:
		case k == nil:
			t.Errorf("%s: nothing was found", tt.name)
		case k.SrcPort != tt.port || k.State != tt.state:
			t.Errorf("%s: port %d, state %d", tt.name, k.SrcPort, k.State)
		}
	}
	k := env.Sockets.Current()
	if k.TCP.SndCwnd != 10 || k.DstPort != [2]byte{0x15, 0xb3} || k.DstIP4 != [4]byte{10, 0, 0, 9} {
		t.Errorf("the client: %+v, %+v", k.SockFields, k.TCP)
	}
	if env.Sockets.At(k.TCPAddr()) != k || env.Sockets.Socket(k.Number) != k || env.Sockets.Socket(7) != nil {
		t.Error("sockets are not found by what they are")
	}
}

func TestRoutes(t *testing.T) {
	env := open(t)
	res := env.Net.FIB(exec.FIBQuery{Ifindex: 2, Dst: netip.MustParseAddr("8.8.8.8")})
	if res.Code != exec.FIBSuccess || res.Ifindex != 3 || res.MTU != 1400 || res.DstMAC != [6]byte{2, 0, 0, 0, 0, 0xfe} {
		t.Errorf("the default route: %+v", res)
	}
	if res := env.Net.FIB(exec.FIBQuery{Ifindex: 2, Dst: netip.MustParseAddr("192.168.3.3")}); res.Code != exec.FIBBlackhole {
		t.Errorf("the black hole: %+v", res)
	}
}

func TestSched(t *testing.T) {
	w, err := world.Parse("world.yaml", []byte(`
processes: [{pid: 7, comm: make}]
sched: {cpus: 4, smt: 2, busy: [0], running: {2: 7}, queues: [5]}
`))
	if err != nil {
		t.Fatal(err)
	}
	env := new(exec.Env)
	w.Into(env)
	s := env.Sched
	if got := []int32{s.Pick(func(int) bool { return true }, 0), s.Queued(5, 0), s.Queued(6, 0)}; !slices.Equal(got, []int32{1, 0, -2}) {
		t.Errorf("an idle CPU, and what is in queues 5 and 6: %d", got)
	}
	if curr := s.Curr(2); curr == nil || curr.PID != 7 || curr.Comm != "make" || s.CPU(3).Core != 2 {
		t.Errorf("CPU 2 runs %v, and CPU 3 is on core %d", curr, s.CPU(3).Core)
	}
}

// TestNamespaces: what lies in another network namespace is not there.
func TestNamespaces(t *testing.T) {
	w, err := world.Parse("world.yaml", []byte(`
interfaces:
- {index: 1, name: eth0, addresses: [10.0.0.1/24], forwarding: true}
- {index: 2, name: eth1, addresses: [10.0.1.1/24], forwarding: true}
- {index: 3, name: blue0, addresses: [10.0.0.1/24], forwarding: true, netns: 2}
- {index: 4, name: blue1, addresses: [10.0.2.1/24], forwarding: true, netns: 2}
routes:
- {to: default, via: 10.0.1.254, dev: eth1}
- {to: 192.168.0.0/16, type: blackhole, netns: 2}
`))
	if err != nil {
		t.Fatal(err)
	}
	env := new(exec.Env)
	w.Into(env)
	for _, tt := range []struct {
		from uint32
		to   string
		code int
		by   uint32
	}{
		{1, "10.0.1.9", exec.FIBSuccess, 2},
		{1, "10.0.2.9", exec.FIBSuccess, 2}, // by the default route
		{1, "192.168.1.1", exec.FIBSuccess, 2},
		{3, "10.0.2.9", exec.FIBSuccess, 4},
		{3, "10.0.0.9", exec.FIBSuccess, 3},
		{3, "10.0.1.9", exec.FIBNotForwarded, 0},
		{3, "192.168.1.1", exec.FIBBlackhole, 0},
	} {
		if res := env.Net.FIB(exec.FIBQuery{Ifindex: tt.from, Dst: netip.MustParseAddr(tt.to)}); res.Code != tt.code || res.Ifindex != tt.by {
			t.Errorf("from interface %d to %s: %+v", tt.from, tt.to, res)
		}
	}
	if a, b := env.Net.NetNS(1), env.Net.NetNS(4); a != 0 || b != 2 {
		t.Errorf("namespaces %d and %d", a, b)
	}
	if !env.Conntrack.HasNetNS(2) || env.Conntrack.HasNetNS(3) {
		t.Error("connections are tracked in other namespaces")
	}
}

func TestRefused(t *testing.T) {
	tests := []struct{ text, want string }{
		{"procceses: []", "world.yaml:1: unknown field procceses; did you mean processes?"},
		{"processes:\n- {pid: 1, com: x}", "world.yaml:2: unknown field com; did you mean comm?"},
		{"processes: [{pid: 1}, {pid: 1}]", "world.yaml: two processes or threads have the pid 1"},
		{"processes: [{comm: x}]", `world.yaml: process "x" has no pid`},
		{"current: {pid: 5}", "world.yaml: current: there is no process 5"},
		{"current: {socket: web}", `world.yaml: current: there is no socket "web"`},
		{"sockets: [{name: a, proto: sctp, local: '1.2.3.4:5'}]", `world.yaml: socket a: proto is "sctp"; there is tcp and udp`},
		{"sockets: [{name: a, proto: tcp}]", "world.yaml: socket a: has no local address"},
		{"sockets: [{name: a, proto: tcp, local: '1.2.3.4:5', state: listening}]", `state is "listening"; there is listen`},
		{"sockets: [{name: a, proto: tcp, local: '1.2.3.4:5', remote: '[::1]:5'}]", "of two families"},
		{"sockets: [{name: a, proto: tcp, local: '1.2.3.4:5', pid: 7}]", "world.yaml: socket a: there is no process 7"},
		{"cgroups: [{path: a}]", `world.yaml: cgroup "a": want a path from /`},
		{"cgroups: [{path: /a, id: 5}, {path: /b, id: 5}]", "cgroup /b, id 5: path or id is another's"},
		{"routes: [{to: default, dev: eth0}]", `route to default: there is no interface "eth0"`},
		{"interfaces: [{index: 1, name: lo, mac: xyz}]", `"xyz" is no Ethernet address`},
		{"interfaces: [{index: 1, name: a}, {index: 1, name: b}]", "interface b, index 1: name or index is another's"},
		{"counters: [{index: 1, value: 2}]", "world.yaml: counter at index 1: has no map"},
		{"counters: [{map: m, valeu: 2}]", "world.yaml:1: unknown field valeu; did you mean value?"},
		{"counters: [{map: m}, {map: m, cpu: 1}]", "world.yaml: counter: two are at index 0 of m"},
		{"counters: [{map: m, cpu: 1, pid: 5}]", "is for a CPU or for a thread: leave cpu or pid away"},
		{"current: {branches: [{from: 16, type: 16}]}", "world.yaml: branch from 0x10: type is 16, and there are 16 types"},
		{"conntrack: [{proto: tcp, src: '10.0.0.1:1', dest: '10.0.0.2:2'}]", "world.yaml:1: unknown field dest; did you mean dst?"},
		{"conntrack: [{proto: icmp}]", `proto is "icmp"; there is tcp and udp`},
		{"conntrack: [{proto: tcp, src: '10.0.0.1:1', dst: '[::1]:2'}]", "connection from 10.0.0.1:1 to [::1]:2: want src and dst, of one family"},
		{"conntrack: [{proto: tcp, src: '10.0.0.1:1', dst: '10.0.0.2:2', status: [asured]}]", "unknown status asured; did you mean assured?"},
		{"conntrack: [{proto: tcp, src: '10.0.0.1:1', dst: '10.0.0.2:2'}, {proto: tcp, src: '10.0.0.2:2', dst: '10.0.0.1:1'}]",
			"connection from 10.0.0.2:2 to 10.0.0.1:1: another has packets with these addresses"},
		{"conntrack: [{proto: tcp, src: '10.0.0.1:1', dst: '10.0.0.2:2', timeout: -1}]", "timeout is -1 seconds: want 0 or more"},
		{"measurements: {0x10: 'sha25:00'}", `measurement of 0x10: "sha25:00": want an algorithm and a hash, such as sha256:9f86..; did you mean sha256?`},
		{"sched: {cpus: 3, smt: 2}", "world.yaml: sched: cpus: 3 with 2 of them in a core: want from 1 to 8192, and whole cores"},
		{"sched: {cpus: 2, busy: [2]}", "world.yaml: sched: busy: there is no CPU 2 of 2"},
		{"sched: {cpus: 2, running: {1: 5}}", "world.yaml: sched: running: there is no process 5"},
		{"sched: {cpus: 2, queues: [1, 1]}", "world.yaml: sched: queues: 1 cannot be one: it is there twice, or Linux's own"},
		{"measurements: {0x10: 'md5:001'}", `measurement of 0x10: "md5:001": the hash of md5 is 32 hexadecimal digits`},
	}
	for _, tt := range tests {
		_, err := world.Parse("world.yaml", []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

// FuzzParse: whatever the text, there is a world or an error.
func FuzzParse(f *testing.F) {
	f.Add(description)
	f.Add("conntrack: [{proto: udp, src: '10.0.0.1:1', dst: '10.0.0.2:2', reply: {src: '10.0.0.3:2', dst: '10.0.0.1:1'}, zone: 2, status: [assured], timeout: 1.5, mark: 7}]")
	f.Add("counters: [{map: m, cpu: 1, value: 5, step: 1}]\ncurrent: {counter: {value: 1}, branches: [{from: 1, to: 2, mispred: true}]}")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := world.Parse("world.yaml", []byte(text))
		if (w == nil) != (err != nil) {
			t.Errorf("world %v, error %v", w, err)
		}
	})
}
