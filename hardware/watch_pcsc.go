//go:build cgo && (linux || darwin || freebsd || openbsd)

// Looks at a reader through the system's smart card library, the one function of it that piv-go does not call.

package hardware

// #cgo darwin LDFLAGS: -framework PCSC
// #cgo linux pkg-config: libpcsclite
// #cgo freebsd openbsd CFLAGS: -I/usr/local/include/ -I/usr/local/include/PCSC
// #cgo freebsd openbsd LDFLAGS: -L/usr/local/lib/ -lpcsclite
// #include <stdlib.h>
// #include <string.h>
// #include <PCSC/winscard.h>
// #include <PCSC/wintypes.h>
//
// // The structure is packed on macOS, where Go could not lay it out.
// static LONG look(SCARDCONTEXT context, const char *reader, DWORD milliseconds, DWORD known, DWORD *state) {
//	SCARD_READERSTATE r;
//	memset(&r, 0, sizeof r);
//	r.szReader = reader;
//	r.dwCurrentState = known;
//	LONG code = SCardGetStatusChange(context, milliseconds, &r, 1);
//	*state = r.dwEventState;
//	return code;
// }
import "C"

import (
	"time"
	"unsafe"
)

// pcscLookout is a context of its own: calls in one context wait for each other.
type pcscLookout struct {
	context C.SCARDCONTEXT
	reader  *C.char
}

func (pivSystem) lookout(reader string) (lookout, error) {
	l := &pcscLookout{reader: C.CString(reader)}
	if code := C.SCardEstablishContext(C.SCARD_SCOPE_SYSTEM, nil, nil, &l.context); code != C.SCARD_S_SUCCESS {
		C.free(unsafe.Pointer(l.reader))
		return nil, readerError(uint32(code))
	}
	return l, nil
}

func (l *pcscLookout) look(known uint32, limit time.Duration) (uint32, error) {
	var state C.DWORD
	code := C.look(l.context, l.reader, C.DWORD(limit.Milliseconds()), C.DWORD(known), &state)
	return uint32(state), lookError(uint32(code))
}

func (l *pcscLookout) close() {
	C.SCardReleaseContext(l.context)
	C.free(unsafe.Pointer(l.reader))
}
