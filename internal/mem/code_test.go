package mem

import (
	"bytes"
	"testing"
)

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
