//go:build !linux

package kernel

import "github.com/skep-ebpf/skep/hook"

func checkTarget(hook.Point) error { return nil }
