//go:build cgo && linux

// Another tool at the token: what it leaves there, and what its keys are.

package hardware

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/go-piv/piv-go/v2/piv"
)

// tool runs f with the token open, as another program would.
func tool(t testing.TB, reader string, f func(yk *piv.YubiKey) error) {
	t.Helper()
	yk, err := piv.Open(reader)
	if err != nil {
		t.Fatalf("opening as another tool: %v", err)
	}
	defer yk.Close()
	if err := f(yk); err != nil {
		t.Fatalf("as another tool: %v", err)
	}
}

// makeKey makes a key as another tool.
func makeKey(t testing.TB, reader string, slot piv.Slot, key piv.Key) (public crypto.PublicKey) {
	t.Helper()
	tool(t, reader, func(yk *piv.YubiKey) (err error) {
		public, err = yk.GenerateKey(piv.DefaultManagementKey, slot, key)
		return err
	})
	return public
}

// importKey puts a P-384 key into a slot, and a certificate beside it where withCertificate says so.
func importKey(t testing.TB, reader string, slot piv.Slot, withCertificate bool) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "somebody"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	tool(t, reader, func(yk *piv.YubiKey) error {
		policies := piv.Key{PINPolicy: piv.PINPolicyOnce, TouchPolicy: piv.TouchPolicyNever}
		if err := yk.SetPrivateKeyInsecure(piv.DefaultManagementKey, slot, key, policies); err != nil || !withCertificate {
			return err
		}
		return yk.SetCertificate(piv.DefaultManagementKey, slot, certificate)
	})
	return key
}
