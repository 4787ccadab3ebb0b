// Package kernel is Linux as a machine: it loads what an object holds, attaches
// programs where their sections say, reads what they send, and leaves nothing
// behind, or exactly what was pinned.
//
// Loading, links and maps are cilium/ebpf's; what is here is what to do with them:
// what this kernel allows ([Probe]), where a [hook.Point] is in it ([Attach]), and
// why something was refused, in a sentence.
package kernel
