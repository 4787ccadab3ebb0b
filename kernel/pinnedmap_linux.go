package kernel

import (
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// mapInfo is the beginning of struct bpf_map_info: what is needed of it here.
type mapInfo struct {
	_                          [64]byte
	btf, keyType, valueType, _ uint32
}

// infoAttr is the part of union bpf_attr that BPF_OBJ_GET_INFO_BY_FD has.
type infoAttr struct {
	fd, size uint32
	info     unsafe.Pointer
}

// typesOf gives a map's types, which cilium/ebpf does not tell of maps that it did not
// make; void where there are none.
func typesOf(m *ebpf.Map) (key, value btf.Type, err error) {
	key, value = (*btf.Void)(nil), (*btf.Void)(nil)
	var info mapInfo
	attr := infoAttr{uint32(m.FD()), uint32(unsafe.Sizeof(info)), unsafe.Pointer(&info)}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_OBJ_GET_INFO_BY_FD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(m)
	switch {
	case errno != 0:
		return nil, nil, errno
	case info.btf == 0:
		return key, value, nil
	}
	handle, err := btf.NewHandleFromID(btf.ID(info.btf))
	if err != nil {
		return nil, nil, err
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		return nil, nil, err
	}
	if key, err = types.TypeByID(btf.TypeID(info.keyType)); err != nil {
		return nil, nil, err
	}
	value, err = types.TypeByID(btf.TypeID(info.valueType))
	return key, value, err
}
