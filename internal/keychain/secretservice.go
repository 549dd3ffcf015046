// Looking for the Secret Service on the session bus, before anything is asked of it.
// (freedesktop.org, Secret Service API, "Collection" and "Service")

//go:build (dragonfly && cgo) || (freebsd && cgo) || linux || netbsd || openbsd

package keychain

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
)

const (
	secretsName       = "org.freedesktop.secrets"
	secretsPath       = dbus.ObjectPath("/org/freedesktop/secrets")
	serviceInterface  = "org.freedesktop.Secret.Service"
	collectionFace    = "org.freedesktop.Secret.Collection"
	loginCollection   = secretsPath + "/collection/login"
	defaultCollection = secretsPath + "/aliases/default"
	addressVariable   = "DBUS_SESSION_BUS_ADDRESS"
)

// look finds out, without disturbing anybody, that the service answers and whether the collection
// that will be used is locked.
func look(ctx context.Context) (locked bool, err error) {
	conn, err := connect()
	if err != nil {
		return false, err
	}
	var collections []dbus.ObjectPath
	if err := property(ctx, conn, secretsPath, serviceInterface, "Collections", &collections); err != nil {
		return false, explainBus(err)
	}
	collection := defaultCollection // the choice of the client library
	if slices.Contains(collections, loginCollection) {
		collection = loginCollection
	}
	if err := property(ctx, conn, collection, collectionFace, "Locked", &locked); err != nil {
		return false, &UnavailableError{Reason: "it has no collection for passwords yet", Err: err}
	}
	return locked, nil
}

func property(ctx context.Context, conn *dbus.Conn, path dbus.ObjectPath, face, name string, value any) error {
	return conn.Object(secretsName, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, face, name).Store(value)
}

// explainBus makes a sentence of what the bus says of a service.
func explainBus(err error) error {
	if refused := (dbus.Error{}); errors.As(err, &refused) && (refused.Name == "org.freedesktop.DBus.Error.ServiceUnknown" ||
		refused.Name == "org.freedesktop.DBus.Error.NameHasNoOwner") {
		return &UnavailableError{Reason: "no Secret Service, such as gnome-keyring or KWallet, is on the session bus"}
	}
	return &UnavailableError{Reason: "the Secret Service does not answer as it should", Err: err}
}

// shared is the connection that the client library uses as well, and the address that it was made to.
var shared struct {
	sync.Mutex
	conn    *dbus.Conn
	address string
}

// connect is the connection to the session bus that the client library shares, to where the
// environment says now. The library makes a new connection after the bus has gone away, but keeps
// one that works even if the environment names another bus meanwhile. Without an address it would
// start a bus of its own ("dbus-launch"), so it is not asked then.
func connect() (*dbus.Conn, error) {
	address, err := busAddress()
	if err != nil {
		return nil, err
	}
	shared.Lock()
	old := shared.conn
	if shared.address != address && old != nil {
		_ = old.Close()
	}
	shared.Unlock()
	conn, err := dbus.SessionBus() // may hang, so nobody is kept waiting by the lock
	if err != nil {
		return nil, &UnavailableError{Reason: "the session bus cannot be reached", Err: err}
	}
	shared.Lock()
	shared.conn, shared.address = conn, address
	shared.Unlock()
	return conn, nil
}

// busAddress is where the session bus is: what the environment says, else the socket in
// $XDG_RUNTIME_DIR. The client library only reads the environment, so it is told by that.
func busAddress() (string, error) {
	address := os.Getenv(addressVariable)
	if address != "" && !strings.Contains(address, "autolaunch:") {
		return address, nil
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		socket := filepath.Join(dir, "bus")
		if info, err := os.Stat(socket); err == nil && info.Mode()&os.ModeSocket != 0 {
			address = "unix:path=" + dbus.EscapeBusAddressValue(socket)
			return address, os.Setenv(addressVariable, address)
		}
	}
	return "", &UnavailableError{Reason: "there is no D-Bus session here (" + addressVariable + " is not set)"}
}
