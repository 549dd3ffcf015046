// Keys: what each may do now, and which ended.

package storage

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A Key is everything on file about one key id. A key that a keyset ever named stays on file.
type Key struct {
	Public  keys.PublicKey
	Account string
	Epoch   int    // of the account when a keyset last listed it
	Can     string // as in the keyset
	Crates  []string
	Since   time.Time // when the registry first accepted it
	Until   time.Time // zero: no end
	Listed  bool      // by the keyset that stands
	Reason  string    // of its revocation, "" if there is none
	Revoked time.Time // when, zero if not
	// Hardware is what an attestation has proved of the key; nil if none has.
	Hardware *Hardware
}

// Hardware says in which token a key was made, in the words of package attestation.
type Hardware struct {
	Serial   uint32
	Firmware string
	Slot     string
	PIN      string // policy
	Touch    string // policy
	Form     string // of the token, such as "USB-C nano"; "" if it does not say
}

// A Revocation is an accepted revocation of one key.
type Revocation struct {
	Key      keys.ID
	Account  string // whose key it is
	Reason   string
	Note     string // signed, whole
	Accepted time.Time
}

const keyColumns = `SELECT k.public_key, k.account, k.epoch, k.can, k.crates, k.since, k.until, k.listed,
	COALESCE(r.reason, ''), COALESCE(r.accepted_at, 0),
	h.serial, COALESCE(h.firmware, ''), COALESCE(h.slot, ''), COALESCE(h.pin, ''), COALESCE(h.touch, ''), COALESCE(h.form, '')
	FROM keys k LEFT JOIN revocations r ON r.key_id = k.id LEFT JOIN hardware h ON h.key_id = k.id`

func scanKey(scan func(...any) error) (Key, error) {
	var k Key
	var public, crates string
	var since, until, revoked int64
	var h Hardware
	var serial sql.Null[uint32]
	err := scan(&public, &k.Account, &k.Epoch, &k.Can, &crates, &since, &until, &k.Listed, &k.Reason, &revoked,
		&serial, &h.Firmware, &h.Slot, &h.PIN, &h.Touch, &h.Form)
	if err != nil {
		return Key{}, err
	}
	if serial.Valid {
		h.Serial = serial.V
		k.Hardware = &h
	}
	if k.Public, err = keys.ParsePublicKey(public); err != nil {
		return Key{}, err
	}
	if crates != "" {
		k.Crates = strings.Split(crates, ",")
	}
	k.Since, k.Until, k.Revoked = moment(since), moment(until), moment(revoked)
	return k, nil
}

// Key is the key with that id, or an error that wraps [ErrNotFound].
func (q queries) Key(ctx context.Context, id string) (Key, error) {
	k, err := scanKey(q.on.QueryRowContext(ctx, keyColumns+" WHERE k.id = $1", id).Scan)
	if err != nil {
		return Key{}, fmt.Errorf("reading key: %w", notFound(err, id))
	}
	return k, nil
}

// Keys are the keys of one account, or of all for "", by account and age.
func (q queries) Keys(ctx context.Context, account string) ([]Key, error) {
	all, err := collect(ctx, q, scanKey, keyColumns+" WHERE k.account = $1 OR '' = $2 ORDER BY k.account, k.since, k.id", account, account)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	return all, nil
}

// saveKey records what the standing keyset says about one key. A key keeps the time since
// which the registry knows it, and what was attested.
func (tx *Tx) saveKey(ctx context.Context, k Key) error {
	n, err := tx.exec(ctx, `INSERT INTO keys (id, account, epoch, public_key, can, crates, since, until, listed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, TRUE)
		ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, can = excluded.can, crates = excluded.crates,
			until = excluded.until, listed = TRUE
		WHERE keys.account = excluded.account`,
		k.Public.ID().String(), k.Account, k.Epoch, k.Public.String(), k.Can, strings.Join(k.Crates, ","), seconds(k.Since), seconds(k.Until))
	if err != nil {
		return fmt.Errorf("saving key: %w", err)
	}
	if n != 1 {
		return fmt.Errorf("saving key %v: it is another account's: %w", k.Public.ID(), ErrExists)
	}
	return tx.saveHardware(ctx, k.Public.ID(), k.Hardware)
}

// saveHardware records what an attestation has proved; nil leaves what is known.
func (tx *Tx) saveHardware(ctx context.Context, id keys.ID, h *Hardware) error {
	if h == nil {
		return nil
	}
	_, err := tx.exec(ctx, `INSERT INTO hardware (key_id, serial, firmware, slot, pin, touch, form) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (key_id) DO UPDATE SET serial = excluded.serial, firmware = excluded.firmware, slot = excluded.slot,
			pin = excluded.pin, touch = excluded.touch, form = excluded.form`,
		id.String(), int64(h.Serial), h.Firmware, h.Slot, h.PIN, h.Touch, h.Form)
	if err != nil {
		return fmt.Errorf("saving attestation: %w", err)
	}
	return nil
}

const revocationColumns = "SELECT key_id, account, reason, note, accepted_at FROM revocations"

func scanRevocation(scan func(...any) error) (Revocation, error) {
	var r Revocation
	var id string
	var accepted int64
	err := scan(&id, &r.Account, &r.Reason, &r.Note, &accepted)
	if err != nil {
		return Revocation{}, err
	}
	if r.Key, err = keys.ParseID(id); err != nil {
		return Revocation{}, err
	}
	r.Accepted = moment(accepted)
	return r, nil
}

// Revocation is the revocation of a key, or an error that wraps [ErrNotFound].
func (q queries) Revocation(ctx context.Context, id keys.ID) (Revocation, error) {
	r, err := scanRevocation(q.on.QueryRowContext(ctx, revocationColumns+" WHERE key_id = $1", id.String()).Scan)
	if err != nil {
		return Revocation{}, fmt.Errorf("reading revocation: %w", notFound(err, id.String()))
	}
	return r, nil
}

// Revocations are those of an account's keys in its present epoch, by key id.
func (q queries) Revocations(ctx context.Context, account string) ([]Revocation, error) {
	all, err := collect(ctx, q, scanRevocation, revocationColumns+` WHERE account = $1 AND key_id IN
		(SELECT k.id FROM keys k JOIN accounts a ON a.name = k.account AND a.epoch = k.epoch) ORDER BY key_id`, account)
	if err != nil {
		return nil, fmt.Errorf("reading revocations: %w", err)
	}
	return all, nil
}

// SaveRevocation ends a key that is on file, for ever. An error wraps [ErrExists] if it is revoked already.
func (tx *Tx) SaveRevocation(ctx context.Context, r Revocation) error {
	n, err := tx.exec(ctx, `INSERT INTO revocations (key_id, account, reason, note, accepted_at)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (key_id) DO NOTHING`, r.Key.String(), r.Account, r.Reason, r.Note, seconds(r.Accepted))
	if err != nil {
		return fmt.Errorf("saving revocation: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("saving revocation: %w", ErrExists)
	}
	return nil
}
