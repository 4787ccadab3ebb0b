package maps

import (
	"runtime"
	"sync/atomic"
	"time"
)

// seqLock excludes writers from each other, and tells readers, who do not take it,
// whether a writer was there: it is odd while it is held, and each release makes it
// another number.
type seqLock struct{ word uint32 }

func (l *seqLock) lock() {
	for n := 1; ; n++ {
		if v := atomic.LoadUint32(&l.word); v&1 == 0 && atomic.CompareAndSwapUint32(&l.word, v, v+1) {
			return
		}
		switch {
		case n%2048 == 0: // the system has taken the holder's processor away
			time.Sleep(50 * time.Microsecond)
		case n%64 == 0:
			runtime.Gosched() // the holder may be waiting for this processor
		default:
			pause(min(n, maxPause))
		}
	}
}

// maxPause bounds how long a waiter does not look at a lock.
const maxPause = 16

// pause passes the time of some ten cycles for each of n. Who waits for a lock must not
// look at it all the time: each look takes the cache line away from the holder, who
// writes to it. So the holder is done earlier, and often takes the lock again
// while the line is still there.
func pause(n int) {
	for range n * 10 {
	}
}

func (l *seqLock) unlock() { atomic.AddUint32(&l.word, 1) }

// begin is before a reader reads; false where a writer is at work.
func (l *seqLock) begin() (version uint32, ok bool) {
	version = atomic.LoadUint32(&l.word)
	return version, version&1 == 0
}

// unchanged reports whether no writer has been there since begin, so that what was
// read between is true.
func (l *seqLock) unchanged(version uint32) bool {
	if runtime.GOARCH == "amd64" {
		return atomic.LoadUint32(&l.word) == version
	}
	// Other processors may take a load before an earlier one, but not this, which
	// changes nothing.
	return atomic.AddUint32(&l.word, 0) == version
}
