// Other people's clients: cargo's own signer, and a Go program that mints with go-paseto.

package e2e

import (
	"encoding/hex"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aidanwoods.dev/go-paseto"
	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/keys"
)

// TestCargoSigns publishes with the signer that cargo 1.95 has behind -Z asymmetric-token.
func TestCargoSigns(t *testing.T) {
	needCargo(t)
	l := newLab(t)
	l.Env = []string{"RUSTC_BOOTSTRAP=1"}
	r := serve(t, l, "--auth-required")
	enrolled(t, l, r, "laptop", "crates-team", "--algorithm", "p384")
	secret := strings.TrimSpace(read(t, l.RegkeyHome(), "keys", "laptop.key"))
	config := "[registries.lab]\nindex = \"" + r.Index + "\"\nsecret-key = \"" + secret + "\"\n" +
		"credential-provider = \"cargo:paseto\"\n"
	if err := l.WriteFile(filepath.Join(l.CargoHome(), "config.toml"), config); err != nil {
		t.Fatal(err)
	}
	one := sample(t, l, "one", "0.1.0")
	help, err := l.Run(t.Context(), "", "", "cargo", "-Z", "help")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(help.Stdout, "asymmetric-token") {
		t.Skip("this cargo has no signer of its own any more: -Z asymmetric-token is gone")
	}
	must(t, l, one, "", "cargo", "-Z", "asymmetric-token", "publish", "--registry", "lab")
	must(t, l, one, "", "cargo", "-Z", "asymmetric-token", "yank", "--registry", "lab", "--version", "0.1.0", "one")
	must(t, l, one, "", "cargo", "-Z", "asymmetric-token", "owner", "--registry", "lab", "--list", "one")
}

// TestForeignMinter publishes with a v4 token whose every byte another library made.
func TestForeignMinter(t *testing.T) {
	l := newLab(t)
	r := serve(t, l)
	enrolled(t, l, r, "laptop", "crates-team")
	key := openKey(t, l, "laptop")
	crate, err := lab.Pack(sample(t, l, "one", "0.1.0"), r.Index)
	if err != nil {
		t.Fatal(err)
	}
	token := foreignToken(t, key, r.Index, crate)
	status, answer, err := r.Send(t.Context(), http.MethodPut, "/api/v1/crates/new", token, crate.Body)
	if err != nil || status != http.StatusOK {
		t.Fatalf("publishing with a foreign token: %d %s %v", status, answer, err)
	}
}

func foreignToken(t *testing.T, key *keys.SoftwareKey, index string, crate *lab.Crate) string {
	t.Helper()
	_, encoded, _ := strings.Cut(string(key.Secret().Reveal()), "k4.secret.")
	raw := decode64(t, encoded)
	secret, err := paseto.NewV4AsymmetricSecretKeyFromHex(hex.EncodeToString(raw))
	if err != nil {
		t.Fatal(err)
	}
	foreign := paseto.NewToken()
	foreign.SetString("iat", time.Now().UTC().Format(time.RFC3339))
	foreign.SetString("mutation", "publish")
	foreign.SetString("name", crate.Name)
	foreign.SetString("vers", crate.Version)
	foreign.SetString("cksum", crate.Checksum)
	footer, err := json.Marshal(map[string]string{"url": index, "kid": key.Public().ID().String()})
	if err != nil {
		t.Fatal(err)
	}
	foreign.SetFooter(footer)
	return foreign.V4Sign(secret, nil)
}
