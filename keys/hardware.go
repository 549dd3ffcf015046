// Keys whose secret is in a hardware token: what this machine knows of them.

package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// Hardware keys are made in a PIV token and never leave it: the store holds only their record.
const Hardware Protection = "hardware"

// ErrHardware says that a key's secret is in a hardware token, so that there is nothing to unlock here.
var ErrHardware = errors.New("the key is in a hardware token")

// Limits of an attestation: a PIV token holds no certificate of more than 3 KiB, and makers need up to
// five up to their root.
const (
	MaxCertificates    = 8       // of one chain
	MaxCertificateSize = 4 << 10 // bytes, DER
)

// A Token says which PIV token holds the secret of a hardware key, and where in it. Nothing in it
// is secret. What a token does not report is empty: an older token does not report its policies,
// one of another maker not its firmware or serial number.
type Token struct {
	Serial   uint32 // 0: the token reports none
	Slot     string // the PIV key reference: "9a", "9c", "9d", "9e" or "82" to "95"
	Firmware string // "5.7.4"
	PIN      string // "never", "once" or "always"; "match-once" or "match-always" where a fingerprint does too
	Touch    string // "never", "always" or "cached"
	// Attestation are the DER certificates by which the token's maker vouches for the key, the
	// key's own first. None if the key was not made in the token.
	Attestation [][]byte
}

// clone is a copy that shares nothing with t.
func (t Token) clone() *Token {
	t.Attestation = slices.Clone(t.Attestation)
	for i, certificate := range t.Attestation {
		t.Attestation[i] = bytes.Clone(certificate)
	}
	return &t
}

func (t Token) equal(other Token) bool {
	return t.Serial == other.Serial && t.Slot == other.Slot && t.Firmware == other.Firmware &&
		t.PIN == other.PIN && t.Touch == other.Touch && slices.EqualFunc(t.Attestation, other.Attestation, bytes.Equal)
}

// check refuses what no token can be. Attestations are not verified.
func (t Token) check() error {
	switch {
	case !slices.Contains(slots(), t.Slot):
		return fmt.Errorf("slot is %.20q: known are 9a, 9c, 9d, 9e and 82 to 95", t.Slot)
	case t.Firmware != "" && !isFirmware(t.Firmware):
		return fmt.Errorf("firmware is %.20q: that is not of the form 5.7.4", t.Firmware)
	case !slices.Contains([]string{"", "never", "once", "always", "match-once", "match-always"}, t.PIN):
		return fmt.Errorf("pin is %.20q: known are never, once, always, match-once and match-always", t.PIN)
	case !slices.Contains([]string{"", "never", "always", "cached"}, t.Touch):
		return fmt.Errorf("touch is %.20q: known are never, always and cached", t.Touch)
	case len(t.Attestation) > MaxCertificates:
		return fmt.Errorf("attestation has more than %d certificates", MaxCertificates)
	}
	for _, certificate := range t.Attestation {
		if len(certificate) == 0 || len(certificate) > MaxCertificateSize {
			return fmt.Errorf("attestation has a certificate of %d bytes: 1 to %d are allowed", len(certificate), MaxCertificateSize)
		}
	}
	return nil
}

func slots() []string {
	all := []string{"9a", "9c", "9d", "9e"}
	for slot := int64(0x82); slot <= 0x95; slot++ {
		all = append(all, strconv.FormatInt(slot, 16))
	}
	return all
}

// isFirmware takes three numbers below 256, each in its one form.
func isFirmware(text string) bool {
	parts := strings.Split(text, ".")
	return len(parts) == 3 && !slices.ContainsFunc(parts, func(part string) bool {
		n, err := strconv.ParseUint(part, 10, 8)
		return err != nil || strconv.FormatUint(n, 10) != part
	})
}

// WantsReader reports whether a signature by the key may need a person (for a PIN or a touch) or a
// token that is not plugged in. Another key should then sign for reading from a registry.
func (r Record) WantsReader() bool {
	return r.Protection == Hardware && (r.Token == nil || r.Token.PIN != "never" || r.Token.Touch != "never")
}

// CreateHardware stores the record of a hardware key: its name, public key, time (in whole seconds)
// and token. The record is all that this machine has of the key, and its only file; if it is lost,
// the key must be found on its token again. If anything of that name is there it changes nothing,
// and the error wraps [fs.ErrExist].
func (s *Store) CreateHardware(r Record) (Record, error) {
	r.Created, r.Protection = wholeSeconds(r.Created), Hardware
	if r.Token != nil {
		r.Token = r.Token.clone()
	}
	return s.createRecord(r)
}

// createRecord stores a key whose record is its only file.
func (s *Store) createRecord(r Record) (Record, error) {
	if err := s.createOnlyRecord(r); err != nil {
		return Record{}, fmt.Errorf("storing key %q: %w", r.Name, err)
	}
	return r, nil
}

func (s *Store) createOnlyRecord(r Record) error {
	if err := CheckName(r.Name); err != nil {
		return err
	}
	text, err := encodeRecord(r)
	if err != nil {
		return err
	}
	unlock, err := s.lock(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.checkFree(r.Name); err != nil {
		return err
	}
	return atomicfile.Create(s.file(r.Name, recordExt), text, 0o600)
}
