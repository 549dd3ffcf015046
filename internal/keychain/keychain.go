// Package keychain keeps the wrapping keys of stored keys in the operating system's keychain: the
// Secret Service (gnome-keyring, KWallet, KeePassXC) on Linux and the BSDs, the Keychain of macOS, the
// Credential Manager of Windows.
//
// A keychain is another program, which may hang, be locked and wait for a person, or be absent. So
// every call has a limit of time of its own, and leaves behind, if it has to, a goroutine that waits
// on: what was begun there may still come to pass. Nothing is ever started here: where there is no
// session bus, there is no keychain.
package keychain

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/cargo-regkey/regkey/keys"
)

// service is the name under which the keychain files, and shows, regkey's items.
const service = "regkey"

const (
	// answerLimit is how long a keychain may take to show that it is there.
	answerLimit = 3 * time.Second
	// personLimit is how long a person has to unlock it.
	personLimit = 60 * time.Second
)

// A Keychain is the operating system's, for the user who runs this process.
type Keychain struct{ answer, person time.Duration }

var _ keys.SystemKeychain = (*Keychain)(nil)

// Open is the keychain. It reaches for nothing yet.
func Open() *Keychain { return &Keychain{answerLimit, personLimit} }

// Available is nil if the keychain works here and now: an item was written, read and deleted. It asks
// nobody: one that is locked is not available, and [UnavailableError.Locked] says so. It returns
// within some 3 seconds, with an [*UnavailableError], a [*TimeoutError] or ctx's error, wrapped.
func (k *Keychain) Available(ctx context.Context) error {
	_, err := within(ctx, k.answer, "trying the keychain", func(ctx context.Context) (struct{}, error) {
		locked, err := look(ctx)
		if err != nil {
			return struct{}{}, err
		}
		if locked {
			return struct{}{}, &UnavailableError{Reason: "it is locked", Locked: true}
		}
		return struct{}{}, probe()
	})
	return err
}

func probe() error {
	id, text := rand.Text(), rand.Text()
	if err := keyring.Set(service, id, text); err != nil {
		return explain("writing to it failed", err)
	}
	got, err := keyring.Get(service, id)
	if deleteErr := keyring.Delete(service, id); err == nil {
		err = deleteErr
	}
	if err != nil {
		return explain("it does not give back what it was given", err)
	}
	if got != text {
		return &UnavailableError{Reason: "it gives back something else than it was given"}
	}
	return nil
}

// Store keeps secret, which is one line of printable ASCII, as the item id, and reads it back to make
// sure: a keychain whose user says no at its prompt reports success all the same. Errors are those of
// Fetch.
func (k *Keychain) Store(ctx context.Context, id string, secret keys.Secret) error {
	_, err := use(ctx, k, id, "storing in the keychain", func() (struct{}, error) {
		if err := keyring.Set(service, id, string(secret.Reveal())); err != nil {
			return struct{}{}, err
		}
		got, err := keyring.Get(service, id)
		if err == nil && got != string(secret.Reveal()) {
			err = errors.New("it holds something else afterwards")
		}
		if errors.Is(err, keyring.ErrNotFound) {
			err = errors.New("it holds nothing afterwards")
		}
		return struct{}{}, err
	})
	return err
}

// Fetch is what Store kept. If there is none the error wraps [fs.ErrNotExist]. If the keychain is
// locked, or asks its user, it waits for a person, for a minute; one that hangs has some seconds. Other
// errors are, or wrap, an [*UnavailableError], a [*TimeoutError] or ctx's error.
func (k *Keychain) Fetch(ctx context.Context, id string) (keys.Secret, error) {
	return use(ctx, k, id, "fetching from the keychain", func() (keys.Secret, error) {
		text, err := keyring.Get(service, id)
		return keys.NewSecret([]byte(text)), err
	})
}

// Delete removes the item. Errors are those of Fetch.
func (k *Keychain) Delete(ctx context.Context, id string) error {
	_, err := use(ctx, k, id, "deleting from the keychain", func() (struct{}, error) {
		return struct{}{}, keyring.Delete(service, id)
	})
	return err
}

// use looks whether the keychain answers at all, and then does what may wait for a person.
func use[T any](ctx context.Context, k *Keychain, id, doing string, do func() (T, error)) (none T, err error) {
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 {
		return none, fmt.Errorf("%s: the id is not of 32 hex digits", doing)
	}
	locked, err := within(ctx, k.answer, doing, look)
	if err != nil {
		return none, err
	}
	// Even one that is not locked may ask a person whether this program may have the item.
	result, err := within(ctx, k.person, doing, func(context.Context) (T, error) { return do() })
	timeout := (*TimeoutError)(nil)
	switch {
	case err == nil:
		return result, nil
	case errors.Is(err, keyring.ErrNotFound):
		return none, fmt.Errorf("%s: no item %s: %w", doing, id, fs.ErrNotExist)
	case errors.As(err, &timeout):
		timeout.Locked = locked
		return none, err
	case ctx.Err() != nil:
		return none, err
	case locked:
		return none, &UnavailableError{Reason: "it is locked, and was not unlocked", Locked: true, Err: err}
	}
	return none, explain(doing+" failed", err)
}

// within does what may hang, and gives up on it at the limit or when ctx ends. The context that do
// gets ends then too.
func within[T any](ctx context.Context, limit time.Duration, doing string, do func(context.Context) (T, error)) (none T, err error) {
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("%s: %w", doing, err)
	}
	type result struct {
		value T
		err   error
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		// The client library fails like this where the bus goes away while a person is asked.
		defer func() {
			if fault := recover(); fault != nil {
				done <- result{err: &UnavailableError{Reason: "the connection to it broke"}}
			}
		}()
		value, err := do(limited)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		if r.err != nil && limited.Err() != nil {
			return none, ended(ctx, limit, doing)
		}
		return r.value, r.err
	case <-limited.Done():
		return none, ended(ctx, limit, doing)
	}
}

// ended tells whose patience ended: the caller's or ours.
func ended(ctx context.Context, limit time.Duration, doing string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return &TimeoutError{Doing: doing, Limit: limit}
}
