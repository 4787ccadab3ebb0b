//go:build unix

package mem

import "golang.org/x/sys/unix"

// execute makes b executable and no longer writable.
//
// On macOS this is what processes may do that are not signed with the hardened
// runtime, as binaries that Go links are not. Within it, code would have to lie in
// a MAP_JIT mapping with the entitlement allow-jit, whose protection only a
// call into the system's C library changes.
func execute(b []byte) error {
	if err := unix.Mprotect(b, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		return err
	}
	flush(b)
	return nil
}
