package kernel

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

func TestXDP(t *testing.T) {
	for _, at := range []string{"xdp/left", "xdp:left@generic", "xdp/left@native"} {
		t.Run(at, func(t *testing.T) {
			ownNetwork(t)
			hits := attached(t, counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1), at)
			before := hits()
			send(t, "right")
			if n := hits() - before; n != 1 {
				t.Errorf("the program ran %d times for one packet", n)
			}
		})
	}
}

// large gives the test's interfaces room for packets of several pages.
func large(t *testing.T) {
	t.Helper()
	for _, name := range []string{"left", "right"} {
		if err := netlink.LinkSetMTU(interfaceOf(t, name), 9000); err != nil {
			t.Fatal(err)
		}
	}
}

// fragments is the counting program, for packets alone of which it sees only the first
// bytes directly.
func fragments() *program.Program {
	p := counting("xdp.frags", ebpf.XDP, ebpf.AttachXDP, "", 1)
	count := p.Spec.Programs["count"]
	count.Flags = unix.BPF_F_XDP_HAS_FRAGS
	count.Instructions = append(asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 4, asm.Word), // data_end
		asm.LoadMem(asm.R7, asm.R1, 0, asm.Word), // data
		asm.Sub.Reg(asm.R6, asm.R7),
		asm.FnXdpGetBuffLen.Call(),
		asm.JGT.Reg(asm.R0, asm.R6, "several"),
		asm.Mov.Imm(asm.R0, 1),
		asm.Return(),
		count.Instructions[0].WithSymbol("several"),
	}, count.Instructions[1:]...)
	return p
}

// A program that takes fragments sees packets of several pages.
func TestXDPFragments(t *testing.T) {
	testenv.KernelFrom(t, 5, 18, "XDP has no fragments")
	t.Run("xdp/left@native", func(t *testing.T) {
		ownNetwork(t)
		large(t)
		hits := attached(t, fragments(), "xdp/left@native")
		before := hits()
		transmit(t, "right", 64)
		transmit(t, "right", 8000)
		if n := hits() - before; n != 1 {
			t.Errorf("the program saw %d packets in fragments, want 1 of 2", n)
		}
	})
}

// What a driver cannot do is said in a sentence, before or after Linux was asked.
func TestXDPRefused(t *testing.T) {
	ownNetwork(t)
	large(t)
	for at, want := range map[string]string{
		"xdp/left@native":  "interface left takes packets of 9000 bytes, which a driver hands to XDP in fragments: build the program for them (section xdp.frags), lower the MTU, or say xdp/left@generic",
		"xdp/left@offload": "interface left cannot run programs in its hardware: leave @offload away",
	} {
		point, err := hook.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		here := []hook.Attachment{{Program: "count", Point: point}}
		c, err := Load(counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1), &Options{At: here})
		if err == nil {
			_, err = c.Attach(here)
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", at, err, want)
		}
	}
}
