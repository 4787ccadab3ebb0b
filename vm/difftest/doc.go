// Package difftest holds the user-space machine against the running kernel: a
// random program is run by several engines, and whatever they leave (result,
// packet, context, maps) must be the same.
//
// A case on which they differ is made smaller while it still does ([Minimise])
// and written down as text ([Write]), with what the kernel gave, so that every
// engine is held against it ever after, without a kernel too.
package difftest
