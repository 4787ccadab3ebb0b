// Package skep is the root of a project that runs eBPF programs anywhere. It has
// no code of its own: the command is cmd/skep, the user-space machine is package
// vm, and docs/architecture.md walks through the rest.
package skep
