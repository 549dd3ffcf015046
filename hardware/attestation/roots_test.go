// The roots that are built in, and reading others.

package attestation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
)

func TestBuiltinCertificates(t *testing.T) {
	// SHA-256 of the certificates, by subject.
	want := map[string]string{
		"Yubico U2F Root CA Serial 457200631": "0fa1386f80eb8713263ae5c1d84deb455bdf08aea50ab05503cefee82b092d42",
		"Yubico PIV Root CA Serial 263751":    "63ece914e54dd87915f34033c85af4c0696ba1512f8add66ced738331207b546",
		"Yubico Attestation Root 1":           "62760c6a6ef91679",
		"Yubico Attestation Intermediate A 1": "4698a1d3389c3ec6",
		"Yubico Attestation Intermediate B 1": "d4cc3f456fdaf4e7",
		"Yubico PIV Attestation A 1":          "6de693f05376f5d8",
		"Yubico PIV Attestation B 1":          "2d55b7998f4e4256",
	}
	all := slices.Concat(Roots(), builtinIntermediates())
	if len(all) != len(want) {
		t.Errorf("%d certificates", len(all))
	}
	for _, c := range all {
		sum := sha256.Sum256(c.Raw)
		if prefix := want[c.Subject.CommonName]; prefix == "" || !strings.HasPrefix(hex.EncodeToString(sum[:]), prefix) {
			t.Errorf("%s: %x", c.Subject.CommonName, sum)
		}
	}
	for _, c := range Roots() {
		if err := c.CheckSignatureFrom(c); err != nil {
			t.Errorf("%s: %v", c.Subject.CommonName, err)
		}
	}
}

func TestRootsAreTheCallersSlice(t *testing.T) {
	clear(Roots())
	if Roots()[0] == nil {
		t.Error("a caller changed the roots of all")
	}
}

func TestComplete(t *testing.T) {
	pivA := builtinIntermediates()[2]
	chain := Complete([][]byte{pivA.Raw})
	if len(chain) != 2 || string(chain[1]) != string(builtinIntermediates()[0].Raw) {
		t.Errorf("%d certificates", len(chain))
	}
	m := newMaker(t)
	own := m.attest(t, statement())
	for _, chain := range [][][]byte{own, nil, {{1, 2, 3}}} {
		if got := Complete(chain); len(got) != len(chain) {
			t.Errorf("%d certificates became %d", len(chain), len(got))
		}
	}
}

func TestParseRoots(t *testing.T) {
	m := newMaker(t)
	root := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.root.Raw}))
	other := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.intermediate.Raw}))
	roots, err := ParseRoots([]byte("Root:\n" + root + "\nand\n" + other))
	if err != nil || len(roots) != 2 || !roots[0].Equal(m.root.Certificate) || !roots[1].Equal(m.intermediate.Certificate) {
		t.Errorf("%d roots, %v", len(roots), err)
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}))
	broken := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.root.Raw[1:]}))
	for name, text := range map[string]string{
		"empty":          "",
		"no PEM":         "a root",
		"a key":          root + key,
		"broken DER":     root + broken,
		"broken PEM":     root + strings.Replace(other, "\n", "\n*", 1),
		"cut":            root + other[:len(other)/2],
		"too large":      root + strings.Repeat(" ", maxRootsSize),
		"marks run over": root + "-----BEGIN CERTIFICATE-----\n" + other,
	} {
		if roots, err := ParseRoots([]byte(text)); err == nil {
			t.Errorf("%s: %d roots", name, len(roots))
		}
	}
}
