//go:build ignore

// Generate takes the loaders of objects out of what bpftool makes of them: for
// NAME.bpf.o the program that loads it into NAME.insns, and that program's data into
// NAME.data.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

func main() {
	for _, object := range os.Args[1:] {
		if err := generate(object); err != nil {
			fmt.Fprintln(os.Stderr, object+":", err)
			os.Exit(1)
		}
	}
}

func generate(object string) error {
	skeleton, err := exec.Command("bpftool", "gen", "skeleton", "-L", object).Output()
	if err != nil {
		return fmt.Errorf("bpftool gen skeleton: %w", err)
	}
	name := strings.TrimSuffix(filepath.Base(object), ".bpf.o")
	for _, part := range []string{"data", "insns"} {
		literal := regexp.MustCompile(`(?s)opts\.` + part + ` = \(void \*\)"(.*?)";`).FindSubmatch(skeleton)
		if literal == nil {
			return fmt.Errorf("the skeleton has no %s", part)
		}
		if err := os.WriteFile(name+"."+part, unquote(string(literal[1])), 0o644); err != nil {
			return err
		}
	}
	return nil
}

var escape = regexp.MustCompile(`\\(\n|x[0-9a-f]{2}|0|[abfnrtv"\\])|[^\\]`)

// unquote gives the bytes of a C string as bpftool writes them.
func unquote(literal string) (b []byte) {
	for _, c := range escape.FindAllString(literal, -1) {
		switch {
		case len(c) == 1:
			b = append(b, c[0])
		case c == "\\\n":
		case c[1] == 'x':
			n, _ := strconv.ParseUint(c[2:], 16, 8) // two digits
			b = append(b, byte(n))
		case c[1] == '0':
			b = append(b, 0)
		default:
			b = append(b, map[byte]byte{'a': 7, 'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11, '"': '"', '\\': '\\'}[c[1]])
		}
	}
	return b
}
