package kernels

import (
	"bytes"
	_ "embed"
	"sync"

	"github.com/cilium/ebpf/btf"
)

// kfuncTypes are made by internal/kfunctypes from the BTF of the newest profile.
//
//go:embed data/kfuncs.btf
var kfuncTypes []byte

// KfuncTypes are the prototypes of kernel functions, for where no kernel's own
// types are at hand. Structures that programs cannot fill in are empty but for
// their names and sizes.
var KfuncTypes = sync.OnceValues(func() (*btf.Spec, error) {
	return btf.LoadSpecFromReader(bytes.NewReader(kfuncTypes))
})
