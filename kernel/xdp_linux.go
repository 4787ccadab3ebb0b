package kernel

import (
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
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
		return link.AttachXDP(link.XDPOptions{Program: prog, Interface: i.Index, Flags: flags})
	}, nil
}

// interfaceNamed finds an interface of this network namespace.
func interfaceNamed(name string) (*net.Interface, error) {
	if i, err := net.InterfaceByName(name); err == nil {
		return i, nil
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("look for interface %s: %w", name, err)
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	return nil, fmt.Errorf("there is no interface %s here%s", name, suggest.Name(name, names))
}
