// Command gen writes docs/helpers.md from the machine's tables.
package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/helper"
)

func main() {
	if err := os.WriteFile("../../docs/helpers.md", document(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const intro = `# Helpers

Each helper of Linux, and what the user-space machine makes of it. This page is
generated from the tables in [vm/helper](../vm/helper): run ` + "`go generate ./vm/helper`" + `.

- **supported**: it does what it does in Linux, to the error number.
- **asked of the world**: it needs to know of what lies around the machine, and asks the
  environment ([world.md](world.md)). Without an answer it gives what Linux gives where there
  is nothing.

Types are the program types that have the helper. *GPL* marks what only programs of a GPL
compatible licence may call. Since is the first Linux that has it.

`

// document is the page.
func document() []byte {
	var b bytes.Buffer
	b.WriteString(intro)
	supported, asked := 0, 0
	var rows bytes.Buffer
	for _, e := range helper.Linux() {
		h := helper.ByID(e.ID)
		if h.Asks != "" {
			asked++
		} else {
			supported++
		}
		gpl := ""
		if e.GPL {
			gpl = "GPL"
		}
		fmt.Fprintf(&rows, "| %d | `%s` | %s | %s | %s | %s |\n", e.ID, e.Name, e.Since, types(e.Types), gpl, status(h))
	}
	fmt.Fprintf(&b, "Of %d helpers, %d are supported, and %d asked of the world.\n\n", len(helper.Linux()), supported, asked)
	b.WriteString("| ID | helper | since | types | licence | in the machine |\n|---|---|---|---|---|---|\n")
	b.Write(rows.Bytes())

	b.WriteString("\n## Kernel functions\n\nKernel functions that programs call by name (kfuncs).\n\n")
	b.WriteString("| function | since | types | in the machine |\n|---|---|---|---|\n")
	for _, f := range helper.Kfuncs() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Since, types(f.Types), status(f))
	}
	b.WriteString("\nRefused: a program that calls one does not load, and is told why.\n\n")
	for _, name := range slices.Sorted(maps.Keys(helper.RefusedKfuncs)) {
		fmt.Fprintf(&b, "- `%s` %s\n", name, helper.RefusedKfuncs[name])
	}
	return b.Bytes()
}

// status is what the machine makes of what it has.
func status(h *helper.Helper) string {
	if h.Asks != "" {
		return "asked of the world: " + h.Asks
	}
	return "supported"
}

// types names program types in short: what most have is told by what lacks it.
func types(all []ebpf.ProgramType) string {
	if len(all) == 0 {
		return "all"
	}
	var have, lack []string
	for t := ebpf.SocketFilter; t <= ebpf.Netfilter; t++ {
		switch {
		case slices.Contains(all, t):
			have = append(have, t.String())
		case t != ebpf.Extension:
			lack = append(lack, t.String())
		}
	}
	if len(lack) < len(have) {
		return "all but " + strings.Join(lack, ", ")
	}
	return strings.Join(have, ", ")
}
