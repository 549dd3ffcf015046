// Limits that a keyset sets: nobody is asked for what the registry would refuse.

//go:build unix

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

func TestLimitsAreSeenBeforeAnybodyIsAsked(t *testing.T) {
	const seen = ", as far as this machine knows: "
	for name, test := range map[string]struct {
		entry           enroll.Entry
		revoked         bool
		operation, says string // says "": it goes on
	}{
		"everything":        {entry: enroll.Entry{Can: enroll.Publish | enroll.Yank | enroll.Read}, operation: "publish"},
		"its crate":         {entry: enroll.Entry{Can: enroll.Publish, Crates: []string{"fo*"}}, operation: "publish"},
		"another crate":     {entry: enroll.Entry{Can: enroll.Publish, Crates: []string{"bar-*"}}, operation: "publish", says: "it may do that only to bar-*"},
		"another operation": {entry: enroll.Entry{Can: enroll.Read}, operation: "yank", says: "it may read, and not yank"},
		"unyank as yank":    {entry: enroll.Entry{Can: enroll.Yank}, operation: "unyank"},
		"ended":             {entry: enroll.Entry{Can: enroll.Publish, Until: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, operation: "publish", says: "its time ended at 2026-01-02T03:04:05Z"},
		"revoked":           {revoked: true, operation: "publish", says: "it was revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			e := lab(index)
			e.Key, e.Subject = "yk", "user-7"
			public, secret := u.enrolHardware(t, e, keys.Ed25519)
			u.pin(t, test.entry, public, test.revoked)
			run, log := signing(t, u, secret)
			r := run(requests(index)[test.operation])
			_, err := os.Stat(log)
			asked := err == nil
			if test.says == "" {
				if r.token(t); !asked {
					t.Error("regkey was not asked")
				}
				return
			}
			if got := r.failure(t); asked || !strings.Contains(got, `key "yk" may not `+test.operation) || !strings.Contains(got, seen+test.says+";") {
				t.Errorf("asked: %v; the failure is %q", asked, got)
			}
		})
	}
}

// pin writes a keyset that this machine is to have verified: a manager's, and the key's line or its end.
func (u *user) pin(t *testing.T, entry enroll.Entry, public keys.PublicKey, revoked bool) {
	t.Helper()
	manager, err := keys.Generate(keys.Ed25519)
	check(t, err)
	keyset := &enroll.Keyset{
		Registry: index, Account: "crates-team", Version: 1, Issued: time.Now().UTC().Truncate(time.Second),
		Keys: []enroll.Entry{{Key: manager.Public(), Can: enroll.Manage}},
	}
	if entry.Key = public; revoked {
		keyset.Revoked = []keys.ID{public.ID()}
	} else {
		keyset.Keys = append(keyset.Keys, entry)
	}
	keyset.Sort()
	signed, err := enroll.SignKeyset(t.Context(), keyset, manager)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(filepath.Dir(u.enrolmentFile(index)), "keyset.note"), signed.Note, 0o600))
}
