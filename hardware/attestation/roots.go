// Trust: Yubico's roots and intermediates, which are built in, and those that an operator adds.

package attestation

import (
	"bytes"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Yubico publishes them at https://developers.yubico.com/PKI/; the files say which was taken
// from where. The intermediates stand between the newest root and tokens with firmware 5.7.4 or later, and are not on the tokens.
var (
	//go:embed yubico/roots.pem
	rootsPEM []byte
	//go:embed yubico/intermediates.pem
	intermediatesPEM []byte
)

// u2fRoot is the subject of the root that certified some tokens of 2017 and 2018. It forbids
// intermediates, though every attestation has one: the token's own.
const u2fRoot = "Yubico U2F Root CA Serial 457200631"

var builtinRoots = sync.OnceValue(func() []*x509.Certificate {
	roots := mustParse(rootsPEM)
	for _, root := range roots {
		if root.Subject.CommonName == u2fRoot {
			root.MaxPathLen, root.MaxPathLenZero = 1, false
		}
	}
	return roots
})

var builtinIntermediates = sync.OnceValue(func() []*x509.Certificate { return mustParse(intermediatesPEM) })

// Roots are Yubico's roots for PIV: the one of 2016, the one for U2F that some tokens of 2017 and 2018 hang from,
// and the one of 2024. The slice is the caller's, the certificates are shared and must not be changed.
func Roots() []*x509.Certificate { return slices.Clone(builtinRoots()) }

// maxRootsSize bounds a file of roots, in bytes.
const maxRootsSize = 1 << 20

// ParseRoots reads certificates in PEM, with any text between them. No certificate, one that can't be read, and a
// block of anything else are errors, so that no root is left out in silence.
func ParseRoots(text []byte) ([]*x509.Certificate, error) {
	if len(text) > maxRootsSize {
		return nil, fmt.Errorf("reading roots: more than %d bytes", maxRootsSize)
	}
	var roots []*x509.Certificate
	marks := bytes.Count(text, []byte("-----BEGIN "))
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("reading roots: there is a %.40q among them", block.Type)
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading root %d: %w", len(roots)+1, err)
		}
		roots = append(roots, root)
	}
	switch {
	case len(roots) != marks:
		return nil, fmt.Errorf("reading roots: %d of %d certificates are damaged", marks-len(roots), marks)
	case len(roots) == 0:
		return nil, errors.New("reading roots: there is no certificate in PEM")
	}
	return roots, nil
}

func mustParse(text []byte) []*x509.Certificate {
	certificates, err := ParseRoots(text)
	if err != nil {
		panic("attestation: a certificate that is built in: " + err.Error())
	}
	return certificates
}

// Complete appends to chain those of Yubico's intermediates that are missing, so that whoever
// verifies it needs the root alone. A chain that they don't continue comes back as it is.
func Complete(chain [][]byte) [][]byte {
	chain = slices.Clone(chain)
	for len(chain) > 0 && len(chain) < MaxCertificates {
		last, err := x509.ParseCertificate(chain[len(chain)-1])
		if err != nil {
			break
		}
		i := slices.IndexFunc(builtinIntermediates(), func(c *x509.Certificate) bool {
			return !c.Equal(last) && bytes.Equal(c.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(c) == nil
		})
		if i < 0 {
			break
		}
		chain = append(chain, builtinIntermediates()[i].Raw)
	}
	return chain
}
