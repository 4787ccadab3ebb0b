package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/kernel"
)

// Offered are the kinds of hooks that the kernel machine has, each as a point begins.
func TestCompleteHooks(t *testing.T) {
	offered, _ := completeHooks(nil, nil, "")
	var names []string
	for _, o := range offered {
		name, _, _ := strings.Cut(o, "\t")
		at, err := hook.Parse(name)
		if err != nil || at.Target != "" || !kernel.Attaches(at.Kind) {
			t.Errorf("%q is offered: %v, %v", name, at, err)
		}
		names = append(names, name)
	}
	for _, want := range []string{"usdt/", "timer/", "freplace/", "syscall", "xdp/"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not offered", want)
		}
	}
}
