// Package world answers what programs ask of the system around the machine
// (processes, sockets, cgroups, routes, neighbours) from a description: a Go
// struct, or a file that a person writes (docs/world.md).
//
//	w, err := world.Open("world.yaml")
//	...
//	env := new(exec.Env)
//	w.Into(env)
//
// A world does not change while programs run, but for what they do to sockets
// themselves. It knows no real system: nothing is sent, signalled or opened.
package world
