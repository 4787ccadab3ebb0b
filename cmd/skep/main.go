// Skep runs eBPF programs: see "skep help".
package main

import (
	"os"

	"github.com/skep-ebpf/skep/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
