// Package progtype describes the program types: what their context looks like
// to a program and where each field really lies, how a run's packet and context
// are set up, as the kernel's test run does it (net/bpf/test_run.c), and what
// their return codes are called.
//
// It differs from a test run where that shows Linux's memory rather than its
// network: a packet lies in one piece however long it is, so that none has
// fragments and a context cannot ask for them; room before and behind a socket
// buffer ends later. Interfaces exist as soon as a context names them, with as
// many queues. A packet belongs to no socket: sk is NULL.
//
// A file is one family of types.
package progtype
