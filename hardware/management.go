// The management key, which authorizes changes: found, used, and replaced by a random one that the PIN protects.

package hardware

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/keys"
)

// defaultManagementKey is the factory's (https://developers.yubico.com/PIV/Introduction/Admin_access.html).
var defaultManagementKey = bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 3)

// managementKeySize is that of a 3DES and of an AES-192 key, in bytes. The library stores no longer one.
const managementKeySize = 24

// The objects in which Yubico's own tool keeps a management key and says that it does so: the "printed information",
// read only with the PIN, and an object of Yubico's.
const (
	objectPrinted = 0x5fc109
	objectAdmin   = 0x5fff00

	tagProtected    = 0x88 // in the printed information, with the key inside
	tagProtectedKey = 0x89
	tagAdmin        = 0x80 // in the object of Yubico's, with flags inside
	tagAdminFlags   = 0x81
	flagKeyStored   = 0x02
)

// managementKeys are the keys to try, best first: the one that was given; else the one that the PIN,
// which must be verified, protects, and the factory's, which may still stand where storing was interrupted.
func (u *use) managementKeys(given keys.Secret) ([][]byte, error) {
	if !given.IsZero() {
		return [][]byte{given.Reveal()}, nil
	}
	if !u.verified {
		return [][]byte{defaultManagementKey}, nil
	}
	stored, err := u.protectedKey()
	if err != nil {
		return nil, err
	}
	if len(stored) == 0 {
		return [][]byte{defaultManagementKey}, nil
	}
	return [][]byte{stored, defaultManagementKey}, nil
}

// errOtherData says that the printed information is somebody's printed information.
var errOtherData = errors.New("the object that keeps the management key holds other data, which would be lost")

// protectedKey reads the management key that the PIN protects; nil where there is none, empty where
// other data is in its place.
func (u *use) protectedKey() ([]byte, error) {
	return ask(u, "reading the protected management key", func() ([]byte, error) {
		answer, err := u.card.object(objectPrinted)
		if errors.Is(err, errNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		content := findTLV(answer, 0x53)
		key := findTLV(findTLV(content, tagProtected), tagProtectedKey)
		if key == nil && len(content) > 0 && content[0] != tagProtected {
			key = []byte{}
		}
		return key, nil
	})
}

// manage runs a command with each management key until one is taken. No try is counted for it.
func manage[T any](u *use, doing string, candidates [][]byte, command func(management []byte) (T, error)) (T, error) {
	for _, key := range candidates {
		u.unlocked = true
		answer, err := ask(u, doing, func() (T, error) { return command(key) })
		if !errors.Is(err, errManagement) {
			return answer, err
		}
	}
	var none T
	return none, &ManagementKeyError{Default: len(candidates) == 1 && bytes.Equal(candidates[0], defaultManagementKey)}
}

// ProtectManagementKey replaces the management key by a random one of 24 bytes and stores it on the token, for
// the PIN to open, as Yubico's ykman does: 3DES before firmware 5.4, AES-192 from there on, which also the factory's is from 5.7 on. current is the key
// that stands; zero means the factory's. Where the token has a stored key that works, nothing changes.
//
// The new key is stored before it is set, so that an interruption loses neither: run again, it completes.
func (t *Token) ProtectManagementKey(ctx context.Context, pin, current keys.Secret) error {
	return t.use(ctx, func(u *use) error {
		if err := u.checkPIN(pin); err != nil {
			return err
		}
		stored, err := u.protectedKey()
		if err != nil {
			return err
		}
		if stored != nil && len(stored) == 0 {
			return errOtherData
		}
		if stored != nil {
			// Set to itself: that it is taken proves it.
			err := u.setManagementKey([][]byte{stored}, func(key []byte) error { return u.card.setManagementKey(key, key) })
			if err == nil {
				return u.markProtected()
			}
			if !errors.As(err, new(*ManagementKeyError)) {
				return err
			}
		}
		return u.protect(current)
	})
}

func (u *use) protect(current keys.Secret) error {
	old := defaultManagementKey
	if !current.IsZero() {
		old = current.Reveal()
	}
	new := make([]byte, managementKeySize)
	if _, err := rand.Read(new); err != nil {
		return fmt.Errorf("making a management key: %w", err)
	}
	err := u.setManagementKey([][]byte{old}, func(old []byte) error {
		if err := u.card.storeManagementKey(old, new); err != nil {
			return err
		}
		return u.card.setManagementKey(old, new)
	})
	if err != nil {
		return err
	}
	return u.markProtected()
}

func (u *use) setManagementKey(candidates [][]byte, command func(old []byte) error) error {
	_, err := manage(u, "replacing the management key", candidates, func(old []byte) (struct{}, error) { return struct{}{}, command(old) })
	return err
}

// markProtected says in Yubico's object that the key is stored, and keeps what else is there.
func (u *use) markProtected() error {
	return u.do("noting where the management key is", func() error {
		answer, err := u.card.object(objectAdmin)
		if err != nil && !errors.Is(err, errNotFound) {
			return err
		}
		flags := []byte{flagKeyStored}
		var others []byte
		for rest := findTLV(findTLV(answer, 0x53), tagAdmin); ; {
			tag, value, after, ok := splitTLV(rest)
			if !ok {
				break
			}
			if rest = after; tag != tagAdminFlags {
				others = appendTLV(others, tag, value)
			} else if len(value) == 1 {
				flags[0] |= value[0]
			}
		}
		return u.card.storeObject(objectAdmin, appendTLV(nil, tagAdmin, append(appendTLV(nil, tagAdminFlags, flags), others...)))
	})
}
