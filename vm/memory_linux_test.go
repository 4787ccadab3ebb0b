package vm

import (
	"errors"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// TestFreezeLikeTheKernel freezes a map whose memory is open, here and there.
func TestFreezeLikeTheKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "freezing gave other error numbers")
	const mmapable, readOnlyProg = 1 << 10, 1 << 7
	for _, flags := range []uint32{mmapable, mmapable | readOnlyProg} {
		spec := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: flags}
		kernel, err := ebpf.NewMap(spec)
		if err != nil {
			t.Fatal(err)
		}
		defer kernel.Close()
		ours, err := NewMap(spec)
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		theirMemory, err := kernel.Memory()
		if err != nil {
			t.Fatal(err)
		}
		memory, err := ours.Memory()
		if err != nil {
			t.Fatal(err)
		}
		if theirMemory.ReadOnly() != memory.ReadOnly() {
			t.Errorf("flags %#x: read-only in the kernel %v, here %v", flags, theirMemory.ReadOnly(), memory.ReadOnly())
		}
		for range 2 {
			want, got := kernel.Freeze(), ours.Freeze()
			var theirs syscall.Errno
			if errors.As(want, &theirs); (want == nil) != (got == nil) || want != nil && !errors.Is(got, errno.Errno(theirs)) {
				t.Errorf("freeze with flags %#x: kernel %v, ours %v", flags, want, got)
			}
		}
		_, want := theirMemory.WriteAt([]byte{1}, 0)
		_, got := memory.WriteAt([]byte{1}, 0)
		if (want == nil) != (got == nil) {
			t.Errorf("write with flags %#x: kernel %v, ours %v", flags, want, got)
		}
	}
}
