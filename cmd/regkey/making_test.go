// What is said of a key whose making in a token was interrupted.

package main

import (
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/enroll"
)

func TestInterruptedMaking(t *testing.T) {
	for _, test := range []struct {
		old   string
		given map[string]string
		again string
	}{
		{"", map[string]string{"touch": "never", "slot": "82"}, `"regkey init yk --hardware --slot 82 --touch never" goes on`},
		{"laptop", map[string]string{"to-hardware": "true", "registry": "hand"}, `"regkey rotate --to yk --registry hand --to-hardware" goes on`},
	} {
		home := t.TempDir()
		var said strings.Builder
		a := newApp()
		a.stderr, a.home = &said, func() (string, error) { return home, nil }
		m, err := a.making(home, "yk", test.old, test.given)
		if err == nil {
			err = m.MakingIn("yk", "4711/82")
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := a.unfinishedLines(home)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "the making of key yk in slot 82 of YubiKey 4711, begun at ") || !strings.HasSuffix(lines[0], test.again) {
			t.Errorf("said is %q", lines)
		}
		// The same again takes it up; another way to make it gives it up, and says where it may be.
		if m, err := a.making(home, "yk", test.old, test.given); err != nil || m.MadeIn("yk") == "" || said.Len() > 0 {
			t.Errorf("not taken up: %v, %s", err, said.String())
		}
		m, err = a.making(home, "yk", test.old, map[string]string{"touch": "always"})
		if err != nil || m.MadeIn("yk") != "" || !strings.Contains(said.String(), "slot 82 of YubiKey 4711 may hold a key that was made for yk") {
			t.Errorf("given up is %+v, %v: %s", m, err, said.String())
		}
		if all, err := enroll.OpenJournal(home).Intents(); err != nil || len(all) > 0 {
			t.Errorf("the journal has %v, %v", all, err)
		}
	}
}
