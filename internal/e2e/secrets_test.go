// Nothing secret in anything that leaves the user's key file.

package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/lab"
)

// nothingSecret searches all traffic, the registry's log and every file of the registry for every
// private key of the user, in each form that it might be written in.
func nothingSecret(t *testing.T, l *lab.Lab, r *lab.Registry, w *lab.Wiretap) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(l.RegkeyHome(), "keys", "*.key"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no key files to look for: %v", err)
	}
	var needles []string
	for _, file := range files {
		needles = append(needles, forms(t, strings.TrimSpace(read(t, file)))...)
	}
	traffic := w.All()
	if len(traffic) < 1000 {
		t.Fatalf("only %d bytes of traffic were captured", len(traffic))
	}
	lacks(t, "the traffic", traffic, needles...)
	lacks(t, "the registry's log", r.Log(), needles...)
	searched := 0
	err = filepath.WalkDir(r.Data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		searched++
		lacks(t, path, string(data), needles...)
		return nil
	})
	if err != nil || searched < 2 {
		t.Fatalf("searched %d files of the registry: %v", searched, err)
	}
}

// forms are the PASERK text of a key, its bytes, and those in hex and both kinds of base64.
// Ed25519's seed is searched for alone: the other half of its PASERK is the public key.
func forms(t *testing.T, paserk string) []string {
	t.Helper()
	parts := strings.Split(paserk, ".")
	raw := decode64(t, parts[2])
	if parts[0] == "k4" {
		raw = raw[:32]
	}
	return []string{
		paserk, parts[2], string(raw), hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)),
		base64.RawStdEncoding.EncodeToString(raw)[:40], base64.RawURLEncoding.EncodeToString(raw)[:40],
	}
}
