package program

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestSentence(t *testing.T) {
	tests := map[string]string{
		"a\nb\t\x00c":             "a b c",
		"fine":                    "fine",
		strings.Repeat("x", 1000): strings.Repeat("x", maxSentence) + "...",
	}
	for text, want := range tests {
		if got := sentence(errors.New(text)).Error(); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
	if err := sentence(fs.ErrNotExist); err != fs.ErrNotExist {
		t.Errorf("a clean error became %v", err)
	}
}

func TestExplain(t *testing.T) {
	tests := map[string]string{
		"load BTF maps: map m: unsupported value type {UNRECOGNIZED: q} in 'values' field": "load BTF maps: map m: the values are neither",
		"load virtual .ksyms section: data section .ksyms: expected v to be *Void, not *x": "declare it as extern void v __ksym",
		`section ".struct_ops": got '.struct_ops' section: not supported`:                  "use .struct_ops.link",
		"anything else": "anything else",
	}
	for text, want := range tests {
		if got := explain(errors.New(text)).Error(); !strings.Contains(got, want) {
			t.Errorf("%q became %q", text, got)
		}
	}
}
