package mem

import (
	"bytes"
	"os"
	"testing"
)

// TestShortCode makes more pieces of code than lie in a region, and frees every other one
// first.
func TestShortCode(t *testing.T) {
	var all []*Code
	text := func(n int) []byte { return bytes.Repeat([]byte{byte(n), byte(n >> 8), 0xcc}, 500*(1+n%20)) }
	for n := range 100 {
		c, err := NewCode(text(n))
		if err != nil {
			t.Skipf("the system does not let this process execute what it wrote: %v", err)
		}
		all = append(all, c)
	}
	for n := 0; n < len(all); n += 2 {
		if err := all[n].Free(); err != nil {
			t.Error(err)
		}
	}
	for n := 1; n < len(all); n += 2 {
		if !bytes.Equal(all[n].Bytes(), text(n)) || all[n].Addr()%uintptr(os.Getpagesize()) != 0 {
			t.Errorf("code %d at %#x is not what was given", n, all[n].Addr())
		}
		if err := all[n].Free(); err != nil {
			t.Error(err)
		}
	}
}

func TestCode(t *testing.T) {
	text := bytes.Repeat([]byte{1, 2, 3, 4}, 3000)
	before := Codes()
	c, err := NewCode(text)
	if err != nil {
		t.Skipf("the system does not let this process execute what it wrote: %v", err)
	}
	if c.Addr() == 0 || !bytes.Equal(c.Bytes()[:len(text)], text) {
		t.Error("the code is not what was given")
	}
	if n := Codes() - before; n != 1 {
		t.Errorf("counts %d pieces of code, not 1", n)
	}
	for range 2 {
		if err := c.Free(); err != nil {
			t.Error(err)
		}
	}
	if n := Codes() - before; n != 0 {
		t.Errorf("counts %d pieces of code when all are freed", n)
	}
}
