// Accounts, and the one-time codes that open them.

package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// An Account is a name that owns crates.
type Account struct {
	Name    string
	Created time.Time
	Epoch   int // counts resets, from 1
	Version int // of the keyset that stands in this epoch, 0 before the first
	Frozen  bool
	Closed  bool
}

// An Invite is the open one-time code of an account: its public half.
type Invite struct {
	Account string
	Public  keys.PublicKey
	Created time.Time
	Expires time.Time
}

const accountColumns = "name, created_at, epoch, version, frozen, closed"

func scanAccount(scan func(...any) error) (Account, error) {
	var a Account
	var created int64
	err := scan(&a.Name, &created, &a.Epoch, &a.Version, &a.Frozen, &a.Closed)
	a.Created = moment(created)
	return a, err
}

// Account is the account of that name, or an error that wraps [ErrNotFound].
func (q queries) Account(ctx context.Context, name string) (Account, error) {
	row := q.on.QueryRowContext(ctx, "SELECT "+accountColumns+" FROM accounts WHERE name = $1", name)
	a, err := scanAccount(row.Scan)
	if err != nil {
		return Account{}, fmt.Errorf("reading account: %w", notFound(err, name))
	}
	return a, nil
}

// Accounts are all accounts by name.
func (q queries) Accounts(ctx context.Context) ([]Account, error) {
	all, err := collect(ctx, q, scanAccount, "SELECT "+accountColumns+" FROM accounts ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("reading accounts: %w", err)
	}
	return all, nil
}

// CreateAccount begins an account in epoch 1 without keys. An error wraps [ErrExists] if the name
// was ever given out.
func (tx *Tx) CreateAccount(ctx context.Context, name string, now time.Time) error {
	n, err := tx.exec(ctx, `INSERT INTO accounts (name, created_at, epoch, version, frozen, closed)
		VALUES ($1, $2, 1, 0, FALSE, FALSE) ON CONFLICT (name) DO NOTHING`, name, seconds(now))
	if err != nil {
		return fmt.Errorf("creating account: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("creating account %s: %w", name, ErrExists)
	}
	return nil
}

// Freeze sets or lifts the account's freeze.
func (tx *Tx) Freeze(ctx context.Context, name string, frozen bool) error {
	return tx.changeAccount(ctx, name, "UPDATE accounts SET frozen = $1 WHERE name = $2", frozen, name)
}

// Reset ends every key of the account, voids its open code and begins a new epoch, in which no
// keyset stands. Crates keep their owners, and old keysets and revocations stay on record.
func (tx *Tx) Reset(ctx context.Context, name string) error {
	if _, err := tx.exec(ctx, "UPDATE keys SET listed = FALSE WHERE account = $1", name); err != nil {
		return fmt.Errorf("ending keys: %w", err)
	}
	if err := tx.VoidInvite(ctx, name); err != nil {
		return err
	}
	return tx.changeAccount(ctx, name, "UPDATE accounts SET epoch = epoch + 1, version = 0, closed = FALSE WHERE name = $1", name)
}

func (tx *Tx) changeAccount(ctx context.Context, name, statement string, args ...any) error {
	n, err := tx.exec(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("changing account: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("changing account %s: %w", name, ErrNotFound)
	}
	return nil
}

// Invite is the account's open code, expired or not, or an error that wraps [ErrNotFound].
func (q queries) Invite(ctx context.Context, account string) (Invite, error) {
	i := Invite{Account: account}
	var created, expires int64
	var public string
	err := q.on.QueryRowContext(ctx, "SELECT public_key, created_at, expires_at FROM invites WHERE account = $1", account).
		Scan(&public, &created, &expires)
	if err != nil {
		return Invite{}, fmt.Errorf("reading invite: %w", notFound(err, account))
	}
	if i.Public, err = keys.ParsePublicKey(public); err != nil {
		return Invite{}, fmt.Errorf("reading invite: %w", err)
	}
	i.Created, i.Expires = moment(created), moment(expires)
	return i, nil
}

// SaveInvite makes i the account's only open code.
func (tx *Tx) SaveInvite(ctx context.Context, i Invite) error {
	if err := tx.VoidInvite(ctx, i.Account); err != nil {
		return err
	}
	_, err := tx.exec(ctx, "INSERT INTO invites (account, public_key, created_at, expires_at) VALUES ($1, $2, $3, $4)",
		i.Account, i.Public.String(), seconds(i.Created), seconds(i.Expires))
	if err != nil {
		return fmt.Errorf("saving invite: %w", err)
	}
	return nil
}

// VoidInvite ends the account's open code, if there is one.
func (tx *Tx) VoidInvite(ctx context.Context, account string) error {
	if _, err := tx.exec(ctx, "DELETE FROM invites WHERE account = $1", account); err != nil {
		return fmt.Errorf("voiding invite: %w", err)
	}
	return nil
}
