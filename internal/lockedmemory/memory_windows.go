// Pages as Windows gives and locks them.

package lockedmemory

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// allocate reserves and commits size bytes, a multiple of the page's size. weak is why they are not
// locked.
func allocate(size int) (pages []byte, weak, err error) {
	address, err := windows.VirtualAlloc(0, uintptr(size), windows.MEM_COMMIT|windows.MEM_RESERVE, windows.PAGE_READWRITE)
	if err != nil {
		return nil, nil, err
	}
	// Reading the address as a pointer keeps go vet from taking it for one into Go's heap.
	pages = unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), size)
	if err := windows.VirtualLock(address, uintptr(size)); err != nil {
		weak = fmt.Errorf("locking memory: %w", err)
	}
	return pages, weak, nil
}

func free(pages []byte, locked bool) {
	address := uintptr(unsafe.Pointer(unsafe.SliceData(pages)))
	if locked {
		_ = windows.VirtualUnlock(address, uintptr(len(pages)))
	}
	_ = windows.VirtualFree(address, 0, windows.MEM_RELEASE)
}
