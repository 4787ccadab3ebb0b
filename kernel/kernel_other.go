//go:build !linux

package kernel

import (
	"errors"

	"github.com/skep-ebpf/skep/hook"
)

func checkTarget(hook.Point) error { return nil }

func lockPins(string) (unlock func(), err error) {
	return nil, errors.New("programs stay attached in Linux alone")
}
