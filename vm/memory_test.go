package vm

import (
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

func TestMemory(t *testing.T) {
	spec := &ebpf.MapSpec{Name: "m", Type: ebpf.Array, KeySize: 4, ValueSize: 12, MaxEntries: 3}
	plain, err := NewMap(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, err := plain.Memory(); !errors.Is(err, ebpf.ErrNotSupported) {
		t.Errorf("memory of a map without BPF_F_MMAPABLE: %v", err)
	}

	spec.Flags = 1 << 10
	m, err := NewMap(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	mem, err := m.Memory()
	if err != nil {
		t.Fatal(err)
	}
	if mem.Size() != 4096 || mem.ReadOnly() {
		t.Errorf("%d bytes, read-only %v", mem.Size(), mem.ReadOnly())
	}
	if n, err := mem.WriteAt([]byte("twelve bytes"), 16); n != 12 || err != nil {
		t.Error(n, err)
	}
	var value [12]byte
	if err := m.Lookup(uint32(1), &value); err != nil || string(value[:]) != "twelve bytes" {
		t.Errorf("the map has %q: %v", value, err)
	}
	if n, err := mem.ReadAt(value[:], 4090); n != 6 || err != io.EOF {
		t.Errorf("read over the end: %d, %v", n, err)
	}
	if _, err := mem.ReadAt(value[:], 4096); err == nil {
		t.Error("read behind the end")
	}
	if err := m.Freeze(); !errors.Is(err, errno.EBUSY) {
		t.Errorf("freeze a map with writable memory: %v", err)
	}
	if err := mem.Close(); err != nil {
		t.Error(err)
	}
	if _, err := mem.WriteAt(value[:], 0); err == nil {
		t.Error("write to memory that is closed")
	}
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	frozen, err := m.Memory()
	if err != nil || !frozen.ReadOnly() {
		t.Fatal(frozen, err)
	}
	if _, err := frozen.WriteAt(value[:], 0); !errors.Is(err, ebpf.ErrReadOnly) {
		t.Errorf("write to a frozen map's memory: %v", err)
	}
}

// TestMemoryOutOfReach: memory that nobody can write to any more is no obstacle.
func TestMemoryOutOfReach(t *testing.T) {
	m, err := NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 3, Flags: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Memory(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		runtime.GC()
		if err = m.Freeze(); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error(err)
}
