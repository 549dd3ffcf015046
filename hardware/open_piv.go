//go:build cgo || windows

// Opening a card with the library's own steps, so that a card that fails is given back.

package hardware

import (
	"crypto/rand"
	"io"
	"reflect"
	"unsafe"

	"github.com/go-piv/piv-go/v2/piv"
)

// The steps of the library's Open. That one leaves a card that has no PIV applet, or fails when it is selected, open until the
// process ends, for nobody else to use (v2.6.0, piv.go, client.Open): a program that lives for hours can't have that.
//
//go:linkname newContext github.com/go-piv/piv-go/v2/piv.newSCContext
func newContext() (unsafe.Pointer, error)

//go:linkname closeContext github.com/go-piv/piv-go/v2/piv.(*scContext).Close
func closeContext(context unsafe.Pointer) error

//go:linkname connectCard github.com/go-piv/piv-go/v2/piv.(*scContext).Connect
func connectCard(context unsafe.Pointer, reader string) (unsafe.Pointer, error)

//go:linkname disconnectCard github.com/go-piv/piv-go/v2/piv.(*scHandle).Close
func disconnectCard(handle unsafe.Pointer) error

//go:linkname beginTransaction github.com/go-piv/piv-go/v2/piv.(*scHandle).Begin
func beginTransaction(handle unsafe.Pointer) (unsafe.Pointer, error)

//go:linkname askVersion github.com/go-piv/piv-go/v2/piv.ykVersion
func askVersion(transaction unsafe.Pointer) (unsafe.Pointer, error)

func (pivSystem) open(reader string) (c card, err error) {
	err = guard(func() error {
		c, err = openCard(reader)
		return err
	})
	return c, err
}

// openCard closes what it opened where it fails or panics.
func openCard(reader string) (card, error) {
	c := &pivCard{new(piv.YubiKey)}
	var undo []func()
	defer func() {
		for i := range undo {
			undo[len(undo)-1-i]()
		}
	}()
	context, err := newContext()
	if err != nil {
		return nil, translate(err)
	}
	undo = append(undo, func() { _ = closeContext(context) })
	handle, err := connectCard(context, reader)
	if err != nil {
		return nil, translate(err)
	}
	undo = append(undo, func() { _ = disconnectCard(handle) })
	transaction, err := beginTransaction(handle)
	if err != nil {
		return nil, translate(err)
	}
	for name, value := range map[string]unsafe.Pointer{"ctx": context, "h": handle, "tx": transaction} {
		c.set(name, value)
	}
	if err := c.enter(); err != nil {
		return nil, err
	}
	version, err := askVersion(transaction)
	if err != nil {
		return nil, translate(err)
	}
	c.set("version", version)
	*(*io.Reader)(c.field("rand").Addr().UnsafePointer()) = rand.Reader
	undo = nil
	return c, nil
}

// field is a field that the library shows nobody.
func (c *pivCard) field(name string) reflect.Value {
	return reflect.ValueOf(c.yk).Elem().FieldByName(name)
}

// set sets a field that is a pointer.
func (c *pivCard) set(name string, value unsafe.Pointer) {
	*(*unsafe.Pointer)(c.field(name).Addr().UnsafePointer()) = value
}
