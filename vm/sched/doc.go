// Package sched is what a BPF scheduler (sched_ext) finds around it: CPUs and
// which of them are idle, tasks, and the dispatch queues (DSQs) that it puts them
// into. It is Linux's model without the time: nothing runs here.
//
// A scheduler's operations are called one at a time: [Sched.Begin] says which one
// begins, what the program then asks for is done as Linux does it, and
// [Sched.End] finishes what waits for the operation's end. What Linux ends a
// scheduler for is in [Sched.Exit].
package sched
