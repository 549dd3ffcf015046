// Cargo itself as the client, with its own signer ("cargo:paseto", which cargo 1.95 has behind -Z asymmetric-token): a second
// opinion on everything that crosses the wire, and on what a user gets to read.

package registry_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/realcargo"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
)

// A cargoUser runs cargo against a lab, with a P-384 key that is enrolled there.
type cargoUser struct {
	*lab
	cargo, home string
	key         *keys.SoftwareKey
}

func newCargoUser(t *testing.T, change ...func(*registry.Config)) *cargoUser {
	t.Helper()
	cargo, _, err := realcargo.Find()
	if err != nil {
		t.Skipf("the real cargo is not asked: %v", err)
	}
	u := &cargoUser{cargo: cargo, home: t.TempDir(), key: generate(t, keys.P384)}
	u.lab = newLab(t, append(change, func(c *registry.Config) { c.Now = time.Now })...)
	u.lab.clock.time = time.Now() // for what the test itself signs
	u.enrol("team", u.key)
	config := fmt.Sprintf("[registries.lab]\nindex = %q\ncredential-provider = \"cargo:paseto\"\nsecret-key = %q\n", u.server.Index(), u.key.Secret().Reveal())
	if err := os.WriteFile(filepath.Join(u.home, "config.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

// run runs cargo in dir and returns what it said, and whether it was content.
func (u *cargoUser) run(dir string, args ...string) (string, bool) {
	u.t.Helper()
	command := exec.CommandContext(u.t.Context(), u.cargo, append([]string{"-Z", "asymmetric-token"}, args...)...)
	command.Dir = dir
	for _, name := range []string{"PATH", "HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"} {
		if value, ok := os.LookupEnv(name); ok {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	command.Env = append(command.Env, "CARGO_HOME="+u.home, "RUSTC_BOOTSTRAP=1", "CARGO_TERM_COLOR=never", "CARGO_NET_RETRY=0")
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	return output.String(), err == nil
}

// good runs cargo, which must succeed.
func (u *cargoUser) good(dir string, args ...string) string {
	u.t.Helper()
	output, ok := u.run(dir, args...)
	if !ok {
		u.t.Fatalf("cargo %s: %s", strings.Join(args, " "), output)
	}
	return output
}

// bad runs cargo, which must fail and show the words.
func (u *cargoUser) bad(words, dir string, args ...string) {
	u.t.Helper()
	output, ok := u.run(dir, args...)
	if ok || !strings.Contains(output, words) {
		u.t.Errorf("cargo %s (succeeded: %v) does not show %q: %s", strings.Join(args, " "), ok, words, output)
	}
}

// crate makes a package of cargo's.
func (u *cargoUser) crate(name, version, dependencies, source string) string {
	u.t.Helper()
	dir := u.t.TempDir()
	manifest := fmt.Sprintf("[package]\nname = %q\nversion = %q\nedition = \"2021\"\ndescription = \"A sample\"\nlicense = \"MIT\"\n[dependencies]\n%s\n[workspace]\n", name, version, dependencies)
	for file, text := range map[string]string{"Cargo.toml": manifest, "src/lib.rs": source} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			u.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			u.t.Fatal(err)
		}
	}
	return dir
}

func TestCargo(t *testing.T) {
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprintf("auth-required=%v", closed), func(t *testing.T) {
			u := newCargoUser(t, func(c *registry.Config) { c.AuthRequired = closed })
			demo := u.crate("regkey_demo", "0.1.0", "", "pub fn answer() -> u32 { 42 }\n")
			publish := []string{"publish", "--registry", "lab", "--no-verify", "--allow-dirty"}
			u.good(demo, publish...)
			u.bad("already exists", demo, publish...)

			user := u.crate("regkey_user", "1.0.0", `regkey_demo = { version = "0.1", registry = "lab" }`, "pub use regkey_demo::answer;\n")
			u.good(user, "check")
			u.good(user, publish...)
			if found := u.good(demo, "search", "--registry", "lab", "regkey"); !strings.Contains(found, `regkey_demo = "0.1.0"`) {
				t.Errorf("cargo search says %s", found)
			}

			u.good(demo, "yank", "--registry", "lab", "--version", "0.1.0", "regkey_demo")
			fresh := u.crate("regkey_late", "1.0.0", `regkey_demo = { version = "0.1", registry = "lab" }`, "")
			u.bad("yanked", fresh, "check")
			u.good(demo, "yank", "--registry", "lab", "--undo", "--version", "0.1.0", "regkey_demo")
			u.good(fresh, "check")

			u.enrol("friend", generate(t, keys.Ed25519))
			u.enrol("second", generate(t, keys.Ed25519))
			owner := func(args ...string) []string {
				return append([]string{"owner", "--registry", "lab", "regkey_demo"}, args...)
			}
			if said := u.good(demo, owner("--add", "friend")...); !strings.Contains(said, `"friend" was added to the owners of crate "regkey_demo"`) {
				t.Errorf("cargo owner --add says %s", said)
			}
			if listed := u.good(demo, owner("--list")...); !strings.Contains(listed, "friend") || !strings.Contains(listed, "team") {
				t.Errorf("cargo owner --list says %s", listed)
			}
			u.bad("\"second\" was added to the owners of crate \"regkey_demo\"; now run `cargo owner --remove friend regkey_demo`",
				demo, owner("--add", "second", "--remove", "friend")...)
			u.good(demo, owner("--remove", "friend")...)
			if listed := u.good(demo, owner("--list")...); strings.Contains(listed, "friend") || !strings.Contains(listed, "second") {
				t.Errorf("in the end cargo owner --list says %s", listed)
			}

			u.want(u.postNote("/revocations", u.revocation(u.key.Public().ID(), u.key, enroll.Lost)), 201, "")
			u.bad("is revoked and will never be accepted again", demo, "yank", "--registry", "lab", "--version", "0.1.0", "regkey_demo")
			if closed {
				_ = os.RemoveAll(filepath.Join(u.home, "registry"))
				u.bad("is revoked and will never be accepted again", u.crate("regkey_last", "1.0.0", `regkey_demo = { version = "0.1", registry = "lab" }`, ""), "check")
			}
		})
	}
}

// A refusal must reach the user also when the upload is large: before it is read, and in its middle.
func TestCargoShowsRefusalsOfLargeCrates(t *testing.T) {
	u := newCargoUser(t, func(c *registry.Config) { c.MaxCrate = 3 << 20 })
	random := make([]byte, 8<<20)
	state := uint64(1)
	for i := range random { // it must not compress
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		random[i] = byte(state)
	}
	large := u.crate("regkey_large", "0.1.0", "", "")
	if err := os.WriteFile(filepath.Join(large, "data"), random, 0o644); err != nil {
		t.Fatal(err)
	}
	publish := []string{"publish", "--registry", "lab", "--no-verify", "--allow-dirty"}
	u.bad("this registry takes crates of up to 3145728: leave files out", large, publish...)
	u.want(u.postNote("/revocations", u.revocation(u.key.Public().ID(), u.key, enroll.Lost)), 201, "")
	u.bad("is revoked and will never be accepted again", large, publish...)
}
