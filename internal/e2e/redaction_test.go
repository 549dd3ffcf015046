//go:build linux

// A whole run of everything that regkey does with secrets, and the search for them in every byte that
// the run has left.

package e2e

import (
	"path/filepath"
	"testing"
)

// TestNothingSecretIsWritten takes keys in files through their life.
func TestNothingSecretIsWritten(t *testing.T) {
	needCargo(t)
	for _, agent := range []string{"off", "on"} {
		t.Run("agent "+agent, func(t *testing.T) {
			l := newLab(t)
			w := watch(t, l)
			stop := func() {}
			if agent == "on" {
				stop = w.startAgent("key laptop-2")
			}
			w.life()
			stop()
			w.addKeys("laptop", "laptop-2", "ci")
			w.saw("regkey", "cargo", "cargo-credential-regkey", "regkey-registry", "rustc")
			w.finish(
				allowance{"the key ci", "file home/.config/regkey/keys/ci.key"},
				allowance{"the invite code", "stdout of regkey-registry invite --data"},
			)
		})
	}
}

// life is that of keys in files.
func (w *watchedRun) life() {
	t := w.t
	t.Helper()
	w.protect("laptop", "wharf lantern 3 cobalt")
	w.protect("laptop-2", "nimble oyster 8 granite")
	w.terminal("", "regkey", "init", "laptop")
	w.run("regkey", "init", "ci", "--no-passphrase")
	w.invite("crates-team")
	w.terminal("", "regkey", "enroll", "--registry", "lab", "--key", "laptop", "--account", "crates-team")
	w.terminal("", "regkey", "enroll", "--registry", "lab", "--key", "ci", "--can", "publish,read")
	w.terminal(sample(t, w.Lab, "one", "0.1.0"), "cargo", "publish", "--registry", "lab")
	w.terminal("", "cargo", "yank", "--registry", "lab", "--version", "0.1.0", "one")
	w.terminal("", "regkey", "rotate", "--registry", "lab", "--key", "laptop", "--to", "laptop-2")
	w.terminal(sample(t, w.Lab, "one", "0.2.0"), "cargo", "publish", "--registry", "lab")
	w.job("one", "0.3.0")
	w.run("regkey", "export", "env", "--registry", "lab", "--key", "ci")
	w.run("regkey", "status", "--json")
	w.terminal("", "regkey", "status", "--online")
	w.terminal("", "regkey", "doctor", "--online")
	w.terminal("", "regkey", "revoke", "--registry", "lab", "ci", "--reason", "lost")
}

// job publishes with the key of a job, from its file.
func (w *watchedRun) job(name, version string) {
	w.t.Helper()
	before := w.Env
	w.Env = append(append([]string(nil), before...), "REGKEY_HOME="+filepath.Join(w.Dir, "none"),
		"REGKEY_KEY_FILE="+filepath.Join(w.RegkeyHome(), "keys", "ci.key"), "REGKEY_REGISTRY="+w.registry.Index, "REGKEY_CHALLENGE=1")
	w.run("cargo", "publish", "--registry", "lab", "--manifest-path", filepath.Join(sample(w.t, w.Lab, name, version), "Cargo.toml"))
	w.Env = before
}

// TestNothingSecretOfTokensIsWritten does the same with a key in a token.
func TestNothingSecretOfTokensIsWritten(t *testing.T) {
	needCargo(t)
	for _, agent := range []string{"off", "on"} {
		t.Run("agent "+agent, func(t *testing.T) {
			h := newHolder(t, "name=yk1,serial=12345678,firmware=5.7.4")
			w := watch(t, h.Lab)
			w.pin = "zq7Kw2Xv"
			const puk = "Jr5mT8bn"
			w.secrets = append(w.secrets, newSecret(t, "the PIN", []byte(w.pin)), newSecret(t, "the PUK", []byte(puk)))
			before := h.Env
			h.Env = append(append([]string(nil), before...),
				"REGKEY_PUK_FILE="+h.write(t, "puk", oldPUK),
				"REGKEY_NEW_PIN_FILE="+h.write(t, "new-pin", w.pin), "REGKEY_NEW_PUK_FILE="+h.write(t, "new-puk", puk))
			w.run("regkey", "hardware", "setup", "--serial", "12345678")
			// From now on a person types it.
			h.Env = append(append([]string(nil), before...), "REGKEY_PIN_FILE=")
			stop := func() {}
			if agent == "on" {
				stop = w.startAgent("token 12345678")
			}
			w.lifeOfToken()
			stop()
			w.addKeys("yk-read")
			w.saw("regkey-hardware", "cargo", "cargo-credential-regkey", "regkey-registry")
			w.finish(
				allowance{"the key yk-read", "file home/.config/regkey/keys/yk-read.key"},
				allowance{"the invite code", "stdout of regkey-registry invite --data"},
				allowance{"the PIN", "file new-pin"},
				allowance{"the PUK", "file new-puk"},
			)
		})
	}
}

// lifeOfToken is that of a key in a token.
func (w *watchedRun) lifeOfToken() {
	t := w.t
	t.Helper()
	w.terminal("", "regkey", "init", "yk", "--hardware")
	w.invite("crates-team")
	w.terminal("", "regkey", "enroll", "--registry", "lab", "--key", "yk", "--account", "crates-team")
	w.terminal(sample(t, w.Lab, "one", "0.1.0"), "cargo", "publish", "--registry", "lab")
	w.terminal("", "cargo", "yank", "--registry", "lab", "--version", "0.1.0", "one")
	w.run("regkey", "hardware", "list", "--json")
	w.terminal("", "regkey", "revoke", "--registry", "lab", "yk", "--reason", "lost", "--force-last")
}
