// What Verify takes, and above all what it refuses.

package attestation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVerify(t *testing.T) {
	m := newMaker(t)
	public, err := PublicKey(m.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	want := Facts{
		Public: public, Serial: 12345678, Firmware: Version{5, 7, 4}, Slot: 0x9a,
		PIN: PINOnce, Touch: TouchCached, FormFactor: 3,
	}
	chain := m.attest(t, statement())
	anchors := map[string][]*x509.Certificate{
		"root":                   m.roots(),
		"root among Yubico's":    append(Roots(), m.root.Certificate),
		"root and intermediate":  {m.root.Certificate, m.intermediate.Certificate},
		"intermediate as anchor": {m.intermediate.Certificate},
		"token as anchor":        {m.token.Certificate},
	}
	for name, roots := range anchors {
		if got, err := Verify(chain, roots, today); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	whole := append(slices.Clone(chain), m.root.Raw)
	if got, err := Verify(whole, m.roots(), today); err != nil || got != want {
		t.Errorf("with the root sent along: %+v, %v", got, err)
	}
	if got, err := Read(chain[0]); err != nil || got != want {
		t.Errorf("read: %+v, %v", got, err)
	}
}

func TestVerifyRefusesChains(t *testing.T) {
	m, other := newMaker(t), newMaker(t)
	chain := m.attest(t, statement())
	leaf, token, intermediate := chain[0], chain[1], chain[2]
	extra := issue(t, authorityTemplate("Another"), m.root)
	for name, c := range map[string]struct {
		chain [][]byte
		roots []*x509.Certificate
		now   time.Time
	}{
		"Yubico's roots alone":         {chain, nil, today},
		"another maker's root":         {chain, other.roots(), today},
		"no intermediate":              {chain[:2], m.roots(), today},
		"statement alone":              {chain[:1], m.roots(), today},
		"swapped intermediates":        {[][]byte{leaf, intermediate, token}, m.roots(), today},
		"one that is not needed":       {append(slices.Clone(chain), extra.Raw), m.roots(), today},
		"one twice":                    {[][]byte{leaf, token, token, intermediate}, m.roots(), today},
		"another token's intermediate": {[][]byte{leaf, other.token.Raw, other.intermediate.Raw}, append(m.roots(), other.root.Certificate), today},
		"too early":                    {chain, m.roots(), before.AddDate(0, 0, -1)},
		"too late":                     {chain, m.roots(), after.AddDate(0, 0, 1)},
	} {
		if facts, err := Verify(c.chain, c.roots, c.now); !errors.Is(err, ErrUntrusted) || facts != (Facts{}) {
			t.Errorf("%s: %+v, %v", name, facts, err)
		}
	}
	for name, chain := range map[string][][]byte{
		"empty":                {},
		"no statement":         {token, intermediate},
		"statement last":       {token, leaf},
		"empty certificate":    {leaf, nil, intermediate},
		"text behind":          {append(slices.Clone(leaf), 0), token, intermediate},
		"too large":            {leaf, slices.Grow(token, MaxCertificateSize)[:MaxCertificateSize+1], intermediate},
		"too many":             slices.Repeat([][]byte{leaf}, MaxCertificates+1),
		"a certificate in PEM": {[]byte("-----BEGIN CERTIFICATE-----"), token, intermediate},
	} {
		if facts, err := Verify(chain, m.roots(), today); err == nil || facts != (Facts{}) {
			t.Errorf("%s: %+v, %v", name, facts, err)
		}
	}
	if _, err := Verify(chain, m.roots(), time.Time{}); err == nil {
		t.Error("verified at no time at all")
	}
}

func TestVerifyRefusesEveryChangedByte(t *testing.T) {
	m := newMaker(t)
	chain := m.attest(t, statement())
	for i := range chain {
		for at := range chain[i] {
			mangled := slices.Clone(chain)
			mangled[i] = slices.Clone(chain[i])
			mangled[i][at] ^= 1 << (at % 8)
			if facts, err := Verify(mangled, m.roots(), today); err == nil {
				t.Fatalf("certificate %d, byte %d changed: %+v", i, at, facts)
			}
		}
	}
}

func TestVerifyRefusesStatements(t *testing.T) {
	m := newMaker(t)
	set := func(number int, value ...byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			for i := range c.ExtraExtensions {
				if id := c.ExtraExtensions[i].Id; id[len(id)-1] == number {
					c.ExtraExtensions[i].Value = value
				}
			}
		}
	}
	without := func(number int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = slices.DeleteFunc(c.ExtraExtensions, func(e pkix.Extension) bool { return e.Id[len(e.Id)-1] == number })
		}
	}
	subject := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject = named(name) }
	}
	for name, change := range map[string]func(*x509.Certificate){
		"no firmware":         without(extensionFirmware),
		"short firmware":      set(extensionFirmware, 5, 7),
		"long firmware":       set(extensionFirmware, 4, 3, 5, 7, 4),
		"serial of 33 bits":   set(extensionSerial, 2, 5, 1, 0, 0, 0, 0),
		"negative serial":     set(extensionSerial, 2, 1, 0x80),
		"serial not shortest": set(extensionSerial, 2, 2, 0, 1),
		"serial zero":         set(extensionSerial, 2, 1, 0),
		"serial with more":    set(extensionSerial, 2, 1, 1, 0),
		"empty serial":        set(extensionSerial),
		"no policies":         without(extensionPolicies),
		"one policy":          set(extensionPolicies, 2),
		"PIN policy 0":        set(extensionPolicies, 0, 2),
		"PIN policy 6":        set(extensionPolicies, 6, 2),
		"touch policy 0":      set(extensionPolicies, 2, 0),
		"touch policy 4":      set(extensionPolicies, 2, 4),
		"empty form factor":   set(extensionFormFactor),
		"long form factor":    set(extensionFormFactor, 1, 1),
		"slot 9b":             subject(subjectPrefix + "9b"),
		"slot f9":             subject(subjectPrefix + "f9"),
		"slot in capitals":    subject(subjectPrefix + "9A"),
		"no slot":             subject(strings.TrimSpace(subjectPrefix)),
		"an OpenPGP key":      subject("YubiKey OPGP Attestation SIG"),
		"critical unknown": func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		},
		"firmware as an authority": func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true },
	} {
		template := statement()
		change(&template)
		if facts, err := Verify(m.attest(t, template), m.roots(), today); err == nil {
			t.Errorf("%s: %+v", name, facts)
		}
	}
}

func TestVerifyTakesWhatOldTokensLeaveOut(t *testing.T) {
	m := newMaker(t)
	template := statement()
	template.ExtraExtensions = []pkix.Extension{extension(extensionFirmware, 4, 3, 7), extension(extensionPolicies, 1, 1)}
	facts, err := Verify(m.attest(t, template), m.roots(), today)
	if err != nil || facts.Serial != 0 || facts.FormFactor != 0 || facts.Firmware != (Version{4, 3, 7}) {
		t.Errorf("%+v, %v", facts, err)
	}
}

func TestVerifyRefusesOtherAlgorithms(t *testing.T) {
	m := newMaker(t)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{p256, rsa2048} {
		chain := m.chain(certify(t, statement(), key.Public(), m.token, nil))
		if facts, err := Verify(chain, m.roots(), today); err == nil || errors.Is(err, ErrUntrusted) {
			t.Errorf("%T: %+v, %v", key, facts, err)
		}
	}
}

// Whoever has a token can sign whatever is wanted with a key in it, also a certificate that looks
// like a statement. It must not count, whatever the real statement below it leaves out.
func TestVerifyRefusesStatementsByKeysOnTokens(t *testing.T) {
	m := newMaker(t)
	slotKey := newKey(t)
	real := certify(t, statement(), slotKey.Public(), m.token, nil)
	forged := certify(t, statement(), m.key.Public(), authority{real, slotKey}, nil)
	chain := [][]byte{forged.Raw, real.Raw, m.token.Raw, m.intermediate.Raw}
	for _, roots := range [][]*x509.Certificate{m.roots(), {m.token.Certificate}} {
		if facts, err := Verify(chain, roots, today); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%+v, %v", facts, err)
		}
	}
}

func TestOldTokensThatAreNoAuthority(t *testing.T) {
	m := newMaker(t)
	old := issue(t, x509.Certificate{Subject: named("Yubico PIV Attestation")}, m.root)
	leaf := certify(t, statement(), m.key.Public(), old, nil)
	if _, err := Verify([][]byte{leaf.Raw, old.Raw}, m.roots(), today); err != nil {
		t.Errorf("right below the root: %v", err)
	}
	for name, above := range map[string]struct {
		template x509.Certificate
		issuer   authority
	}{
		"below an intermediate": {x509.Certificate{Subject: named("Yubico PIV Attestation")}, m.intermediate},
		"under another name":    {x509.Certificate{Subject: named("Yubico U2F EE Serial 1")}, m.root},
		"that says it is none":  {x509.Certificate{Subject: named("Yubico PIV Attestation"), BasicConstraintsValid: true}, m.root},
	} {
		token := issue(t, above.template, above.issuer)
		chain := [][]byte{certify(t, statement(), m.key.Public(), token, nil).Raw, token.Raw, m.intermediate.Raw}
		for n := 2; n <= 3; n++ {
			if facts, err := Verify(chain[:n], m.roots(), today); !errors.Is(err, ErrUntrusted) {
				t.Errorf("%s: %+v, %v", name, facts, err)
			}
		}
	}
}

// Real tokens: their keys are of a curve that is no use here, so the path is tested alone.
func TestPathsOfRealTokens(t *testing.T) {
	for _, name := range []string{"yubikey-4.3.7.pem", "yubikey-5.4.3.pem"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := ParseRoots(text)
		if err != nil || len(chain) != 2 {
			t.Fatalf("%s: %d certificates, %v", name, len(chain), err)
		}
		if err := checkPath(chain, Roots(), today); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		facts, err := Read(chain[0].Raw)
		if err == nil || !strings.Contains(err.Error(), "P-256") {
			t.Errorf("%s: %+v, %v", name, facts, err)
		}
		values, err := extensions(chain[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := facts.read(values); err != nil || facts.Firmware.String() != strings.TrimSuffix(strings.TrimPrefix(name, "yubikey-"), ".pem") {
			t.Errorf("%s: %+v, %v", name, facts, err)
		}
	}
}
