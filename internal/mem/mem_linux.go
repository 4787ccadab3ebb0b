package mem

import "golang.org/x/sys/unix"

const (
	noReserve = unix.MAP_NORESERVE
	populate  = unix.MAP_POPULATE
)

// hugePage is the size of the pages that pay: smaller blocks have few pages.
const hugePage = 2 << 20

// dense asks for huge pages. A system without them goes on with small ones.
func dense(b []byte) {
	if len(b) >= 2*hugePage {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	}
}
