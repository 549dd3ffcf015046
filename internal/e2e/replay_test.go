// A passive attacker: everything that crossed the network is sent again, at once and later, as it
// was and altered.

package e2e

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"math/big"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/keys"
)

// tap starts a wiretap and a registry behind it.
func tap(t *testing.T, l *lab.Lab, args ...string) (*lab.Wiretap, *lab.Registry) {
	t.Helper()
	w, r, err := l.ServeTapped(context.WithoutCancel(t.Context()), "registry", args...)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, r)
	t.Cleanup(w.Close)
	return w, r
}

func TestReplay(t *testing.T) {
	needCargo(t)
	for _, algorithm := range []string{"ed25519", "p384"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			w, r := tap(t, l, "--auth-required")
			enrolled(t, l, r, "laptop", "crates-team", "--algorithm", algorithm)
			one := sample(t, l, "one", "0.1.0")
			must(t, l, one, "", "cargo", "publish", "--registry", "lab")
			must(t, l, one, "", "cargo", "yank", "--registry", "lab", "--version", "0.1.0", "one")
			must(t, l, one, "", "cargo", "owner", "--registry", "lab", "--list", "one")
			must(t, l, "", "", "regkey", "rotate", "--registry", "lab", "--to", "laptop-2", "--no-passphrase", "--yes")
			must(t, l, one, "", "cargo", "yank", "--undo", "--registry", "lab", "--version", "0.1.0", "one")
			before := state(t, l, r)
			mutations := 0
			for _, c := range w.Requests() {
				if !c.Mutation() {
					continue
				}
				mutations++
				for kind, token := range map[string]string{"as it was": c.Token, "twin": twin(t, c.Token)} {
					status, answer, err := r.Send(t.Context(), c.Method, c.Path, token, c.Body)
					if err != nil {
						t.Fatal(err)
					}
					if status/100 != 4 {
						t.Errorf("%s %s replayed %s: %d %s", c.Method, c.Path, kind, status, answer)
					}
				}
			}
			if mutations < 4 {
				t.Fatalf("only %d mutations were captured", mutations)
			}
			if after := state(t, l, r); after != before {
				t.Errorf("replays changed something:\n%s\ninstead of\n%s", after, before)
			}
			nothingSecret(t, l, r, w)
		})
	}
}

// state is what replays could change, as the registry shows it.
func state(t *testing.T, l *lab.Lab, r *lab.Registry) string {
	t.Helper()
	return indexFile(t, r, l, "one") + must(t, l, "", "", "regkey-registry", "keys", "--data", r.Data, "--json")
}

// twin is the token with the other signature that P-384 has for every message, (r, n−s); an Ed25519
// token, which has none, is given back with its last signature byte changed.
func twin(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	payload := decode64(t, parts[2])
	if parts[0] == "v3" {
		s := payload[len(payload)-48:]
		order := elliptic.P384().Params().N
		new(big.Int).Sub(order, new(big.Int).SetBytes(s)).FillBytes(s)
	} else {
		payload[len(payload)-1] ^= 1
	}
	parts[2] = base64.RawURLEncoding.EncodeToString(payload)
	return strings.Join(parts, ".")
}

func decode64(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// openKey reads an unprotected key of the user.
func openKey(t *testing.T, l *lab.Lab, name string) *keys.SoftwareKey {
	t.Helper()
	key, err := keys.OpenStore(filepath.Join(l.RegkeyHome(), "keys")).Unlock(context.Background(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
