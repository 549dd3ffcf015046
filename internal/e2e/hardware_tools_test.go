// Other people's programs and ours on one token: each reads what the other wrote.

package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// tool runs the system's own copy of a program, or skips where there is none: one of the same name
// may come from elsewhere.
func (h *holder) tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	path := "/usr/bin/" + name
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not installed", path)
	}
	command := exec.CommandContext(t.Context(), path, args...)
	command.Dir = h.Dir
	command.Env = append(h.Command(t.Context(), "", name).Env, "LC_ALL=C.UTF-8")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

const factoryKey = "010203040506070801020304050607080102030405060708"

// TestAdoptFromYKMan takes up a key that ykman made, and publishes with it.
func TestAdoptFromYKMan(t *testing.T) {
	for _, firmware := range []string{"4.3.5", "5.2.7", "5.4.3", "5.7.4"} {
		t.Run(firmware, func(t *testing.T) {
			h := newHolder(t, "name=yk1,serial=12345678,firmware="+firmware)
			h.tool(t, "ykman", "piv", "keys", "generate", "-m", factoryKey, "-a", "ECCP384", "--pin-policy", "ONCE", "9a", "public.pem")
			h.tool(t, "ykman", "piv", "certificates", "generate", "-m", factoryKey, "-P", oldPIN, "-s", "CN=made by ykman", "9a", "public.pem")
			r := serve(t, h.Lab, "--auth-required")
			h.enrolled(t, r, "--adopt", "--slot", "9a")
			if _, _, err := h.Publish(t.Context(), r, sample(t, h.Lab, "one", "0.1.0")); err != nil {
				t.Fatal(err)
			}
			contains(t, "the list", must(t, h.Lab, "", "", "regkey", "hardware", "list"), "CN=made by ykman")
			h.intact(t)
		})
	}
}

// TestAdoptFromYubicoPIVTool takes up a key of yubico-piv-tool's, which stores no certificate.
func TestAdoptFromYubicoPIVTool(t *testing.T) {
	h := newHolder(t, "name=yk1,serial=12345678,firmware=5.4.3")
	h.tool(t, "yubico-piv-tool", "-r", "yk1", "-a", "generate", "-s", "9c", "-A", "ECCP384", "--pin-policy=always", "--touch-policy=never", "-o", "public.pem")
	r := serve(t, h.Lab)
	h.enrolled(t, r, "--adopt", "--slot", "9c")
	if _, _, err := h.Publish(t.Context(), r, sample(t, h.Lab, "one", "0.1.0")); err != nil {
		t.Fatal(err)
	}
	h.intact(t)
}

// TestOthersReadWhatRegkeyWrote: PIN, PUK, management key and keys are where those programs look
// for them.
func TestOthersReadWhatRegkeyWrote(t *testing.T) {
	h := newHolder(t, "name=yk1,serial=12345678,firmware=5.4.3")
	h.setup(t, "12345678")
	must(t, h.Lab, "", "", "regkey", "init", "yk", "--hardware")
	contains(t, "ykman's view", h.tool(t, "ykman", "piv", "info"), "protected by PIN")
	// The management key that regkey stored serves ykman, with the PIN alone.
	h.tool(t, "ykman", "piv", "keys", "generate", "-P", newPIN, "-a", "ECCP384", "82", "public.pem")
	contains(t, "yubico-piv-tool's view", h.tool(t, "yubico-piv-tool", "-r", "yk1", "-a", "status"), "12345678", "PIN tries left:\t3")
	h.tool(t, "yubico-piv-tool", "-r", "yk1", "-a", "attest", "-s", "9a", "-o", "statement.pem")
	h.tool(t, "pkcs15-tool", "--reader", "0", "--verify-pin", "--pin", newPIN)
}
