package kernels

import (
	"bytes"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// progLoadAttr is the part of union bpf_attr that BPF_PROG_LOAD reads.
type progLoadAttr struct {
	progType, insnCount    uint32
	insns, licence         unsafe.Pointer
	logLevel, logSize      uint32
	log                    unsafe.Pointer
	kernelVersion, flags   uint32
	name                   [unix.BPF_OBJ_NAME_LEN]byte
	ifindex, attachType    uint32
	btf, funcInfoSize      uint32
	funcInfo               uint64
	funcInfoCount, lineRec uint32
	lineInfo               uint64
	lineInfoCount, target  uint32
}

// load gives the running kernel a program of a kind: some instructions, and the
// return. It gives what the verifier says where it refuses.
func load(k kind, insns []uint64) (log string, err error) {
	const movR0, exit = 0xb7, 0x95 // r0 = k.ret; exit
	insns = append(insns[:len(insns):len(insns)], movR0|uint64(k.ret)<<32, exit)
	licence := append([]byte(k.licence), 0)
	text := make([]byte, 4096)
	attr := progLoadAttr{
		progType: uint32(k.prog), insnCount: uint32(len(insns)), insns: unsafe.Pointer(&insns[0]),
		licence:  unsafe.Pointer(&licence[0]),
		logLevel: 1, logSize: uint32(len(text)), log: unsafe.Pointer(&text[0]),
		attachType: uint32(k.attach), target: uint32(k.target),
	}
	if k.prog == ebpf.StructOps {
		attr.attachType = k.member
	}
	if k.sleepable {
		attr.flags = unix.BPF_F_SLEEPABLE
	}
	for {
		fd, _, e := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		runtime.KeepAlive(insns)
		switch e {
		case 0:
			return "", unix.Close(int(fd))
		case unix.EAGAIN, unix.EINTR: // a signal, such as the runtime's, ended the verifier early
			continue
		}
		text, _, _ = bytes.Cut(text, []byte{0})
		return string(text), e
	}
}
