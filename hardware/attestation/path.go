// The path of certificates from a statement to a root.

package attestation

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

func parseChain(chain [][]byte) ([]*x509.Certificate, error) {
	if len(chain) == 0 || len(chain) > MaxCertificates {
		return nil, fmt.Errorf("reading attestation: %d certificates instead of 1 to %d", len(chain), MaxCertificates)
	}
	var certificates []*x509.Certificate
	for i, der := range chain {
		certificate, err := parseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of %d: %w", i+1, len(chain), err)
		}
		certificates = append(certificates, certificate)
	}
	return certificates, nil
}

func parseCertificate(der []byte) (*x509.Certificate, error) {
	if len(der) > MaxCertificateSize {
		return nil, fmt.Errorf("reading attestation: a certificate has more than %d bytes", MaxCertificateSize)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading attestation: %w", err)
	}
	return certificate, nil
}

// checkPath looks for a path from the statement to a root that uses every other certificate, in
// the order in which they came.
func checkPath(certificates []*x509.Certificate, roots []*x509.Certificate, now time.Time) error {
	options := x509.VerifyOptions{
		Roots:         pool(roots),
		Intermediates: pool(builtinIntermediates()),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, certificate := range certificates[1:] {
		admitOldToken(certificate, roots)
		options.Intermediates.AddCert(certificate)
	}
	paths, err := certificates[0].Verify(options)
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("verifying attestation: a certificate is not valid on %s: %w", now.UTC().Format(time.DateOnly), ErrUntrusted)
	}
	if err != nil {
		return fmt.Errorf("verifying attestation: %w: %v", ErrUntrusted, err)
	}
	for _, path := range paths {
		shared := min(len(path), len(certificates))
		if slices.EqualFunc(path[:shared], certificates[:shared], (*x509.Certificate).Equal) {
			return nil
		}
	}
	return fmt.Errorf("verifying attestation: certificates are out of order, or not needed: %w", ErrUntrusted)
}

func pool(certificates []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, certificate := range certificates {
		p.AddCert(certificate)
	}
	return p
}

// admitOldToken lets the attestation certificate of some YubiKeys 4 issue, which lack the basic
// constraints that make an authority (RFC 5280, section 4.2.1.9). It does so only right below a root, under
// the name that Yubico gave them: statements lack the constraints as well, and if one of
// them could issue, whoever has a token could sign a forged statement with the key in it.
func admitOldToken(certificate *x509.Certificate, roots []*x509.Certificate) {
	if certificate.BasicConstraintsValid || !strings.HasPrefix(certificate.Subject.CommonName, "Yubico PIV Attestation") {
		return
	}
	for _, root := range roots {
		if bytes.Equal(root.RawSubject, certificate.RawIssuer) && certificate.CheckSignatureFrom(root) == nil {
			certificate.BasicConstraintsValid, certificate.IsCA = true, true
			certificate.MaxPathLen, certificate.MaxPathLenZero = 0, true
			return
		}
	}
}
