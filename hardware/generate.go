// Making keys on a token, and taking up keys that another tool made.

package hardware

import (
	"context"
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/keys"
)

// GenerateOptions say which key to make.
type GenerateOptions struct {
	Slot      Slot           // 0: the first that is free, as [Token.FreeSlot] finds it
	Algorithm keys.Algorithm // 0: [Token.DefaultAlgorithm]
	PIN       PINPolicy      // "": once
	Touch     TouchPolicy    // "": cached
	// Overwrite allows to destroy what the slot holds.
	Overwrite bool
	// PINSecret opens a management key that is stored on the token, and allows to try the new key. Zero: there is none.
	PINSecret keys.Secret
	// ManagementKey is needed where it is neither stored on the token nor the factory's.
	ManagementKey keys.Secret
}

// Generate makes a key on the token, where it stays, has the token attest it, and signs with it once where that
// takes no finger and the PIN is at hand or not needed. The attestation is read, not verified: see [attestation.Verify].
//
// A slot that holds anything is refused with [*OccupiedError], unless Overwrite is set. Nothing has changed on the token
// when Generate fails, but with an [*UnfinishedError], which says that the slot may hold a new key.
func (t *Token) Generate(ctx context.Context, o GenerateOptions) (Key, error) {
	o, err := t.complete(o)
	if err != nil {
		return Key{}, err
	}
	var key Key
	err = t.use(ctx, func(u *use) error {
		before, err := u.room(o.Slot, o.Overwrite)
		if err != nil {
			return err
		}
		o.Slot = before.Slot
		if !o.PINSecret.IsZero() {
			if err := u.checkPIN(o.PINSecret); err != nil {
				return err
			}
		}
		candidates, err := u.managementKeys(o.ManagementKey)
		if err != nil {
			return err
		}
		key, err = u.generate(o, before, candidates)
		return err
	})
	return key, err
}

// complete fills in what was left open, and refuses what can't be.
func (t *Token) complete(o GenerateOptions) (GenerateOptions, error) {
	if o.Algorithm == 0 {
		o.Algorithm = t.DefaultAlgorithm()
	}
	if o.PIN == "" {
		o.PIN = PINOnce
	}
	if o.Touch == "" {
		o.Touch = TouchCached
	}
	if err := t.Supports(o.Algorithm); err != nil {
		return o, err
	}
	if _, err := ParsePINPolicy(string(o.PIN)); err != nil {
		return o, err
	}
	if _, err := ParseTouchPolicy(string(o.Touch)); err != nil {
		return o, err
	}
	if o.Slot != 0 && !o.Slot.Valid() {
		return o, fmt.Errorf("there is no slot %v", o.Slot)
	}
	return o, nil
}

// room finds the slot, and looks into it: the token itself would overwrite a key without a word.
func (u *use) room(slot Slot, overwrite bool) (SlotInfo, error) {
	if slot == 0 {
		return u.freeSlot()
	}
	info, err := u.slot(slot)
	if err == nil && info.Occupied && !overwrite {
		err = &OccupiedError{info}
	}
	return info, err
}

func (u *use) generate(o GenerateOptions, before SlotInfo, candidates [][]byte) (Key, error) {
	key := Key{Serial: u.serial, Firmware: u.firmware, Slot: o.Slot, PIN: o.PIN, Touch: o.Touch}
	unfinished := func(err error) error { return &UnfinishedError{u.serial, o.Slot, key.Public, err} }
	public, err := manage(u, "making a key in slot "+o.Slot.String(), candidates, func(management []byte) (keys.PublicKey, error) {
		return u.card.generate(management, o.Slot, o.Algorithm, o.PIN, o.Touch)
	})
	if err != nil && u.unchanged(before, err) {
		return Key{}, err
	}
	key.Public = public
	if err != nil {
		return key, unfinished(err)
	}
	if key.Attestation, err = u.chain(o.Slot); err != nil {
		return key, unfinished(err)
	}
	facts, err := attestation.Read(key.Attestation[0])
	if err != nil {
		return key, unfinished(err)
	}
	if facts.Public != key.Public || facts.Slot != key.Slot || facts.PIN != key.PIN || facts.Touch != key.Touch {
		return key, unfinished(errors.New("the token attests another key than it made"))
	}
	if o.Touch == TouchNever && (o.PIN == PINNever || !o.PINSecret.IsZero()) {
		if err := u.prove(key, o.PINSecret); err != nil {
			return key, unfinished(fmt.Errorf("trying the new key: %w", err))
		}
	}
	return key, nil
}

// unchanged says whether it is certain that a failed attempt left the slot as it was: the token refused, or was not even
// asked, or tells the same as before.
func (u *use) unchanged(before SlotInfo, err error) bool {
	var refused statusError
	switch {
	case errors.As(err, new(*ManagementKeyError)) || errors.As(err, &refused):
		return true
	case u.ctx.Err() != nil:
		return u.stray == nil && errors.Is(err, u.ctx.Err())
	}
	now, err := u.slot(before.Slot)
	return err == nil && now == before
}

// proof is what a new key signs. It is longer than 64 bytes and than one command carries, as there are tokens that sign only
// the beginning of what they get; and no token or keyset begins as it does.
var proof = []byte(fmt.Sprintf("%-300s", "regkey tries a new key"))

func (u *use) prove(key Key, pin keys.Secret) error {
	_, err := keys.Sign(u.ctx, &useSigner{u, key, givenPIN{pin}}, proof)
	return err
}

// useSigner signs within a turn.
type useSigner struct {
	*use
	key Key
	p   Prompter
}

func (s *useSigner) Public() keys.PublicKey { return s.key.Public }

func (s *useSigner) Sign(_ context.Context, message []byte) ([]byte, error) {
	return s.sign(s.key, s.p, message)
}

// givenPIN answers with a PIN that has been verified a moment ago.
type givenPIN struct{ pin keys.Secret }

func (g givenPIN) PIN(context.Context, Key, int) (keys.Secret, error) { return g.pin, nil }

func (givenPIN) Touch(context.Context, Key) func() { return func() {} }

// Adopt takes up a key that is on the token already, whoever made it. The attestation is nil where it was imported. It
// fails where the slot is empty or its key is of no use here.
func (t *Token) Adopt(ctx context.Context, slot Slot) (Key, error) {
	key := Key{Serial: t.serial, Firmware: t.firmware, Slot: slot}
	if !slot.Valid() {
		return Key{}, fmt.Errorf("there is no slot %v", slot)
	}
	err := t.use(ctx, func(u *use) error {
		info, err := u.slot(slot)
		if err != nil {
			return err
		}
		if err := adoptable(info); err != nil {
			return fmt.Errorf("slot %v of token %d: %w", slot, t.serial, err)
		}
		key.Public, key.PIN, key.Touch = info.Public, info.PIN, info.Touch
		if info.Origin == OriginImported {
			return nil
		}
		key.Attestation, err = u.chain(slot)
		if errors.Is(err, errNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return Key{}, err
	}
	return key, nil
}

func adoptable(info SlotInfo) error {
	switch {
	case !info.Occupied:
		return errors.New("there is no key")
	case info.Public.IsZero():
		return fmt.Errorf("a key of algorithm %s can't sign for cargo: ed25519 and p384 can", info.Algorithm)
	case info.PIN == attestation.PINMatchOnce || info.PIN == attestation.PINMatchAlways:
		return errors.New("a key that needs a fingerprint can't be used")
	}
	return nil
}
