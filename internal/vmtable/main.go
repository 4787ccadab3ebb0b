// Command vmtable makes a table of what tests said in several kernels: kinds of hooks,
// and other tests, by kernel.
//
//	vmtable [-update docs/kernels.md] 6.1=FILE 6.12=FILE
//
// A file is what go test -json wrote while it ran tests in that kernel. A subtest that is
// named as a hook, as kprobe/do_unlinkat, is of that kind of hooks: that it passes means
// that a program ran there. What a test says when it skips stands below the table.
//
// The table is printed, or takes the place of the last one in a document. vmtable ends
// with 1 where a test failed, or a program ran at a kind of hooks in no kernel.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

// heading is what the table stands behind in a document, which it ends.
const heading = "\n## Hooks\n"

func main() {
	update := flag.String("update", "", "write the table into this `document`")
	flag.Parse()
	if err := run(*update, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "vmtable:", err)
		os.Exit(1)
	}
}

func run(document string, args []string) error {
	var runs []*kernelRun
	for _, arg := range args {
		version, file, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q: want VERSION=FILE", arg)
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		r, err := readRun(version, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		runs = append(runs, r)
	}
	text, holes := table(runs)
	if document == "" {
		fmt.Print(text)
	} else if err := write(document, text); err != nil {
		return err
	}
	if len(holes) > 0 {
		return errors.New(strings.Join(holes, "\n"))
	}
	return nil
}

// write puts the table into a document.
func write(document, text string) error {
	old, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, _, _ := bytes.Cut(old, []byte(heading))
	return os.WriteFile(document, append(before, heading+text...), 0o644)
}
