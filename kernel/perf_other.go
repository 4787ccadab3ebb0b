//go:build !linux

package kernel

import "github.com/cilium/ebpf"

func newPerfReader(*ebpf.Map) (reader, error) { return nil, ebpf.ErrNotSupported }
