//go:build linux

// The same search where the operating system's keychain keeps the wrapping key.

package e2e

import (
	"io"
	"regexp"
	"strings"
	"testing"

	"filippo.io/age/armor"

	"github.com/cargo-regkey/regkey/internal/keychain"
	"github.com/cargo-regkey/regkey/internal/keychain/keychaintest"
)

// TestNothingSecretOfKeychainsIsWritten moves a key from a passphrase into the keychain.
func TestNothingSecretOfKeychainsIsWritten(t *testing.T) {
	needCargo(t)
	session := keychaintest.Start(t)
	l := newLab(t)
	l.Env = session.Env()
	w := watch(t, l)
	w.protect("laptop", "wharf lantern 3 cobalt")
	w.terminal("", "regkey", "init", "laptop", "--passphrase")
	w.addKeys("laptop")
	w.terminal("", "regkey", "protect", "laptop", "--keychain")
	w.invite("crates-team")
	w.terminal("", "regkey", "enroll", "--registry", "lab", "--key", "laptop", "--account", "crates-team")
	w.terminal(sample(t, w.Lab, "one", "0.1.0"), "cargo", "publish", "--registry", "lab")
	w.run("regkey", "doctor", "--online")

	file, err := io.ReadAll(armor.NewReader(strings.NewReader(read(t, l.RegkeyHome(), "keys", "laptop.age"))))
	if err != nil {
		t.Fatal(err)
	}
	item := regexp.MustCompile(`-> regkey-keychain ([0-9a-f]{32})\n`).FindSubmatch(file)
	if item == nil {
		t.Fatalf("the file names no item of the keychain: %q", file)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", session.Address)
	wrapping, err := keychain.Open().Fetch(t.Context(), string(item[1]))
	if err != nil {
		t.Fatal(err)
	}
	text := string(wrapping.Reveal())
	w.secrets = append(w.secrets, newSecret(t, "the wrapping key", []byte(text), []byte(strings.ToLower(text))))
	w.saw("regkey", "cargo", "cargo-credential-regkey", "regkey-registry")
	w.finish(allowance{"the invite code", "stdout of regkey-registry invite --data"})
}
