//go:build !linux

package kernels

import "errors"

func load(kind, []uint64) (string, error) {
	return "", errors.New("there is no Linux to load programs into")
}
