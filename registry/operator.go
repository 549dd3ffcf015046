// What the operator does beside the server: invitations, resets, freezes, deletions.

package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/crate"
	"github.com/cargo-regkey/regkey/registry/storage"
)

// An Operator acts on a data folder with the authority of whoever may write there. It works beside a running server.
type Operator struct {
	Storage *storage.DB
	Now     func() time.Time
}

// An OperatorError says why an operator's command was not carried out; nothing has changed.
type OperatorError struct {
	Detail string // what is so
	Hint   string // what to do instead
}

// Error is the detail.
func (e *OperatorError) Error() string { return e.Detail }

func declined(hint, detail string, args ...any) error {
	return &OperatorError{Detail: fmt.Sprintf(detail, args...), Hint: hint}
}

// account finds an account for an operator.
func (o *Operator) account(ctx context.Context, in interface {
	Account(ctx context.Context, name string) (storage.Account, error)
}, name string,
) (storage.Account, error) {
	account, err := in.Account(ctx, name)
	if errors.Is(err, storage.ErrNotFound) {
		return account, declined("`regkey-registry accounts` lists them", "there is no account %.100q", name)
	}
	return account, err
}

// Invite makes the one-time code by which an account begins; the account is made if it is new. Only the code's public half is
// kept. An earlier code of the account ends. It is an [*OperatorError] if the account has keys, or was closed.
func (o *Operator) Invite(ctx context.Context, name string, lifetime time.Duration) (keys.Secret, storage.Invite, error) {
	var invite storage.Invite
	if err := enroll.CheckAccount(name); err != nil {
		return keys.Secret{}, invite, declined("", "%v", err)
	}
	if lifetime < time.Second {
		return keys.Secret{}, invite, declined("give --expires a longer time", "a code that expires after %v could not be used", lifetime)
	}
	code, public, err := enroll.GenerateInvite()
	if err != nil {
		return keys.Secret{}, invite, err
	}
	now := o.Now()
	invite = storage.Invite{Account: name, Public: public, Created: now, Expires: now.Add(lifetime)}
	err = o.Storage.Update(ctx, func(tx *storage.Tx) error {
		account, err := tx.Account(ctx, name)
		if errors.Is(err, storage.ErrNotFound) {
			err = tx.CreateAccount(ctx, name, now)
		}
		switch {
		case err != nil:
			return err
		case account.Closed:
			return declined("choose another name", "the account %q was closed by its owner, and names are never given out again", name)
		case account.Version > 0:
			return declined("its owner adds keys with a key that manages; if all of these are lost: regkey-registry reset "+name,
				"the account %q has a keyset already", name)
		}
		return tx.SaveInvite(ctx, invite)
	})
	if err != nil {
		return keys.Secret{}, invite, err
	}
	return code, invite, nil
}

// Reset ends all keys of an account at once and voids its open code. Its crates stay its own. The next
// code begins a new chain with version 1, which clients of the old one notice.
func (o *Operator) Reset(ctx context.Context, name string) error {
	return o.Storage.Update(ctx, func(tx *storage.Tx) error {
		account, err := o.account(ctx, tx, name)
		if err != nil {
			return err
		}
		if account.Closed {
			return declined("choose another name", "the account %q was closed by its owner, and is not opened again", name)
		}
		return tx.Reset(ctx, name)
	})
}

// Freeze stops every change by an account (publishing, yanking, owners, new keysets), or lifts that. Reading goes on,
// and revocations are taken.
func (o *Operator) Freeze(ctx context.Context, name string, frozen bool) error {
	return o.Storage.Update(ctx, func(tx *storage.Tx) error {
		if _, err := o.account(ctx, tx, name); err != nil {
			return err
		}
		return tx.Freeze(ctx, name, frozen)
	})
}

// Delete takes one version out of index and downloads and deletes its file. Name and version are never used again. It is for
// malicious versions: builds that have it in a lock file will fail, which yanking avoids.
func (o *Operator) Delete(ctx context.Context, name, version string) error {
	var gone storage.Version
	err := o.Storage.Update(ctx, func(tx *storage.Tx) error {
		v, err := findOperated(ctx, tx, name, version)
		if err != nil {
			return err
		}
		gone = v
		if !v.Deleted.IsZero() {
			return nil
		}
		if err := tx.DeleteVersion(ctx, v, o.Now()); err != nil {
			return err
		}
		return refreshCrate(ctx, tx, v.Crate, "", o.Now())
	})
	if err != nil {
		return err
	}
	return o.Storage.RemoveCrate(gone.Checksum)
}

// findOperated finds a version for an operator, by any spelling of the crate's name. One that is deleted is found too: its file may
// have stayed when a deletion was interrupted.
func findOperated(ctx context.Context, tx *storage.Tx, name, version string) (storage.Version, error) {
	v, err := tx.Version(ctx, crate.CanonicalName(name), crate.VersionKey(version))
	if errors.Is(err, storage.ErrNotFound) || err == nil && v.Version != version {
		return v, declined("check how they are spelt", "there is no version %.100q of a crate %.100q", version, name)
	}
	return v, err
}
