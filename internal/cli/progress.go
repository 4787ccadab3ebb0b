package cli

import (
	"fmt"
	"io"
	"time"
)

// progress shows on a terminal how far a capture has come, from the second
// second on.
type progress struct {
	w    io.Writer // nil: nobody reads along
	next time.Time
	on   bool
}

func newProgress(w io.Writer) *progress {
	if !isTerminal(w) {
		return &progress{}
	}
	return &progress{w: w, next: time.Now().Add(time.Second)}
}

// at says that n packets are done.
func (p *progress) at(n uint64) {
	const every = 1024 // packets between two looks at the clock
	if p.w == nil || n%every != 0 {
		return
	}
	if now := time.Now(); now.After(p.next) {
		p.next, p.on = now.Add(200*time.Millisecond), true
		fmt.Fprintf(p.w, "\r%d packets", n)
	}
}

// done wipes the line.
func (p *progress) done() {
	if p.on {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// waiting says on a terminal what takes more than a second. It ends with done.
func waiting(w io.Writer, what string) (done func()) {
	if !isTerminal(w) {
		return func() {}
	}
	shown := make(chan struct{})
	timer := time.AfterFunc(time.Second, func() {
		fmt.Fprint(w, what, " ...")
		close(shown)
	})
	return func() {
		if !timer.Stop() {
			<-shown
			fmt.Fprint(w, "\r\x1b[K")
		}
	}
}
