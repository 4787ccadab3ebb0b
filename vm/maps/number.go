package maps

import "sync"

// numbers are what stands for maps, programs and whatever else programs can hold
// open, where Linux has file descriptors and ids. No two things have the same one.
var numbers struct {
	sync.Mutex
	free []uint32
	last uint32
}

// TakeNumber gives a number that nothing has, from 1.
func TakeNumber() uint32 {
	numbers.Lock()
	defer numbers.Unlock()
	if n := len(numbers.free); n > 0 {
		taken := numbers.free[n-1]
		numbers.free = numbers.free[:n-1]
		return taken
	}
	numbers.last++
	return numbers.last
}

// FreeNumber gives a number back; something else may have it then.
func FreeNumber(n uint32) {
	numbers.Lock()
	defer numbers.Unlock()
	numbers.free = append(numbers.free, n)
}
