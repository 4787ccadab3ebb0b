package mem

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

var flushInstructionCache = windows.NewLazySystemDLL("kernel32.dll").NewProc("FlushInstructionCache")

// execute makes b executable and no longer writable.
func execute(b []byte) error {
	addr, size := uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b))
	var was uint32
	if err := windows.VirtualProtect(addr, size, windows.PAGE_EXECUTE_READ, &was); err != nil {
		return err
	}
	if ok, _, err := flushInstructionCache.Call(uintptr(windows.CurrentProcess()), addr, size); ok == 0 {
		return err
	}
	return nil
}
