// What a registry that wants a token for reading tells to those who can show none: nothing about accounts.

package registry_test

import (
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
)

func TestConflictIsNotShownToStrangers(t *testing.T) {
	l := newLab(t, func(c *registry.Config) { c.AuthRequired = true })
	key, stranger := generate(t, keys.Ed25519), generate(t, keys.Ed25519)
	team := l.enrol("team", key)
	first := team.standing
	team.submit(team.draft(manages(key)), 201, "", key)
	l.clock.pass(time.Second)
	rival := team.draft(manages(stranger))
	rival.Version, rival.Previous = 2, first.Hash()
	team.submit(rival, 403, "keyset-wrong-version", stranger)
	team.submit(rival, 409, "keyset-conflict", stranger, key)
}

// Where reading needs a token, nothing that a stranger can sign tells whether an account exists, or how far its chain has come.
func TestStrangersLearnNoAccountNames(t *testing.T) {
	l := newLab(t, func(c *registry.Config) { c.AuthRequired = true })
	stranger := generate(t, keys.Ed25519)
	team := l.enrol("team", generate(t, keys.Ed25519))
	if _, _, err := l.operator.Invite(t.Context(), "invited", time.Hour); err != nil {
		t.Fatal(err)
	}
	for version := 1; version <= 3; version++ {
		var answers []string
		for _, name := range []string{"nobody", "invited", "team"} {
			k := (&account{lab: l, name: name}).draft(manages(stranger))
			if k.Version = version; version > 1 {
				k.Previous = team.standing.Hash()
			}
			signed, err := enroll.SignKeyset(t.Context(), k, stranger)
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, l.postNote("/accounts/"+name+"/keysets", signed.Note).String())
		}
		if answers[0] != answers[1] || answers[0] != answers[2] {
			t.Errorf("version %d is answered %q", version, answers)
		}
	}
}
