//go:build unix && !linux

package mem

const (
	noReserve = 0
	populate  = 0
)

func dense([]byte) {}
