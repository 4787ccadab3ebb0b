package jit

import (
	"sync"

	"github.com/skep-ebpf/skep/vm/jit/amd64"
	"github.com/skep-ebpf/skep/vm/jit/arm64"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// workspace is the memory in which one program at a time is compiled. What comes of a
// program lies there until the workspace is released, and what outlives it is copied.
type workspace struct {
	ir    ir.Workspace
	amd64 amd64.Emitter
	arm64 arm64.Emitter
}

// workspaces are those that nobody compiles in.
var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// newWorkspace gives one that nobody else has until it is released.
func newWorkspace() *workspace { return workspaces.Get().(*workspace) }

// release lets others compile in the workspace.
func (w *workspace) release() {
	w.ir.Reset()
	workspaces.Put(w)
}
