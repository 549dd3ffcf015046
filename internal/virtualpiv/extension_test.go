// Tests of the management key, data objects, metadata, attestation, and the other applets.

package virtualpiv

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"testing"
)

func TestManagementKey(t *testing.T) {
	for _, c := range []struct {
		name      string
		firmware  [3]byte
		algorithm byte
		size      int
		status    uint16
	}{
		{"3DES on 4.3.5", v435, algorithm3DES, 24, statusOK},
		{"AES-192 on 5.2.7", v527, algorithmAES192, 24, statusBadData},
		{"AES-128 on 5.4.3", v543, algorithmAES128, 16, statusOK},
		{"AES-192 on 5.4.3", v543, algorithmAES192, 24, statusOK},
		{"AES-256 on 5.7.4", v574, algorithmAES256, 32, statusOK},
		{"3DES on 5.7.4", v574, algorithm3DES, 24, statusOK},
		{"a wrong length", v574, algorithmAES256, 24, statusBadData},
		{"an unknown algorithm without a key", v574, 0x30, 0, statusBadData},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := take(t, c.firmware)
			key := bytes.Repeat([]byte{0x5a, 0xa5, 1, 2}, c.size/4)
			order := append([]byte{c.algorithm, slotManagement, byte(c.size)}, key...)
			u.want(statusSecurity, insSetManagement, 0xff, 0xff, order)
			u.admin()
			u.want(c.status, insSetManagement, 0xff, 0xff, order)
			if c.status != statusOK {
				return
			}
			if !u.manage(c.algorithm, key) || !u.card.Managed() {
				t.Error("the new key is refused")
			}
			key[0] ^= 0x10
			if u.manage(c.algorithm, key) || u.card.Managed() {
				t.Error("a wrong key is taken")
			}
		})
	}
}

func TestManagementKeyOneSided(t *testing.T) {
	u := take(t, v543)
	answer := u.want(statusOK, insAuthenticate, 0, slotManagement, []byte{0x7c, 2, 0x81, 0})
	run, _ := within(answer, tagTemplate)
	challenge, _ := find(run, tagChallenge)
	response := encrypt(cipherOf(t, algorithm3DES, defaultManagementKey), challenge)
	u.want(statusOK, insAuthenticate, 0, slotManagement, template(tagResponse, response))
	if !u.card.Managed() {
		t.Error("not authenticated")
	}
	u.want(statusBadData, insAuthenticate, 0, slotManagement, template(tagResponse, response))
	u.want(statusBadData, insAuthenticate, algorithmAES192, slotManagement, []byte{0x7c, 2, 0x81, 0})
}

func TestManagementKeyWithTouch(t *testing.T) {
	u := take(t, v574)
	u.admin()
	order := append([]byte{algorithmAES192, slotManagement, 24}, defaultManagementKey...)
	u.want(statusOK, insSetManagement, 0xff, 0xfe, order)
	u.card.Reset()
	u.selectPIV()
	u.finger = false
	if u.manage(algorithmAES192, defaultManagementKey) {
		t.Error("authenticated without a finger")
	}
	u.finger = true
	if !u.manage(algorithmAES192, defaultManagementKey) || u.asked != 2 {
		t.Errorf("asked %d times", u.asked)
	}
}

func TestObjects(t *testing.T) {
	u := take(t, v543)
	printed := []byte{0x5c, 3, 0x5f, 0xc1, 0x09}
	value := appendTLV(bytes.Clone(printed), 0x53, []byte{0x88, 0})
	u.want(statusSecurity, insPutData, 0x3f, 0xff, value)
	u.admin()
	u.want(statusOK, insPutData, 0x3f, 0xff, value)
	u.want(statusSecurity, insGetData, 0x3f, 0xff, printed)
	u.login(statusOK, "123456")
	if answer := u.want(statusOK, insGetData, 0x3f, 0xff, printed); !bytes.Equal(answer, []byte{0x53, 2, 0x88, 0}) {
		t.Errorf("read %x", answer)
	}
	u.want(statusOK, insPutData, 0x3f, 0xff, appendTLV(bytes.Clone(printed), 0x53, nil))
	u.want(statusNotFound, insGetData, 0x3f, 0xff, printed)
	u.want(statusNoSpace, insPutData, 0x3f, 0xff, appendTLV(bytes.Clone(printed), 0x53, make([]byte, maxObject+1)))
	u.want(statusBadData, insGetData, 0x3f, 0xff, []byte{0x5c, 9, 1})
	if answer := u.want(statusOK, insGetData, 0x3f, 0xff, []byte{0x5c, 1, 0x7e}); !bytes.Equal(answer, discovery) {
		t.Errorf("discovery object %x", answer)
	}
}

func TestMetadata(t *testing.T) {
	u := take(t, v574)
	u.want(statusNoReference, insMetadata, 0, 0x9a, nil)
	u.login(0x63c2, "000000")
	for _, c := range []struct {
		reference byte
		want      []byte
	}{
		{referencePIN, []byte{1, 1, 0xff, 5, 1, 1, 6, 2, 3, 2}},
		{referencePUK, []byte{1, 1, 0xff, 5, 1, 1, 6, 2, 3, 3}},
		{slotManagement, []byte{1, 1, algorithmAES192, 2, 2, 0, 1, 5, 1, 1}},
	} {
		if got := u.want(statusOK, insMetadata, 0, c.reference, nil); !bytes.Equal(got, c.want) {
			t.Errorf("metadata of %02x: %x, want %x", c.reference, got, c.want)
		}
	}
	point := u.generate(0x9a, AlgorithmP384, PINAlways, TouchCached)
	want := append([]byte{1, 1, AlgorithmP384, 2, 2, 3, 3, 3, 1, 1, 4, 99, 0x86, 97}, point...)
	if got := u.want(statusOK, insMetadata, 0, 0x9a, nil); !bytes.Equal(got, want) {
		t.Errorf("metadata of 9a: %x, want %x", got, want)
	}
	take(t, v527).want(statusUnknown, insMetadata, 0, 0x9a, nil)
}

func TestAttestation(t *testing.T) {
	for _, firmware := range [][3]byte{v435, v527, v543, v574} {
		u := take(t, firmware)
		u.want(statusBadData, insAttest, 0x9a, 0, nil)
		point := u.generate(0x9a, AlgorithmP384, PINOnce, TouchCached)
		statement, err := x509.ParseCertificate(u.want(statusOK, insAttest, 0x9a, 0, nil))
		if err != nil {
			t.Fatal(err)
		}
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(Root())
		between.AddCert(u.card.AttestationCertificate())
		if firmware == v574 {
			if _, err := statement.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err == nil {
				t.Error("5.7.4 needs the intermediate")
			}
			between.AddCert(Intermediate())
		}
		chains, err := statement.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil || len(chains) != 1 {
			t.Fatalf("%v: %v", firmware, err)
		}
		if !bytes.HasSuffix(statement.RawSubjectPublicKeyInfo, point) {
			t.Error("the statement is about another key")
		}
		serial, _ := asn1.Marshal(12345678)
		for _, e := range []struct {
			id   asn1.ObjectIdentifier
			want []byte
		}{
			{extensionFirmware, firmware[:]}, {extensionSerial, serial},
			{extensionPolicies, []byte{2, 3}}, {extensionFormFactor, []byte{1}},
		} {
			if got := extension(statement, e.id); !bytes.Equal(got, e.want) {
				t.Errorf("extension %v is %x, want %x", e.id, got, e.want)
			}
		}
	}
}

// extension returns the value of an extension.
func extension(c *x509.Certificate, id asn1.ObjectIdentifier) []byte {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return e.Value
		}
	}
	return nil
}

func TestAttestationKeyIsTheCards(t *testing.T) {
	same := New(Options{Serial: 5}).AttestationCertificate()
	if !same.Equal(New(Options{Serial: 5}).AttestationCertificate()) {
		t.Error("two cards with one serial number differ")
	}
	if same.Equal(New(Options{Serial: 6}).AttestationCertificate()) {
		t.Error("two serial numbers have one certificate")
	}
	u := take(t, v574)
	object := u.want(statusOK, insGetData, 0x3f, 0xff, []byte{0x5c, 3, 0x5f, 0xff, 0x01})
	run, _ := within(object, 0x53)
	if der, _ := find(run, 0x70); !bytes.Equal(der, u.card.AttestationCertificate().Raw) {
		t.Error("the object holds another certificate")
	}
}

func TestOtherApplets(t *testing.T) {
	u := take(t, v435)
	u.want(statusUnknown, insSerial, 0, 0, nil)
	u.want(statusOK, insSelect, 4, 0, applets[appletOTP])
	if got := u.want(statusOK, 0x01, 0x10, 0, nil); !bytes.Equal(got, []byte{0, 0xbc, 0x61, 0x4e}) {
		t.Errorf("serial number %x", got)
	}
	u.want(statusUnknown, insVersion, 0, 0, nil)
	if got := u.want(statusOK, insSelect, 4, 0, applets[appletManagement]); !bytes.HasSuffix(got, []byte("4.3.5")) {
		t.Errorf("management applet says %q", got)
	}
	info := u.want(statusOK, 0x1d, 0, 0, nil)
	run, ok := parseTLV(info[1:])
	if serial, _ := find(run, 2); !ok || int(info[0]) != len(info)-1 || !bytes.Equal(serial, []byte{0, 0xbc, 0x61, 0x4e}) {
		t.Errorf("device information %x", info)
	}
	u.card.Reset()
	u.want(statusUnknown, insVersion, 0, 0, nil)
	u.want(statusBadParameters, insSelect, 0, 0, nil)
}
