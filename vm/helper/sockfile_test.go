package helper_test

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
	kmemory "github.com/skep-ebpf/skep/vm/memory"
)

// fileTypes are as much of the kernel's types as sockets' files need.
func fileTypes(t *testing.T) *btf.Spec {
	t.Helper()
	mode := &btf.Int{Name: "unsigned short", Size: 2}
	inode := &btf.Struct{Name: "inode", Size: 16, Members: []btf.Member{{Name: "i_mode", Type: mode}}}
	socket := &btf.Struct{Name: "socket", Size: 8, Members: []btf.Member{{Name: "state", Type: mode}}}
	return testenv.Types(t, socket, &btf.Struct{Name: "file", Size: 32, Members: []btf.Member{
		{Name: "private_data", Type: &btf.Pointer{Target: (*btf.Void)(nil)}, Offset: 64},
		{Name: "f_inode", Type: &btf.Pointer{Target: inode}, Offset: 128},
	}})
}

func TestSockFromFile(t *testing.T) {
	types := fileTypes(t)
	m := kmemory.New(types)
	defer m.Close()
	socket, err := m.Struct("socket", map[string]any{"state": 1})
	if err != nil {
		t.Fatal(err)
	}
	file := func(mode int) uint64 {
		addr, err := m.Struct("file", map[string]any{"private_data": socket, "f_inode": map[string]any{"i_mode": mode}})
		if err != nil {
			t.Fatal(err)
		}
		return addr
	}
	ofSocket, ofPipe := file(0o140777), file(0o010600)
	s := inWorld(t, ebpf.Tracing, nil)
	if s.Env.Objects, err = m.Objects(); err != nil {
		t.Fatal(err)
	}
	if got := call(t, s, "bpf_sock_from_file", ofSocket); got != 0 {
		t.Errorf("without types: %#x", got)
	}
	s.Env.Types = types
	for addr, want := range map[uint64]uint64{ofSocket: socket, ofPipe: 0, 0x1000: 0} {
		if got := call(t, s, "bpf_sock_from_file", addr); got != want {
			t.Errorf("of the file at %#x: %#x, want %#x", addr, got, want)
		}
	}
}
