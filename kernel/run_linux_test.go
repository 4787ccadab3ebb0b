package kernel

import (
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// TestSyscall runs a program once, where others would be attached.
func TestSyscall(t *testing.T) {
	testenv.Kernel(t)
	t.Run("syscall", func(t *testing.T) {
		c, _ := attachAt(t, counting("syscall", ebpf.Syscall, 0, "", 7), "count", "syscall")
		var n uint64
		if err := c.Maps["hits"].Lookup(uint32(0), &n); err != nil || n != 1 {
			t.Errorf("the program ran %d times, %v, want once", n, err)
		}
	})
}

// TestTimer runs a program every so often, also one whose section says nothing of it.
func TestTimer(t *testing.T) {
	testenv.Kernel(t)
	for _, at := range []string{"timer/20ms", "timer:5ms"} {
		t.Run(at, func(t *testing.T) {
			start := time.Now()
			c, link := attachAt(t, counting("", ebpf.UnspecifiedProgram, 0, "", 0), "count", at)
			time.Sleep(120 * time.Millisecond)
			if err := link.Close(); err != nil {
				t.Fatal(err)
			}
			period, err := time.ParseDuration(link.Point().Target)
			if err != nil {
				t.Fatal(err)
			}
			most := uint64(time.Since(start) / period)
			var n uint64
			if err := c.Maps["hits"].Lookup(uint32(0), &n); err != nil || n == 0 || n > most {
				t.Errorf("the program ran %d times, %v, want 1 to %d", n, err, most)
			}
			time.Sleep(2 * period)
			var after uint64
			if err := c.Maps["hits"].Lookup(uint32(0), &after); err != nil || after != n {
				t.Errorf("closed, the program ran on: %d times, %v", after-n, err)
			}
		})
	}
}

func TestRunRefused(t *testing.T) {
	needs(t, "syscall")
	testenv.Kernel(t)
	for at, want := range map[string]string{
		"syscall":      "it returned -22 (invalid argument)",
		"syscall/open": "such a program runs once and is attached nowhere: leave open away",
		"timer/rarely": `timer/rarely: "rarely" is no period: want how often, as 10ms, such as timer/10ms`,
		"timer":        "timer needs how often, as 10ms: say it with --hook, such as --hook timer/10ms",
	} {
		point, err := hook.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Load(counting("syscall", ebpf.Syscall, 0, "", -22), &Options{At: []hook.Attachment{{Program: "count", Point: point}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Attach([]hook.Attachment{{Program: "count", Point: point}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", at, err, want)
		}
		c.Close()
	}
}
