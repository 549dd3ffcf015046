// Looks at a reader through Windows' own smart card library.

package hardware

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	winscard         = windows.NewLazySystemDLL("winscard.dll")
	establishContext = winscard.NewProc("SCardEstablishContext")
	releaseContext   = winscard.NewProc("SCardReleaseContext")
	getStatusChange  = winscard.NewProc("SCardGetStatusChangeW")
)

// scopeSystem is SCARD_SCOPE_SYSTEM (winscard.h).
const scopeSystem = 2

// readerState is SCARD_READERSTATEW
// (https://learn.microsoft.com/windows/win32/api/winscard/ns-winscard-scard_readerstatew).
type readerState struct {
	reader         *uint16
	userData       uintptr
	current, event uint32
	atrLength      uint32
	atr            [36]byte
}

type windowsLookout struct {
	context uintptr
	reader  *uint16
}

func (pivSystem) lookout(reader string) (lookout, error) {
	name, err := windows.UTF16PtrFromString(reader)
	if err != nil {
		return nil, err
	}
	l := &windowsLookout{reader: name}
	if code, _, _ := establishContext.Call(scopeSystem, 0, 0, uintptr(unsafe.Pointer(&l.context))); code != 0 {
		return nil, readerError(uint32(code))
	}
	return l, nil
}

func (l *windowsLookout) look(known uint32, limit time.Duration) (uint32, error) {
	r := readerState{reader: l.reader, current: known}
	code, _, _ := getStatusChange.Call(l.context, uintptr(limit.Milliseconds()), uintptr(unsafe.Pointer(&r)), 1)
	return r.event, lookError(uint32(code))
}

func (l *windowsLookout) close() { _, _, _ = releaseContext.Call(l.context) }
