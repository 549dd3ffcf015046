// Authorities for tests, which certify whatever a case needs.

package attestation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"
)

var (
	today  = time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC)
	before = today.AddDate(-10, 0, 0)
	after  = today.AddDate(10, 0, 0)
)

// authority is a certificate with its key.
type authority struct {
	*x509.Certificate
	key crypto.Signer
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue has above certify template, or has template certify itself.
func issue(t testing.TB, template x509.Certificate, above authority) authority {
	t.Helper()
	key := newKey(t)
	return authority{certify(t, template, key.Public(), above, key), key}
}

func certify(t testing.TB, template x509.Certificate, public crypto.PublicKey, above authority, self crypto.Signer) *x509.Certificate {
	t.Helper()
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(7)
	}
	if template.NotBefore.IsZero() {
		template.NotBefore, template.NotAfter = before, after
	}
	issuer, signer := above.Certificate, above.key
	if issuer == nil {
		issuer, signer = &template, self
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, issuer, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func named(name string) pkix.Name { return pkix.Name{CommonName: name} }

func authorityTemplate(name string) x509.Certificate {
	return x509.Certificate{Subject: named(name), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
}

// maker is a whole maker of tokens: root, intermediate, and a token with a key.
type maker struct {
	root, intermediate, token authority
	key                       ed25519.PrivateKey
}

func newMaker(t testing.TB) maker {
	t.Helper()
	var m maker
	m.root = issue(t, authorityTemplate("Test Root"), authority{})
	m.intermediate = issue(t, authorityTemplate("Test Intermediate"), m.root)
	m.token = issue(t, authorityTemplate("Test PIV Attestation"), m.intermediate)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m.key = key
	return m
}

func extension(number int, value ...byte) pkix.Extension {
	return pkix.Extension{Id: append(append(asn1.ObjectIdentifier{}, yubicoPIV...), number), Value: value}
}

// statement is a good one: 5.7.4, serial 12345678, PIN once, touch cached, USB-C.
func statement() x509.Certificate {
	return x509.Certificate{Subject: named(subjectPrefix + "9a"), ExtraExtensions: []pkix.Extension{
		extension(extensionFirmware, 5, 7, 4),
		extension(extensionSerial, 2, 4, 0x00, 0xbc, 0x61, 0x4e),
		extension(extensionPolicies, 2, 3),
		extension(extensionFormFactor, 3),
	}}
}

// attest has the token sign a statement.
func (m maker) attest(t testing.TB, template x509.Certificate) [][]byte {
	t.Helper()
	return m.chain(certify(t, template, m.key.Public(), m.token, nil))
}

func (m maker) chain(leaf *x509.Certificate) [][]byte {
	return [][]byte{leaf.Raw, m.token.Raw, m.intermediate.Raw}
}

func (m maker) roots() []*x509.Certificate { return []*x509.Certificate{m.root.Certificate} }
