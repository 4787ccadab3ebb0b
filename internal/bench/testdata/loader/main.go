// Command loader is what skep's start is held against: a program that does nothing but
// load one of start.bpf.o's with cilium/ebpf, attach it, and print its first event.
//
//	loader OBJECT PROGRAM PID
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "loader:", err)
		os.Exit(1)
	}
}

func run(object, name, pid string) error {
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		return err
	}
	for other := range spec.Programs {
		if other != name {
			delete(spec.Programs, other)
		}
	}
	n, err := strconv.ParseUint(pid, 10, 32)
	if err != nil {
		return err
	}
	if err := spec.Variables["watched"].Set(uint32(n)); err != nil {
		return err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return err
	}
	defer coll.Close()
	events, err := ringbuf.NewReader(coll.Maps["events"])
	if err != nil {
		return err
	}
	defer events.Close()
	l, err := attach(coll.Programs[name])
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		record, err := events.Read()
		if err != nil {
			return err
		}
		fmt.Println("pid", binary.LittleEndian.Uint32(record.RawSample))
	}
}

func attach(p *ebpf.Program) (link.Link, error) {
	if p.Type() == ebpf.Tracing {
		return link.AttachTracing(link.TracingOptions{Program: p})
	}
	return link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: p})
}
