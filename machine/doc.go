// Package machine is one interface for the two machines that programs run on: Linux
// (package kernel) and skep's own (package vm).
//
//	m := machine.Kernel(&machine.KernelOptions{}) // or machine.User(&machine.UserOptions{...})
//	c, err := m.Load(p, &machine.Options{})
//	links, err := c.Attach(at)
//	events, err := c.Events("events")
//	err = events.Read(ctx, &record)
//	c.Map("counts").Lookup(key, &n)
//	err = c.Close()
//
// What drives programs lies outside: in Linux it is what goes on there, in skep's own
// machine it is whoever sends packets into its network, or calls [Collection.Run].
package machine
