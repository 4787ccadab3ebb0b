package interp

import (
	"runtime"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/isa"
)

// mapPlace is what stands in the suite's programs where a map belongs.
const mapPlace = 0x7fff1234

// kernelRun runs raw instructions in the running kernel over a packet, and gives
// ns a run.
func kernelRun(t testing.TB, insns []isa.Instruction, typ ebpf.ProgramType, packet []byte, repeat int) float64 {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 32768, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i := range insns {
		if insns[i].IsWide() && insns[i].Imm == mapPlace {
			insns[i].Src, insns[i].Imm = isa.PseudoMapFD, int32(m.FD())
		}
	}
	raw, license := isa.Encode(insns), []byte("GPL\x00")
	load := struct {
		typ, count     uint32
		insns, license unsafe.Pointer
	}{uint32(typ), uint32(len(insns)), unsafe.Pointer(&raw[0]), unsafe.Pointer(&license[0])}
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	if err != nil {
		t.Fatalf("load into the running kernel: %v", err)
	}
	defer unix.Close(fd)
	run := struct {
		fd, retval, sizeIn, sizeOut uint32
		in, out                     unsafe.Pointer
		repeat, duration            uint32
	}{fd: uint32(fd), sizeIn: uint32(len(packet)), in: unsafe.Pointer(&packet[0]), repeat: uint32(max(repeat, 1))}
	if _, err := bpf(unix.BPF_PROG_TEST_RUN, unsafe.Pointer(&run), unsafe.Sizeof(run)); err != nil {
		t.Fatalf("run in the running kernel: %v", err)
	}
	return float64(run.duration)
}

func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(attr)
	fd, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}
