//go:build !linux

package kernel

import (
	"errors"
	"io"
	"runtime"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

func readStream(int, int, []byte) (int, error) { return 0, ebpf.ErrNotSupported }

func checkTarget(hook.Point) error { return nil }

func offload(*ebpf.ProgramSpec, hook.Point) error { return nil }

func explain(_ *ebpf.CollectionSpec, _ program.LinkOptions, _ []Need, err error) error { return err }

func fallBack(*ebpf.CollectionSpec, string, hook.Point, program.LinkOptions) (bool, error) {
	return false, nil
}

func raiseMemoryLimit() {}

func checkToken() error { return nil }

func attachRawTracepoint(string, *ebpf.Program) (io.Closer, error) {
	return nil, errors.New("tracepoints are in Linux alone")
}

func aimUprobe(*ebpf.ProgramSpec, hook.Point) {}

func lockPins(string) (unlock func(), err error) {
	return nil, errors.New("programs stay attached in Linux alone")
}

// Probe says that there is no Linux here.
func Probe() []Feature {
	return []Feature{{"kernel", false, "this is " + runtime.GOOS + ", and Linux runs elsewhere: programs run in skep's own machine"}}
}

func typesOf(*ebpf.Map) (key, value btf.Type, err error) {
	return nil, nil, errors.New("maps are pinned in Linux alone")
}

func (*own) load(*ebpf.Collection, *ebpf.CollectionSpec, *Options) error {
	return errors.New("programs are loaded in Linux alone")
}

func openPinned(string) (pinnedLink, error) {
	return nil, errors.New("programs are pinned in Linux alone")
}

var errNoExchange = errors.New("programs are pinned in Linux alone")

func exchange(_, _ string) error { return errNoExchange }

// DropCapabilities has nothing to give up: capabilities are Linux's.
func (c *Collection) DropCapabilities() error { return nil }

func perfParanoid() int { return 0 }

func effective() kernels.Caps { return 0 }

func forbidden(error) string { return "this is " + runtime.GOOS + ", and Linux runs elsewhere" }
