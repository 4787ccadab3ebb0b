package helper_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/internal/oracle"
	"github.com/skep-ebpf/skep/vm/world"
)

// onStack stores bytes below the frame's end, from offset on.
func onStack(offset int, b []byte) (insns asm.Instructions) {
	b = append(b, make([]byte, -len(b)&7)...)
	for i := 0; i < len(b); i += 8 {
		insns = append(insns,
			asm.LoadImm(asm.R1, int64(binary.LittleEndian.Uint64(b[i:])), asm.DWord),
			asm.StoreMem(asm.R10, int16(offset+i), asm.R1, asm.DWord))
	}
	return insns
}

// calling makes a call; arguments are ctxArg, nullArg, an address on the stack, a
// register, or a number. The context is in R6.
func calling(fn asm.BuiltinFunc, args ...any) (insns asm.Instructions) {
	for i, a := range args {
		r := asm.R1 + asm.Register(i)
		switch a := a.(type) {
		case ctxArg:
			insns = append(insns, asm.Mov.Reg(r, asm.R6))
		case nullArg:
			insns = append(insns, asm.Mov.Imm(r, 0))
		case asm.Register:
			insns = append(insns, asm.Mov.Reg(r, a))
		case stackArg:
			insns = append(insns, asm.Mov.Reg(r, asm.R10), asm.Add.Imm(r, int32(a)))
		case int:
			insns = append(insns, asm.LoadImm(r, int64(a), asm.DWord))
		}
	}
	return append(insns, fn.Call())
}

func join(parts ...asm.Instructions) asm.Instructions {
	insns := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	for _, p := range parts {
		insns = append(insns, p...)
	}
	return insns
}

// sum adds what n bytes on the stack hold to R0, and returns.
func sum(offset, n int) (insns asm.Instructions) {
	for i := 0; i < n; i += 8 {
		insns = append(insns, asm.LoadMem(asm.R1, asm.R10, int16(offset+i), asm.DWord),
			asm.Mul.Imm(asm.R0, 31), asm.Add.Reg(asm.R0, asm.R1))
	}
	return append(insns, asm.Mov.Reg(asm.R1, asm.R0), asm.RSh.Imm(asm.R1, 32), asm.Xor.Reg(asm.R0, asm.R1), asm.Return())
}

// TestMemoryAsInKernel reads where programs should and should not.
func TestMemoryAsInKernel(t *testing.T) {
	testenv.Kernel(t)
	text := onStack(-64, []byte("text on the stack\x00and more behind it, until the end\x00"))
	tests := map[string]asm.Instructions{}
	for _, fn := range []asm.BuiltinFunc{asm.FnProbeReadKernel, asm.FnProbeReadKernelStr, asm.FnProbeReadUser, asm.FnProbeReadUserStr} {
		user := fn == asm.FnProbeReadUser || fn == asm.FnProbeReadUserStr
		for _, size := range []int{0, 1, 5, 17, 18, 24, 40} {
			name := fmt.Sprintf("%v/%d", fn, size)
			fill := onStack(-128, make([]byte, 64))
			if !user {
				tests[name+"/stack"] = join(text, fill, calling(fn, stackArg(-128), size, stackArg(-64)), sum(-128, 40))
			}
			// On x86 a user's zero page reads as a fault, and so does NULL in the kernel.
			tests[name+"/null"] = join(text, fill, calling(fn, stackArg(-128), size, 0), sum(-128, 40))
			tests[name+"/nowhere"] = join(text, fill, calling(fn, stackArg(-128), size, 0x123456), sum(-128, 40))
		}
	}
	compare(t, nil, ebpf.SchedCLS, tests)
}

// TestRefusalsAsInKernel calls helpers that have nothing to give in a test run,
// with right and wrong arguments.
func TestRefusalsAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 18, "helpers were offered to fewer types")
	tests := map[string]asm.Instructions{}
	add := func(name string, body asm.Instructions, size int) {
		tests[name] = join(onStack(-64, []byte("0123456789abcdef0123456789abcdef0123456789abcdef")), body, sum(-64, size))
	}
	for _, signal := range []int{65, 100, -1} {
		add(fmt.Sprintf("send_signal %d", signal), calling(asm.FnSendSignal, signal), 0)
		add(fmt.Sprintf("send_signal_thread %d", signal), calling(asm.FnSendSignalThread, signal), 0)
	}
	for _, size := range []int{4, 8, 16} {
		add(fmt.Sprintf("get_ns_current_pid_tgid %d", size), calling(asm.FnGetNsCurrentPidTgid, 1, 1, stackArg(-64), size), 16)
	}
	for _, size := range []int{0, 24, 48} {
		for _, flags := range []int{0, 1} {
			add(fmt.Sprintf("get_branch_snapshot %d %d", size, flags), calling(asm.FnGetBranchSnapshot, stackArg(-64), size, flags), 48)
		}
	}
	for _, size := range []int{4, 8, 40} {
		add(fmt.Sprintf("skb_get_tunnel_opt %d", size), calling(asm.FnSkbGetTunnelOpt, ctxArg{}, stackArg(-64), size), 40)
		add(fmt.Sprintf("skb_get_xfrm_state %d", size), calling(asm.FnSkbGetXfrmState, ctxArg{}, 0, stackArg(-64), size, 0), 40)
	}
	compare(t, nil, ebpf.SchedCLS, tests)
}

// TestTunnelOptionsAsInKernel sets a tunnel key and options, and reads both.
func TestTunnelOptionsAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 18, "keys had other flags")
	tests := map[string]asm.Instructions{}
	text := onStack(-320, bytes.Repeat([]byte("options!"), 32))
	key := slices.Concat(onStack(-64, make([]byte, 48)), calling(asm.FnSkbSetTunnelKey, ctxArg{}, stackArg(-64), 44, 0))
	for _, set := range []int{4, 6, 8, 252, 256} {
		for _, get := range []int{4, 8, 16, 64} {
			// The text is read into as well, after it was set.
			tests[fmt.Sprintf("set %d get %d", set, get)] = join(text, key,
				calling(asm.FnSkbSetTunnelOpt, ctxArg{}, stackArg(-320), set),
				calling(asm.FnSkbGetTunnelOpt, ctxArg{}, stackArg(-320), get), sum(-320, 80))
			tests[fmt.Sprintf("key after %d", set+get)] = join(text, key,
				calling(asm.FnSkbSetTunnelOpt, ctxArg{}, stackArg(-320), set),
				calling(asm.FnSkbSetTunnelOpt, ctxArg{}, stackArg(-320), get),
				calling(asm.FnSkbGetTunnelKey, ctxArg{}, stackArg(-64), 44, 1<<4), sum(-64, 48))
		}
		tests[fmt.Sprintf("set %d without key", set)] = join(text, calling(asm.FnSkbSetTunnelOpt, ctxArg{}, stackArg(-320), set), sum(-320, 8))
		tests[fmt.Sprintf("set %d", set)] = join(text, key, calling(asm.FnSkbSetTunnelOpt, ctxArg{}, stackArg(-320), set), sum(-320, 8))
		tests[fmt.Sprintf("set %d and a new key", set)] = join(text, key,
			calling(asm.FnSkbSetTunnelOpt, ctxArg{}, stackArg(-320), set), key,
			calling(asm.FnSkbGetTunnelOpt, ctxArg{}, stackArg(-320), 64), sum(-320, 80))
	}
	compare(t, nil, ebpf.SchedCLS, tests)
}

// compare runs programs in Linux and in both modes of the machine.
func compare(t *testing.T, w *world.World, typ ebpf.ProgramType, tests map[string]asm.Instructions) {
	t.Helper()
	s := oracle.State(t)
	env := new(exec.Env).Defaults()
	if w != nil {
		w.Into(env)
	}
	s.Env = env
	packet := make([]byte, 64)
	copy(packet[12:], "\x08\x00\x45")
	for name, insns := range tests {
		run := oracle.Run{Type: typ, Data: packet}
		for _, mode := range engine.Modes() {
			got, kernel := both(t, s, &run, insns, mode)
			if got.Ret != kernel.Ret || (got.Err == nil) != (kernel.Err == nil) {
				t.Errorf("%s, mode %v: %d, %v; the kernel: %d, %v", name, mode, int32(got.Ret), got.Err, int32(kernel.Ret), kernel.Err)
			}
		}
	}
}

// TestSocketsAsInKernel looks for sockets that are really open, and in a world
// that describes them.
func TestSocketsAsInKernel(t *testing.T) {
	testenv.Kernel(t)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket to look for: %v", err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	w, err := world.Parse("world.yaml", fmt.Appendf(nil, `
sockets:
- {name: listener, proto: tcp, local: %q}
- {name: server, proto: tcp, local: %[1]q, remote: %q}
- {name: client, proto: tcp, local: %[2]q, remote: %[1]q}
- {name: udp, proto: udp, local: %[3]q}
`, listener.Addr(), client.LocalAddr(), udp.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}

	tuple := func(remote, local net.Addr) []byte {
		return append(append(address(remote)[:4:4], address(local)[:4]...), append(address(remote)[4:6:6], address(local)[4:]...)...)
	}
	stranger := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}
	tuples := map[string][]byte{
		"established": tuple(client.LocalAddr(), listener.Addr()), "its other end": tuple(listener.Addr(), client.LocalAddr()),
		"listener": tuple(stranger, listener.Addr()), "nobody": tuple(stranger, stranger), "udp": tuple(stranger, udp.LocalAddr()),
	}
	const size = 12
	fields := func(use asm.Instructions) asm.Instructions {
		return append(append(asm.Instructions{asm.JNE.Imm(asm.R0, 0, "found"), asm.Return(),
			asm.Mov.Reg(asm.R7, asm.R0).WithSymbol("found"), asm.Mov.Imm(asm.R8, 0)}, use...),
			append(calling(asm.FnSkRelease, asm.R7), asm.Mov.Reg(asm.R0, asm.R8), asm.Return())...)
	}
	load := func(offsets ...int16) (insns asm.Instructions) {
		for _, off := range offsets {
			insns = append(insns, asm.LoadMem(asm.R1, asm.R7, off, asm.Word), asm.Mul.Imm(asm.R8, 31), asm.Add.Reg(asm.R8, asm.R1))
		}
		return insns
	}
	// bound_dev_if, family, type, protocol, src_ip4, src_port, dst_ip4, state
	all := load(0, 4, 8, 12, 24, 44, 52, 72)
	common := load(4, 24, 44, 52, 72)
	tests := map[string]asm.Instructions{}
	for name, b := range tuples {
		stored := onStack(-48, b)
		look := func(fn asm.BuiltinFunc, size, netns, flags int) asm.Instructions {
			return calling(fn, ctxArg{}, stackArg(-48), size, netns, flags)
		}
		tests["tcp "+name] = join(stored, look(asm.FnSkLookupTcp, size, -1, 0), fields(all))
		tests["udp "+name] = join(stored, look(asm.FnSkLookupUdp, size, -1, 0), fields(all))
		tests["skc "+name] = join(stored, look(asm.FnSkcLookupTcp, size, -1, 0), fields(common))
		tests["wrong size "+name] = join(stored, look(asm.FnSkLookupTcp, size-1, -1, 0), fields(all))
		tests["wrong flags "+name] = join(stored, look(asm.FnSkLookupTcp, size, -1, 1), fields(all))
		tests["wrong netns "+name] = join(stored, look(asm.FnSkLookupTcp, size, 1<<40, 0), fields(all))
		tests["negative netns "+name] = join(stored, look(asm.FnSkLookupTcp, size, -7, 0), fields(all))
		tests["unknown netns "+name] = join(stored, look(asm.FnSkLookupTcp, size, 54321, 0), fields(all))
		found := func(fn asm.BuiltinFunc) asm.Instructions {
			// Whether the cast gives anything.
			use := append(calling(fn, asm.R7), asm.Mov.Imm(asm.R8, 1), asm.JEq.Imm(asm.R0, 0, "null"), asm.Mov.Imm(asm.R8, 2),
				asm.Mov.Imm(asm.R1, 0).WithSymbol("null"))
			return join(stored, look(asm.FnSkLookupTcp, size, -1, 0), fields(use))
		}
		tests["sk_fullsock "+name] = found(asm.FnSkFullsock)
		tests["tcp_sock "+name] = found(asm.FnTcpSock)
		tests["get_listener_sock "+name] = found(asm.FnGetListenerSock)
		assign := func(flags int) asm.Instructions {
			use := append(calling(asm.FnSkAssign, ctxArg{}, asm.R7, flags), asm.Mov.Reg(asm.R8, asm.R0))
			return join(stored, look(asm.FnSkLookupTcp, size, -1, 0), fields(use))
		}
		tests["sk_assign with flags "+name] = assign(1)
	}
	compare(t, w, ebpf.SchedCLS, tests)
}

// address is an IPv4 address and port in network byte order.
func address(a net.Addr) []byte {
	var ip net.IP
	var port int
	switch a := a.(type) {
	case *net.TCPAddr:
		ip, port = a.IP, a.Port
	case *net.UDPAddr:
		ip, port = a.IP, a.Port
	}
	return binary.BigEndian.AppendUint16(append([]byte(nil), ip.To4()...), uint16(port))
}

// TestSynCookiesAsInKernel compares all of a cookie but the secret's part.
func TestSynCookiesAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "some helpers were not there yet")
	ip := make([]byte, 40)
	copy(ip, "\x45\x00\x00\x28\x00\x00\x00\x00\x40\x06\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02")
	tests := map[string]asm.Instructions{}
	for mss, opts := range map[string]string{
		"none": "", "536": "\x02\x04\x02\x18", "1400 after nops": "\x01\x01\x01\x01\x02\x04\x05\x78", "1460": "\x02\x04\x05\xb4",
		"9000": "\x02\x04\x23\x28", "tiny": "\x02\x04\x00\x10", "broken": "\x02\x09\x05\xb4",
	} {
		for _, long := range []int{0, 4} {
			tcp := []byte("\x30\x39\x00\x50\x01\x02\x03\x04\x00\x00\x00\x00\x50\x02\xff\xff\x00\x00\x00\x00" + opts)
			tcp[12] = byte(len(tcp) / 4 << 4)
			stored := append(onStack(-64, ip), onStack(-120, append(tcp, 0, 0, 0, 0))...)
			for name, fn := range map[string]asm.BuiltinFunc{"v4": asm.FnTcpRawGenSyncookieIpv4, "v6": asm.FnTcpRawGenSyncookieIpv6} {
				tests[fmt.Sprint(name, mss, long)] = join(stored, calling(fn, stackArg(-64), stackArg(-120), len(tcp)+long),
					asm.Instructions{asm.JSGE.Imm(asm.R0, 0, "cookie"), asm.Return(), asm.RSh.Imm(asm.R0, 32).WithSymbol("cookie"), asm.Return()})
			}
			if long > 0 {
				continue
			}
			// The packet that acknowledges a cookie is good; another is not.
			for name, pair := range map[string][2]asm.BuiltinFunc{
				"v4": {asm.FnTcpRawGenSyncookieIpv4, asm.FnTcpRawCheckSyncookieIpv4},
				"v6": {asm.FnTcpRawGenSyncookieIpv6, asm.FnTcpRawCheckSyncookieIpv6},
			} {
				for _, add := range []int32{1, 2, 1 << 20} {
					tests[fmt.Sprint(name, mss, "check", add)] = join(stored, calling(pair[0], stackArg(-64), stackArg(-120), len(tcp)),
						asm.Instructions{
							asm.Add.Imm(asm.R0, add), asm.HostTo(asm.BE, asm.R0, asm.Word),
							asm.StoreMem(asm.R10, -120+8, asm.R0, asm.Word),
							// The acknowledgement's sequence number is one more.
							asm.Mov.Imm(asm.R1, 0x05030201), asm.StoreMem(asm.R10, -120+4, asm.R1, asm.Word),
						},
						calling(pair[1], stackArg(-64), stackArg(-120)), asm.Instructions{asm.Return()})
				}
			}
		}
	}
	compare(t, nil, ebpf.XDP, tests)
}

// TestSyscallsAsInKernel calls what only programs of type syscall have.
func TestSyscallsAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "some helpers were not there yet")
	tests := map[string]asm.Instructions{}
	add := func(name string, body asm.Instructions, size int) {
		tests[name] = join(onStack(-64, []byte("no_such_symbol_at_all\x00abcdefgh")), body, sum(-64, size))
	}
	for _, size := range []int{0, 1, 10, 22} {
		for _, flags := range []int{0, 1} {
			add(fmt.Sprintf("kallsyms %d %d", size, flags), calling(asm.FnKallsymsLookupName, stackArg(-64), size, flags, stackArg(-32)), 40)
			if size > 0 {
				add(fmt.Sprintf("btf_find %d %d", size, flags), calling(asm.FnBtfFindByNameKind, stackArg(-64), size, 4, flags), 0)
			}
		}
	}
	for _, size := range []int{0, 1, 16} {
		for _, from := range []int{0, 0x1234} {
			add(fmt.Sprintf("copy_from_user %d %#x", size, from), calling(asm.FnCopyFromUser, stackArg(-64), size, from), 16)
		}
	}
	add("sys_close", calling(asm.FnSysClose, 98765), 0)
	add("sys_bpf", calling(asm.FnSysBpf, 98, stackArg(-64), 32), 0)
	s := oracle.State(t)
	for name, insns := range tests {
		spec := ebpf.ProgramSpec{Type: ebpf.Syscall, Flags: 1 << 4, License: "GPL", Instructions: insns}
		prog, err := ebpf.NewProgram(&spec)
		if err != nil {
			t.Fatalf("%s: %+v", name, err)
		}
		want, err := prog.Run(&ebpf.RunOptions{})
		prog.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		run := oracle.Run{Type: ebpf.Syscall, Insns: insns}
		for _, mode := range engine.Modes() {
			if got := run.Machine(t, s, mode); got.Ret != want || got.Err != nil {
				t.Errorf("%s, mode %v: %d, %v; the kernel: %d", name, mode, int32(got.Ret), got.Err, int32(want))
			}
		}
	}
}
