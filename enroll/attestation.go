// Attestations: certificates that are sent along with a keyset, and kept until it is answered.

package enroll

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
)

// certificateEncoding has one text for each certificate.
var certificateEncoding = base64.StdEncoding.Strict()

// attestations are the chains that this machine has for new keys, as pending keeps them.
func (l *Lifecycle) attestations(added []Entry) ([][]string, error) {
	var all [][]string
	for _, e := range added {
		record, err := l.Keys.Find(e.Key.ID())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if record.Token == nil || len(record.Token.Attestation) == 0 {
			continue
		}
		var chain []string
		for _, certificate := range record.Token.Attestation {
			chain = append(chain, certificateEncoding.EncodeToString(certificate))
		}
		all = append(all, chain)
	}
	return all, nil
}

// submission is what is sent of p, whose keyset is k.
func (p *pending) submission(k *SignedKeyset) (Submission, error) {
	s := Submission{Note: k.Note}
	for _, texts := range p.Attestations {
		var chain [][]byte
		for _, text := range texts {
			certificate, err := certificateEncoding.DecodeString(text)
			if err != nil {
				return Submission{}, fmt.Errorf("reading the attestation that waits to be sent: %w", err)
			}
			chain = append(chain, certificate)
		}
		s.Attestations = append(s.Attestations, chain)
	}
	return s, nil
}
