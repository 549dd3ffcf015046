//go:build linux

// A key's life behind the real pcscd, with the reader of vsmartcard: what the stand-in daemon of the
// other tests could have got wrong.

package e2e

import (
	"context"
	"net/http"
	"os"
	"testing"

	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/internal/realcargo"
)

// realHolder is a holder whose one token is in the reader of a pcscd of its own. The token must stay
// there: the driver aborts when it is removed.
func realHolder(t *testing.T, card string) *holder {
	t.Helper()
	if err := lab.RealDaemonTools(); err != nil {
		t.Skipf("this test needs the real pcscd with a virtual reader, and %v", err)
	}
	dir := tokenFolder(t)
	ctx := context.WithoutCancel(t.Context())
	tokens, err := lab.PlugReal(ctx, fixtures, dir, card)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tokens.Close() })
	place, err := os.MkdirTemp("", "pcscd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(place) })
	daemon, err := lab.StartDaemon(ctx, place, tokens.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Stop() // before the token goes
		if t.Failed() {
			t.Logf("pcscd said:\n%s", daemon.Log())
		}
	})
	return holderOf(t, dir, tokens, daemon.Socket)
}

// A client changes a registry as cargo does: the real one, or lab's stand-in where that is missing.
type client struct {
	*holder
	r    *lab.Registry
	real bool
}

func newClient(t *testing.T, h *holder, r *lab.Registry) client {
	t.Helper()
	_, _, err := realcargo.Find()
	if err != nil {
		t.Logf("a stand-in takes cargo's part: %v", err)
	}
	return client{h, r, err == nil}
}

// publish returns "", or what the user is told if it fails.
func (c client) publish(t *testing.T, name, version string) (refusal string) {
	t.Helper()
	dir := sample(t, c.Lab, name, version)
	if !c.real {
		if _, _, err := c.Publish(t.Context(), c.r, dir); err != nil {
			return err.Error()
		}
		return ""
	}
	result, err := c.Run(t.Context(), dir, "", "cargo", "publish", "--registry", "lab")
	if err != nil {
		t.Fatal(err)
	}
	if result.Exit != 0 {
		return result.Stderr
	}
	return ""
}

// published fails if the version can't be published.
func (c client) published(t *testing.T, name, version string) {
	t.Helper()
	if refusal := c.publish(t, name, version); refusal != "" {
		t.Fatalf("publishing %s %s: %s", name, version, refusal)
	}
}

func (c client) yank(t *testing.T, name, version string) {
	t.Helper()
	if c.real {
		must(t, c.Lab, sample(t, c.Lab, name, version), "", "cargo", "yank", "--registry", "lab", "--version", version, name)
		return
	}
	token, err := c.Token(t.Context(), c.r.Index, lab.Operation{Kind: "yank", Name: name, Version: version})
	if err != nil {
		t.Fatal(err)
	}
	status, answer, err := c.r.Send(t.Context(), http.MethodDelete, "/api/v1/crates/"+name+"/"+version+"/yank", token, nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("yanking %s %s: %d %s %v", name, version, status, answer, err)
	}
}

func TestHardwareLifeBehindPCSCD(t *testing.T) {
	for _, test := range []struct{ firmware, algorithm string }{{"5.7.4", "ed25519"}, {"4.3.5", "p384"}} {
		t.Run(test.firmware+" "+test.algorithm, func(t *testing.T) {
			t.Parallel()
			lifeBehindPCSCD(t, test.firmware, test.algorithm)
		})
	}
}

func lifeBehindPCSCD(t *testing.T, firmware, algorithm string) {
	h := realHolder(t, "name=yk1,serial=12345678,firmware="+firmware)
	r := serve(t, h.Lab, "--auth-required")
	contains(t, "list", must(t, h.Lab, "", "", "regkey", "hardware", "list"), "12345678", firmware)
	h.setup(t, "12345678")
	h.enrolled(t, r, "--algorithm", algorithm)
	c := newClient(t, h, r)
	c.published(t, "one", "0.1.0")
	c.yank(t, "one", "0.1.0")
	contains(t, "index line after yank", indexFile(t, r, h.Lab, "one"), `"yanked":true`)
	h.intact(t)
	contains(t, "attestation", must(t, h.Lab, "", "", "regkey", "hardware", "attest", "yk", "--roots", h.tokens.Authorities), firmware, algorithm, "made on the token")
	if c.real { // what doctor has to say without cargo is another matter
		contains(t, "doctor", must(t, h.Lab, "", "", "regkey", "doctor", "--online"), "holds yk")
	}

	// A wrong PIN costs one try, is not sent again, and the right one gives the tries back.
	h.write(t, "pin", "654321")
	contains(t, "publishing with a wrong PIN", c.publish(t, "one", "0.2.0"), "2 tries are left")
	contains(t, "publishing with it again", c.publish(t, "one", "0.2.0"), "not sending the PIN")
	h.tries(t, 2)
	h.write(t, "pin", newPIN)
	h.write(t, "puk", newPUK)
	must(t, h.Lab, "", "", "regkey", "hardware", "unblock", "--serial", "12345678")
	h.intact(t)

	for i, args := range [][]string{{}, {"--to-software", "--no-passphrase"}, {"--to-hardware", "--algorithm", algorithm}} {
		must(t, h.Lab, "", "", "regkey", append([]string{"rotate", "--registry", "lab", "--yes"}, args...)...)
		c.published(t, "one", "0."+string(rune('3'+i))+".0")
	}
	h.intact(t)
	must(t, h.Lab, "", "", "regkey", "revoke", "--registry", "lab", "yk-4", "--reason", "lost", "--yes", "--force-last")
	contains(t, "publishing where the key was revoked", c.publish(t, "one", "0.9.0"), "no key of this machine")
	h.intact(t)
}

// tries wants so many of the PIN left, and nothing left unlocked.
func (h *holder) tries(t *testing.T, want int) {
	t.Helper()
	state, err := h.tokens.State("yk1")
	if err != nil {
		t.Fatal(err)
	}
	if state.PINTries != want || state.Verified || state.Managed {
		t.Errorf("the token was left as %+v", state)
	}
}
