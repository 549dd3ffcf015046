// Keys that only read, beside a key in a token; and what a registry asks of keys in tokens.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
	"github.com/cargo-regkey/regkey/token"
)

// readerKey is the software key that reads where name, a key in a token, would want a person for
// each signature. It is made if there is none: without a passphrase, as nobody is asked for it
// while cargo reads.
func (a *app) readerKey(ctx context.Context, life *enroll.Lifecycle, name string) (*keys.Record, error) {
	reader, err := readerName(life, name)
	if err != nil {
		return nil, err
	}
	record, err := life.Keys.Lookup(reader)
	if errors.Is(err, fs.ErrNotExist) {
		if record, err = a.makeKey(ctx, life.Keys, newKey(reader, keys.Unprotected), keys.Ed25519); err == nil {
			a.say("regkey: made the key %s, which can only read: cargo reads often, and %s wants its PIN or a touch each time;", reader, name)
			a.say("        it has no passphrase: the mode 0600 of %s alone guards it", life.Keys.Path(reader))
		}
	}
	if err != nil {
		return nil, err
	}
	return &record, nil
}

// hearOfReader finds out whether the key that reads for old has been ended elsewhere. If it was, this
// machine may not be told so unless the key that signs reads for itself, which it does from here on.
// Other failures are left to what comes next.
func (a *app) hearOfReader(ctx context.Context, life *enroll.Lifecycle, old *enroll.Enrolment) error {
	if old == nil || old.Manual || old.ReadKey == "" || old.Key == "" || life.State().Pending() {
		return nil
	}
	_, err := life.Sync(ctx)
	refused, ok := errors.AsType[*registryclient.Error](err)
	if !ok || !slices.Contains([]token.Code{token.CodeKeyUnknown, token.CodeKeyRevoked, token.CodeKeyExpired}, token.Code(refused.Code)) {
		return nil
	}
	a.readsItself, a.purpose = true, "read the keyset at "+label(old)
	_, err = life.Sync(ctx)
	return err
}

// readerSuffix follows a key's name in that of the key that reads for it.
const readerSuffix = "-read"

// readerName is NAME-read, or NAME-read-2, -3 and so on where the keys before it have ended, or
// were lost and left something behind that is kept.
func readerName(life *enroll.Lifecycle, name string) (string, error) {
	reader := name + readerSuffix
	for n := 2; ; n++ {
		if err := keys.CheckName(reader); err != nil {
			return "", err
		}
		if fits, err := life.FitsReader(reader); err != nil || fits {
			return reader, err
		}
		reader = fmt.Sprintf("%s-read-%d", name, n)
	}
}

// A policyError says that a registry would not take the key.
type policyError struct{ registry, want string }

func (e *policyError) Error() string {
	return e.registry + " takes only keys " + e.want + ", and this one is not"
}

// checkPolicy says what the registry asks of keys, before anything is made or signed for it, and
// refuses a key that it would refuse. Keys that can only read are not asked for anything.
func (a *app) checkPolicy(t string, d *registryclient.Discovery, r keys.Record, can enroll.Can) error {
	if err := checkFormat(t, d.Tokens, r, can); err != nil {
		return err
	}
	want := d.Hardware
	if !want.Required || can == enroll.Read {
		return nil
	}
	text := describePolicy(want)
	a.say("regkey: %s takes only keys %s", t, text)
	if fits(want, r) {
		return nil
	}
	return &policyError{t, text}
}

// tokenFormats are the names that registries have for the tokens of each algorithm.
var tokenFormats = map[keys.Algorithm]string{keys.Ed25519: "v4.public", keys.P384: "v3.public"}

// checkFormat refuses a key whose tokens the registry says it does not take. One that can only manage
// signs none, and a registry that lists none has not said.
func checkFormat(t string, taken []string, r keys.Record, can enroll.Can) error {
	format := tokenFormats[r.Public.Algorithm()]
	if can == enroll.Manage || len(taken) == 0 || format == "" || slices.Contains(taken, format) {
		return nil
	}
	err := fmt.Errorf("%s takes no %s tokens, and key %s signs no others: it is %v", t, format, r.Name, r.Public.Algorithm())
	for other, format := range tokenFormats {
		if slices.Contains(taken, format) {
			return advised(err, fmt.Sprintf("make another key for it: \"regkey init NAME --algorithm %v\"", other))
		}
	}
	return err
}

func describePolicy(want registryclient.HardwareWanted) string {
	parts := []string{"that were made in a hardware token and are attested"}
	if want.MinFirmware != "" {
		parts = append(parts, "with firmware "+want.MinFirmware+" or newer")
	}
	if want.Touch {
		parts = append(parts, "with the touch policy always or cached")
	}
	return strings.Join(parts, ", ")
}

// fits takes the record's word; the registry verifies the attestation.
func fits(want registryclient.HardwareWanted, r keys.Record) bool {
	if r.Token == nil || len(r.Token.Attestation) == 0 {
		return false
	}
	if want.Touch && r.Token.Touch != string(hardware.TouchAlways) && r.Token.Touch != string(hardware.TouchCached) {
		return false
	}
	least, err := hardware.ParseVersion(want.MinFirmware)
	if want.MinFirmware == "" || err != nil {
		return true // what can't be read here, the registry judges
	}
	have, err := hardware.ParseVersion(r.Token.Firmware)
	return err == nil && have.Compare(least) >= 0
}
