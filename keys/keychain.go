// Keychain protection: an age file whose wrapping key lies in the operating system's keychain.

package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// Keychain keys are encrypted by age to a random X25519 key, the wrapping key, that the operating
// system's keychain keeps. The file tells the id of the keychain's item; with the wrapping key in a
// file of its own, "age -d -i" opens it.
const Keychain Protection = "keychain"

// A SystemKeychain is the operating system's place for secrets, such as the Secret Service. An item
// has an id of 32 lower-case hex digits and holds one line of text, of less than 100 bytes. All
// methods may wait for a person who unlocks the keychain; they return when ctx ends, and
// set a limit of their own, as a keychain may hang.
type SystemKeychain interface {
	// Store keeps secret as the item id, replacing one of that id.
	Store(ctx context.Context, id string, secret Secret) error
	// Fetch is what Store kept. If there is no such item the error wraps [fs.ErrNotExist].
	Fetch(ctx context.Context, id string) (Secret, error)
	// Delete removes the item. If there is none the error wraps [fs.ErrNotExist].
	Delete(ctx context.Context, id string) error
}

var (
	// ErrNoKeychain is wrapped by errors that say that a key needs the keychain, where the program
	// reaches none.
	ErrNoKeychain = errors.New("that takes the operating system's keychain, which is not used here")
	// ErrNoItem is wrapped by errors that say that the keychain was asked and has no wrapping key for a
	// key: it was deleted there, or the file comes from another machine or user.
	ErrNoItem = errors.New("the operating system's keychain has no wrapping key for it")
)

// An ItemsLeftError says that all was done, except that items of the keychain that open nothing any
// more could not be deleted there.
type ItemsLeftError struct {
	Items []string // ids
	Err   error
}

// Error names the items.
func (e *ItemsLeftError) Error() string {
	return fmt.Sprintf("deleting %s from the keychain, which nothing needs any more: %v", strings.Join(e.Items, " and "), e.Err)
}

// Unwrap is what the keychain said.
func (e *ItemsLeftError) Unwrap() error { return e.Err }

// WithKeychain is the same store with a keychain, so that it opens and makes [Keychain] keys.
func (s *Store) WithKeychain(k SystemKeychain) *Store {
	with := *s
	with.keychain = k
	return &with
}

// itemStanza is the type of the age stanza that carries the id of the keychain's item, and
// nothing else. Age passes over stanzas of types that it does not know (C2SP age, "Recipient stanza").
const itemStanza = "regkey-keychain"

const itemIDSize = 16 // bytes, random

func newItemID() string {
	id := make([]byte, itemIDSize)
	_, _ = rand.Read(id) // never fails, as its documentation says
	return hex.EncodeToString(id)
}

func isItemID(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == itemIDSize && hex.EncodeToString(raw) == text
}

// itemRecipient adds its stanza to an age file, through which nothing opens.
type itemRecipient struct{ id string }

// Wrap does not use the file key.
func (r itemRecipient) Wrap([]byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: itemStanza, Args: []string{r.id}}}, nil
}

// itemRecipients makes a wrapping key, has the keychain keep it as the item id, and is what a file is
// sealed to.
func itemRecipients(ctx context.Context, k SystemKeychain, id string) ([]age.Recipient, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	if err := k.Store(ctx, id, NewSecret([]byte(identity.String()))); err != nil {
		return nil, fmt.Errorf("storing the wrapping key in the keychain: %w", err)
	}
	return []age.Recipient{identity.Recipient(), itemRecipient{id}}, nil
}

// itemIdentity fetches the wrapping key that is the item id.
func itemIdentity(ctx context.Context, k SystemKeychain, id string) (age.Identity, error) {
	if k == nil {
		return nil, ErrNoKeychain
	}
	text, err := k.Fetch(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoItem // a missing key, which fs.ErrNotExist tells of, is another thing
	}
	if err != nil {
		return nil, fmt.Errorf("fetching the wrapping key from the keychain: %w", err)
	}
	identity, err := age.ParseX25519Identity(string(text.Reveal()))
	if err != nil { // not wrapped: it might repeat what it could not read
		return nil, errors.New("the keychain's item is not an age X25519 key")
	}
	return identity, nil
}

// seal is what the header of a sealed key file tells of itself, before it is opened.
type seal struct {
	protection Protection
	item       string // of a keychain's
}

// parseSeal reads the header of an age file in armor, without opening it. The header is authentic
// only once the file has been opened.
func parseSeal(file []byte) (seal, error) {
	var header stanzas
	_, err := age.Decrypt(armor.NewReader(bytes.NewReader(file)), &header)
	if mismatch := (*age.NoIdentityMatchError)(nil); !errors.As(err, &mismatch) {
		return seal{}, fmt.Errorf("decrypting with age: %w", err)
	}
	switch {
	case len(header) == 1 && header[0].Type == "scrypt":
		return seal{protection: Passphrase}, nil
	case len(header) == 2 && header[0].Type == "X25519" && header[1].Type == itemStanza &&
		len(header[1].Args) == 1 && isItemID(header[1].Args[0]) && len(header[1].Body) == 0:
		return seal{Keychain, header[1].Args[0]}, nil
	}
	return seal{}, errors.New("encrypted by age, but neither with a passphrase nor by regkey for a keychain")
}

// stanzas is an age identity that opens nothing and keeps the header's stanzas.
type stanzas []*age.Stanza

// Unwrap always says that the file is another's.
func (s *stanzas) Unwrap(all []*age.Stanza) ([]byte, error) {
	*s = all
	return nil, age.ErrIncorrectIdentity
}
