//go:build linux && (amd64 || arm64)

package kernelrun

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/cilium/ebpf/btf"
)

// funcInfo is struct bpf_func_info.
type funcInfo struct {
	start, typ uint32
}

// describe gives the functions a type: the kernel wants one for each where a
// function's address is taken.
func (a *progLoadAttr) describe(starts []int) error {
	types, err := functionType()
	if err != nil {
		return fmt.Errorf("describe functions to the kernel: %w", err)
	}
	infos := make([]funcInfo, 0, len(starts))
	for _, at := range starts {
		infos = append(infos, funcInfo{uint32(at), uint32(types.id)})
	}
	a.btf, a.funcInfo = uint32(types.handle.FD()), pointer(infos)
	a.funcInfoSize, a.funcInfoCount = uint32(unsafe.Sizeof(funcInfo{})), uint32(len(infos))
	return nil
}

type loadedType struct {
	handle *btf.Handle
	id     btf.TypeID
}

// functionType is the type of all functions, static int f(void), loaded once for
// the process.
var functionType = sync.OnceValues(func() (*loadedType, error) {
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	fn := &btf.Func{Name: "f", Type: &btf.FuncProto{Return: integer}, Linkage: btf.StaticFunc}
	b, err := btf.NewBuilder([]btf.Type{fn}, nil)
	if err != nil {
		return nil, err
	}
	id, err := b.Add(fn)
	if err != nil {
		return nil, err
	}
	h, err := btf.NewHandle(b)
	if err != nil {
		return nil, err
	}
	return &loadedType{h, id}, nil
})
