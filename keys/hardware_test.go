// Records of hardware keys: pinned bytes, what is refused, and what a store does with them.

package keys_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// hardwarePublic is the key of RFC 8032, section 7.1, test 1.
const hardwarePublic = "k4.public.11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

// hardwareFile is the one form of hardwareRecord on disk.
const hardwareFile = `# The public facts of a key of regkey in a hardware token. This is its only file: "regkey init --hardware --adopt" makes it again from the token.
public = '` + hardwarePublic + `'
created = 2026-11-22T08:12:00Z
protection = 'hardware'

[token]
serial = 4294967295
slot = '9a'
firmware = '5.7.4'
pin = 'once'
touch = 'cached'
attestation = [
  'MAMCAQE=',
  'MAMCAQL/'
]
`

func hardwareRecord(t testing.TB) keys.Record {
	t.Helper()
	public, err := keys.ParsePublicKey(hardwarePublic)
	if err != nil {
		t.Fatal(err)
	}
	return keys.Record{
		Name: "yk", Public: public, Created: created, Protection: keys.Hardware,
		Token: &keys.Token{
			Serial: 4294967295, Slot: "9a", Firmware: "5.7.4", PIN: "once", Touch: "cached",
			Attestation: [][]byte{{0x30, 3, 2, 1, 1}, {0x30, 3, 2, 1, 2, 0xff}},
		},
	}
}

func TestHardwareKeyInStore(t *testing.T) {
	s, dir := newStore(t)
	given := hardwareRecord(t)
	given.Token.Attestation[1] = []byte{0x30, 3, 2, 1, 2, 0xff}
	record, err := s.CreateHardware(given)
	if err != nil {
		t.Fatal(err)
	}
	want := hardwareRecord(t)
	want.Created = time.Date(2026, 11, 22, 8, 12, 0, 0, time.UTC)
	given.Token.Attestation[1][0] = 0 // the caller's own again
	if !record.Equal(want) {
		t.Errorf("CreateHardware = %+v, want %+v", record, want)
	}
	if files := snapshot(t, dir); len(files) != 2 || files[filepath.Join(dir, "yk.toml")] != hardwareFile {
		t.Errorf("files are %q", files)
	}
	if info, err := os.Stat(filepath.Join(dir, "yk.toml")); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	mustCreate(t, s, "soft", generate(t, keys.Ed25519), "")
	if got, err := s.Lookup("yk"); err != nil || !got.Equal(want) {
		t.Errorf("Lookup = %+v, %v", got, err)
	}
	if got, err := s.Find(want.Public.ID()); err != nil || !got.Equal(want) {
		t.Errorf("Find = %+v, %v", got, err)
	}
	if got, err := s.List(); err != nil || len(got) != 2 || got[0].Name != "soft" || !got[1].Equal(want) {
		t.Errorf("List = %+v, %v", got, err)
	}
	if key, err := s.Unlock(context.Background(), "yk", ask("p")); key != nil || !errors.Is(err, keys.ErrHardware) || err.Error() != `unlocking key "yk": the key is in a hardware token` {
		t.Errorf("Unlock: %v", err)
	}
	if err := s.Remove(t.Context(), "yk"); err != nil {
		t.Error(err)
	}
	if _, err := s.Lookup("yk"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lookup after Remove: %v", err)
	}
}

// Neither a hardware key nor a software key takes the place of another.
func TestHardwareKeyNeverOverwrites(t *testing.T) {
	for _, ext := range []string{".toml", ".key", ".age"} {
		s, dir := newStore(t)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "yk"+ext), "precious", 0o600)
		before := snapshot(t, dir)
		if _, err := s.CreateHardware(hardwareRecord(t)); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s in the way: %v", ext, err)
		}
		if after := snapshot(t, dir); !maps.Equal(before, after) {
			t.Errorf("%v became %v", before, after)
		}
	}
	s, dir := newStore(t)
	if _, err := s.CreateHardware(hardwareRecord(t)); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	_, again := s.CreateHardware(hardwareRecord(t))
	_, soft := create(s, "yk", generate(t, keys.Ed25519), "")
	if !errors.Is(again, fs.ErrExist) || !errors.Is(soft, fs.ErrExist) || !maps.Equal(before, snapshot(t, dir)) {
		t.Errorf("a second key of the name: %v, %v", again, soft)
	}
}

func TestImpossibleTokens(t *testing.T) {
	for name, change := range map[string]func(*keys.Record){
		"no token":              func(r *keys.Record) { r.Token = nil },
		"no public key":         func(r *keys.Record) { r.Public = keys.PublicKey{} },
		"no time":               func(r *keys.Record) { r.Created = time.Time{} },
		"a bad name":            func(r *keys.Record) { r.Name = "Yk" },
		"no slot":               func(r *keys.Record) { r.Token.Slot = "" },
		"the attestation slot":  func(r *keys.Record) { r.Token.Slot = "f9" },
		"a slot in capitals":    func(r *keys.Record) { r.Token.Slot = "9A" },
		"slot 81":               func(r *keys.Record) { r.Token.Slot = "81" },
		"slot 96":               func(r *keys.Record) { r.Token.Slot = "96" },
		"firmware of two parts": func(r *keys.Record) { r.Token.Firmware = "5.7" },
		"firmware 05.7.4":       func(r *keys.Record) { r.Token.Firmware = "05.7.4" },
		"firmware 5.7.256":      func(r *keys.Record) { r.Token.Firmware = "5.7.256" },
		"firmware 5.7.-4":       func(r *keys.Record) { r.Token.Firmware = "5.7.-4" },
		"pin cached":            func(r *keys.Record) { r.Token.PIN = "cached" },
		"touch once":            func(r *keys.Record) { r.Token.Touch = "once" },
		"an empty certificate":  func(r *keys.Record) { r.Token.Attestation[1] = nil },
		"a long certificate":    func(r *keys.Record) { r.Token.Attestation[1] = make([]byte, keys.MaxCertificateSize+1) },
		"many certificates": func(r *keys.Record) {
			r.Token.Attestation = make([][]byte, keys.MaxCertificates+1)
			for i := range r.Token.Attestation {
				r.Token.Attestation[i] = []byte{0x30}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newStore(t)
			r := hardwareRecord(t)
			change(&r)
			if _, err := s.CreateHardware(r); err == nil || errors.Is(err, fs.ErrExist) {
				t.Errorf("%+v is stored: %v", r, err)
			}
			if files := snapshot(t, dir); len(files) > 1 {
				t.Errorf("made: %v", files)
			}
		})
	}
}

// The largest record is read again, and an older token or another maker's may tell less.
func TestPossibleTokens(t *testing.T) {
	large, small := hardwareRecord(t), hardwareRecord(t)
	large.Token.Attestation = nil
	for range keys.MaxCertificates {
		large.Token.Attestation = append(large.Token.Attestation, bytes.Repeat([]byte{0xa5}, keys.MaxCertificateSize))
	}
	small.Token = &keys.Token{Slot: "95"}
	for _, r := range []keys.Record{large, small} {
		s, _ := newStore(t)
		want, err := s.CreateHardware(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Lookup("yk"); err != nil || !got.Equal(want) {
			t.Errorf("Lookup = %+v, %v", got, err)
		}
	}
}

// Each change of the pinned file is refused: a record that is not what it was says nothing of a key.
func TestBadHardwareRecords(t *testing.T) {
	if _, err := keys.ParseRecord("yk", []byte(hardwareFile)); err != nil {
		t.Fatal(err)
	}
	for old, bad := range map[string]string{
		"protection = 'hardware'": "protection = 'none'",
		"\n[token]":               "\n[tokens]",
		"serial = 4294967295":     "serial = 4294967296",
		"slot = '9a'":             "slot = '9a '",
		"firmware = '5.7.4'":      "firmware = 5.7",
		"pin = 'once'":            "pin = 'Once'",
		"touch = 'cached'":        "touch = 'cached'\nretries = 3",
		"'MAMCAQE='":              "'MAMCAQE'",
		"'MAMCAQL/'":              "'MAMCAQL_'",
		"MAMCAQE=":                "MAMCAQF=",
		"'MAMCAQE=',":             "\"MAMC\\nAQE=\",",
		"\n  'MAMCAQE='":          "\n  ''",
	} {
		text := strings.Replace(hardwareFile, old, bad, 1)
		if text == hardwareFile {
			t.Fatalf("%q is not in the file", old)
		}
		if _, err := keys.ParseRecord("yk", []byte(text)); err == nil {
			t.Errorf("with %q instead of %q it is read", bad, old)
		} else if strings.Contains(err.Error(), "MAMC") {
			t.Errorf("the error repeats the file: %v", err)
		}
	}
	soft := "public = '" + hardwarePublic + "'\ncreated = 2026-11-22T08:12:00Z\nprotection = 'hardware'\n"
	if _, err := keys.ParseRecord("yk", []byte(soft)); err == nil {
		t.Error("a hardware key without a token is read")
	}
	if base64.StdEncoding.EncodeToString([]byte{0x30, 3, 2, 1, 1}) != "MAMCAQE=" {
		t.Error("the vector does not agree with itself")
	}
}

func TestWantsReader(t *testing.T) {
	hardware := func(pin, touch string) keys.Record {
		return keys.Record{Protection: keys.Hardware, Token: &keys.Token{PIN: pin, Touch: touch}}
	}
	for want, records := range map[bool][]keys.Record{
		true:  {hardware("once", "cached"), hardware("always", "never"), hardware("never", "always"), hardware("once", "never"), hardware("", "never"), hardware("never", "")},
		false: {hardware("never", "never"), {Protection: keys.Unprotected}, {Protection: keys.Passphrase}},
	} {
		for _, r := range records {
			if r.WantsReader() != want {
				t.Errorf("%+v %+v: %v", r, r.Token, !want)
			}
		}
	}
}

func TestRecordEqual(t *testing.T) {
	a, b := hardwareRecord(t), hardwareRecord(t)
	if !a.Equal(b) || !b.Equal(a) {
		t.Error("a record is not like itself")
	}
	for name, change := range map[string]func(*keys.Token){
		"serial": func(t *keys.Token) { t.Serial-- }, "slot": func(t *keys.Token) { t.Slot = "9c" }, "firmware": func(t *keys.Token) { t.Firmware = "" },
		"pin": func(t *keys.Token) { t.PIN = "always" }, "touch": func(t *keys.Token) { t.Touch = "always" },
		"attestation": func(t *keys.Token) { t.Attestation[1][5] = 0 }, "chain": func(t *keys.Token) { t.Attestation = t.Attestation[:1] },
	} {
		other := hardwareRecord(t)
		change(other.Token)
		if a.Equal(other) || other.Equal(a) {
			t.Errorf("another %s makes no difference", name)
		}
	}
	other := hardwareRecord(t)
	other.Token = nil
	if a.Equal(other) || other.Equal(a) {
		t.Error("no token makes no difference")
	}
}
