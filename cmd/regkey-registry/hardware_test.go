// What an operator asks of keys in hardware, and sees of them.

package main

import (
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/storage"
)

func TestServeWithHardwarePolicy(t *testing.T) {
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: virtualpiv.Root().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"": {"--attestation-roots", roots},
		`"hardware":{"required":true,"touch":false}`: {"--require-hardware"},
		`"hardware":{"required":true,"touch":true}`:  {"--require-touch"},
		`"hardware":{"required":true,"touch":true,"min-firmware":"5.7.0"}`: {
			"--require-hardware", "--require-touch", "--min-firmware", "5.7.0", "--attestation-roots", roots,
		},
	} {
		p := serve(t, t.TempDir(), args...)
		response, err := http.Get(p.URL + "/.well-known/regkey.json")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || !strings.Contains(string(body), want) || strings.Contains(string(body), `"hardware"`) != (want != "") {
			t.Errorf("with %q the registry says %s (%v), want %s", args, body, err, want)
		}
		p.stop(t)
	}
}

func TestBadHardwarePolicy(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		`--min-firmware: firmware version "5.7" is not`: {"--min-firmware", "5.7"},
		"--attestation-roots: reading roots":            {"--attestation-roots", empty},
		"no such file":                                  {"--attestation-roots", filepath.Join(dir, "none.pem")},
	} {
		out, talk, exit := run(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data")}, args...)...)
		if exit != exitUsage || out != "" || !strings.Contains(talk, says) {
			t.Errorf("%q: exit %d, %q", args, exit, talk)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("a folder was begun")
	}
}

func TestKeysShowHardware(t *testing.T) {
	data := t.TempDir()
	serve(t, data).stop(t)
	db, err := storage.Open(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var listed []storage.Key
	for range 2 {
		key, err := keys.Generate(keys.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, storage.Key{Public: key.Public(), Can: "manage", Since: now})
	}
	listed[0].Hardware = &storage.Hardware{Serial: 4294967295, Firmware: "5.7.4", Slot: "9a", PIN: "once", Touch: "cached", Form: "USB-C nano"}
	err = db.Update(context.Background(), func(tx *storage.Tx) error {
		if err := tx.CreateAccount(t.Context(), "team", now); err != nil {
			return err
		}
		return tx.SaveKeyset(t.Context(), storage.Keyset{Account: "team", Epoch: 1, Version: 1, Note: "x", Accepted: now}, listed)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	table, _, _ := run(t, "keys", "--data", data)
	for i, want := range []string{"  4294967295 slot 9a firmware 5.7.4 pin once touch cached\n", "  -\n"} {
		for line := range strings.Lines(table) {
			if strings.Contains(line, listed[i].Public.ID().String()) && !strings.HasSuffix(line, want) {
				t.Errorf("the table says %q, want %q", line, want)
			}
		}
	}
	if strings.Count(table, "\n") != 3 || !strings.Contains(table, "HARDWARE\n") {
		t.Errorf("the table is\n%s", table)
	}
	out, _, exit := run(t, "keys", "team", "--data", data, "--json")
	var reports []keyReport
	if err := json.Unmarshal([]byte(out), &reports, json.RejectUnknownMembers(true)); err != nil || exit != 0 || len(reports) != 2 {
		t.Fatalf("%d %s (%v)", exit, out, err)
	}
	for _, r := range reports {
		first := r.Key == listed[0].Public.ID().String()
		if (r.Hardware != nil) != first || first && *r.Hardware != hardwareReport(*listed[0].Hardware) {
			t.Errorf("reported is %+v %+v", r, r.Hardware)
		}
	}
}
