// Results: JSON for programs, aligned lines for people.

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/keys"
)

// printJSON writes one JSON object and a line break on stdout.
func (a *app) printJSON(value any) error {
	text, err := json.Marshal(value, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n", text)
	return err
}

// A fact is one line of a result; an empty value is left out.
type fact struct{ name, value string }

func (a *app) printFacts(facts ...fact) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, f := range facts {
		if f.value != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", f.name, cargo.Printable(f.value))
		}
	}
	return w.Flush()
}

// printLine writes one line on stdout.
func (a *app) printLine(format string, values ...any) error {
	_, err := fmt.Fprintf(a.stdout, "%s\n", cargo.Printable(fmt.Sprintf(format, values...)))
	return err
}

// moment is a time as people and programs read it; "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// keyFacts is what every command that makes or shows a key says of it in JSON.
type keyFacts struct {
	Name       string `json:"name"`
	Algorithm  string `json:"algorithm"`
	Protection string `json:"protection"`
	Public     string `json:"public"`
	ID         string `json:"id"`
	Created    string `json:"created"`
	File       string `json:"file"`
	Origin     string `json:"origin,omitzero"`   // "imported", "ssh"; none: made here
	MayManage  bool   `json:"may-manage"`        // whether a registry may be asked to let it manage an account's keys
	Leftover   string `json:"leftover,omitzero"` // a second secret file, which an interrupted "regkey protect" left

	Token *keyTokenFacts `json:"token,omitzero"` // of a key in hardware
}

// keyTokenFacts says where a key in hardware is.
type keyTokenFacts struct {
	Serial   uint32 `json:"serial"`
	Slot     string `json:"slot"`
	Firmware string `json:"firmware,omitzero"`
	PIN      string `json:"pin,omitzero"`
	Touch    string `json:"touch,omitzero"`
	Attested bool   `json:"attested"` // the record holds certificates: "regkey hardware attest" verifies them
}

// describe is the place and what a signature demands, for people.
func (t *keyTokenFacts) describe() string {
	text := fmt.Sprintf("YubiKey %d, slot %s", t.Serial, t.Slot)
	if t.PIN != "" {
		text += ", PIN " + t.PIN
	}
	if t.Touch != "" {
		text += ", touch " + t.Touch
	}
	return text
}

// factsOf reads a record. A passphrase key whose record file was lost has no public half until it
// is unlocked.
func factsOf(store *keys.Store, r keys.Record) keyFacts {
	f := keyFacts{
		Name: r.Name, Protection: string(r.Protection), Created: moment(r.Created), File: store.Path(r.Name),
		Origin: string(r.Origin), MayManage: r.MayManage(), Leftover: store.Leftover(r),
	}
	if !r.Public.IsZero() {
		f.Algorithm, f.Public, f.ID = r.Public.Algorithm().String(), r.Public.String(), r.Public.ID().String()
	}
	if t := r.Token; t != nil {
		f.Token = &keyTokenFacts{t.Serial, t.Slot, t.Firmware, t.PIN, t.Touch, len(t.Attestation) > 0}
	}
	if !inFile(r) { // such a key has no other file
		f.File = strings.TrimSuffix(f.File, filepath.Ext(f.File)) + ".toml"
	}
	return f
}

// guard says in a few words what stands between a thief and the key.
func (f keyFacts) guard() string {
	switch keys.Protection(f.Protection) {
	case keys.Unprotected:
		return "unprotected"
	case keys.Passphrase:
		return "with a passphrase"
	case keys.Keychain:
		return "with the keychain"
	case keys.SSHAgent:
		return "in an ssh-agent"
	case keys.Elsewhere:
		return "kept elsewhere"
	}
	if f.Token != nil {
		return f.Token.describe()
	}
	return f.Protection
}

// origin says where a key comes from that was not made here.
func (f keyFacts) origin() string {
	return map[keys.Origin]string{keys.Imported: "imported", keys.FromSSH: "an SSH key"}[keys.Origin(f.Origin)]
}

// printKey shows a key that was made, brought here or changed. An unprotected one is spoken of to
// whoever can still change that.
func (a *app) printKey(what string, f keyFacts) error {
	parts := []string{f.Algorithm, f.guard()}
	if origin := f.origin(); origin != "" {
		parts = append(parts, origin)
	}
	err := a.printFacts(
		fact{what, f.Name + " (" + strings.Join(parts, ", ") + ")"},
		fact{"public", f.Public}, fact{"id", f.ID}, fact{"file", f.File},
	)
	if f.Protection == string(keys.Unprotected) {
		a.advise("regkey: warning: ANYONE WHO CAN READ THIS FILE CAN PUBLISH AS YOU; \"regkey protect %s\" protects it", f.Name)
	}
	return err
}
