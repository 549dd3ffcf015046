// Nothing secret in anything that leaves the user's key file.

package e2e

import (
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
	var secrets []secret
	for _, file := range files {
		secrets = append(secrets, paserkSecret(t, filepath.Base(file), strings.TrimSpace(read(t, file))))
	}
	all := hoard{"the traffic": []byte(w.All()), "the registry's log": []byte(r.Log())}
	if len(all["the traffic"]) < 1000 {
		t.Fatalf("only %d bytes of traffic were captured", len(all["the traffic"]))
	}
	if err := all.addFiles(r.Data); err != nil || len(all) < 4 {
		t.Fatalf("searched %d places: %v", len(all), err)
	}
	for _, fault := range judge(all.search(secrets), nil) {
		t.Error(fault)
	}
}

// forms are the ways in which a private key might be written.
func forms(t *testing.T, paserk string) []string {
	t.Helper()
	var all []string
	for _, f := range paserkSecret(t, "key", paserk).forms {
		all = append(all, string(f.text))
	}
	return all
}
