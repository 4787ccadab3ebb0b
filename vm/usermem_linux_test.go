package vm_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/vm/exec"
)

// TestUserMemoryKfuncs reads a page of this process's memory in Linux, and in the
// machine the same bytes at the same address. Behind the page there is nothing.
func TestUserMemoryKfuncs(t *testing.T) {
	page := os.Getpagesize()
	room, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(room) })
	for i := range room[:page] {
		room[i] = 'a' + byte(i%26)
	}
	for i := range page / 512 {
		room[i*512] = 0
	}
	if err := unix.Mprotect(room[page:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	base := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(room))))
	objects, err := exec.NewObjects(nil, []exec.Virtual{{Addr: base, Bytes: slices.Clone(room[:page]), User: true}})
	if err != nil {
		t.Fatal(err)
	}
	for prog, n := range map[string]int{"strings": 2000, "dynptrs": 2000, "packet": 100} {
		t.Run(prog, func(t *testing.T) {
			runners := kfuncRunnersIn(t, &exec.Env{Objects: objects}, "usermem", prog)
			compareRunners(t, runners, n, func(rnd *rand.Rand) (in kfuncInput) {
				end := base + uint64(page)
				from := []uint64{base, base + 1, base + 500, base + 511, base + 512, end - 1, end - 8, end - 30, end - 300, end, 0, 1 << 47, 0xffffffffffffff00}[rnd.IntN(13)]
				size := pick(rnd, 0, 1, 2, 8, 9, 31, 63, 64, 127, 128, 129, 255, 256, 257, 400, 511, 512, 700, 1<<32-1)
				in.In = [8]uint64{from, size, []uint64{0, 0, 0, 1, 2}[rnd.IntN(5)], pick(rnd, 0, 1, 64, 100, 127, 128, 3700, 3800, 4000, 4900, 5000), rnd.Uint64N(8)}
				if in.In[4] == 1 && from > end { // of a fault Linux's function leaves any bytes
					in.In[0] = 0
				}
				for i := range in.Text {
					for j := range in.Text[i] {
						in.Text[i][j] = byte(rnd.Uint32())
					}
				}
				if prog == "packet" {
					in.Data = make([]byte, 5000)
					in.In[0] = base + (from-base)%uint64(page/2) // what is there in part may be written in part, or not
				}
				return in
			})
		})
	}
}
