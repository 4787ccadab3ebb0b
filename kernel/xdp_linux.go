package kernel

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
)

func init() { families["xdp"] = planXDP }

// xdpModes are the ways in which a driver runs XDP programs. Without one the kernel
// takes the driver's own, or else the generic one.
var xdpModes = map[string]link.XDPAttachFlags{
	"generic": link.XDPGenericMode, "native": link.XDPDriverMode, "offload": link.XDPOffloadMode,
}

// planXDP attaches to an interface: NAME or NAME@MODE.
func planXDP(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	name, mode, chosen := strings.Cut(at.Target, "@")
	flags, ok := xdpModes[mode]
	if chosen && !ok {
		return nil, fmt.Errorf("%s: there is no mode %s of XDP: there is generic, native and offload", at, mode)
	}
	i, err := interfaceNamed(name)
	if err != nil {
		return nil, err
	}
	return func() (io.Closer, error) {
		l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: i.Index, Flags: flags})
		switch {
		case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
			return nil, fmt.Errorf("interface %s has an XDP program already, and Linux takes one: end that ('skep ps' shows what skep has left), or take its place with --replace: %w", name, err)
		case errors.Is(err, unix.ERANGE):
			return nil, fmt.Errorf("interface %s takes packets of %d bytes, which a driver hands to XDP in fragments: build the program for them (section xdp.frags), lower the MTU, or say xdp/%[1]s@generic: %[3]w", name, i.MTU, err)
		}
		return l, err
	}, nil
}

// offload has a program loaded for the hardware that will run it, if its point says so.
func offload(prog *ebpf.ProgramSpec, at hook.Point) error {
	name, mode, _ := strings.Cut(at.Target, "@")
	if at.Kind.Name != "xdp" || mode != "offload" {
		return nil
	}
	i, err := interfaceNamed(name)
	if err != nil {
		return err
	}
	nothing, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, Ifindex: uint32(i.Index), License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("interface %s cannot run programs in its hardware: leave @offload away: %w", name, err)
	}
	prog.Ifindex = uint32(i.Index)
	return nothing.Close()
}
