// The bodies by which documents are submitted, and their limits.

package registry

import (
	"encoding/base64"
	"io"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware/attestation"
)

// Limits of a body, in bytes where nothing else is said. A note ([enroll.MaxNote]) may grow to twice its length in JSON. What is left to attestations is enough for
// twenty chains of the usual 4 KiB, and a keyset seldom has more than two new keys.
const (
	maxNoteBody   = 132 << 10
	maxKeysetBody = maxNoteBody + 128<<10
	maxChains     = 20 // attestations of one keyset
)

// encodeChains is the inverse of chains, as JSON; "" for none.
func encodeChains(chains [][][]byte) (string, error) {
	if len(chains) == 0 {
		return "", nil
	}
	var all [][]string
	for _, chain := range chains {
		var texts []string
		for _, certificate := range chain {
			texts = append(texts, base64.StdEncoding.EncodeToString(certificate))
		}
		all = append(all, texts)
	}
	text, err := json.Marshal(all)
	return string(text), err
}

// submission is the body of POST …/keysets, …/proposals and …/revocations.
type submission struct {
	Note        string     `json:"note"`
	Bootstrap   string     `json:"bootstrap"`
	Attestation [][]string `json:"attestation"`
}

// readSubmission reads a body of at most limit bytes. Unknown members are refused: one that the registry passed over might be one that
// the client relies on.
func readSubmission(r *http.Request, limit int64) (submission, error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return submission{}, refuse(http.StatusBadRequest, "request-invalid", "the request ended before its body did: try again")
	}
	if int64(len(text)) > limit {
		return submission{}, refuse(http.StatusRequestEntityTooLarge, "note-too-large", "the request has more than %d bytes, the limit of this registry: sign a shorter document", limit)
	}
	var body submission
	if err := json.Unmarshal(text, &body, json.RejectUnknownMembers(true)); err != nil || body.Note == "" {
		return submission{}, refuse(http.StatusBadRequest, "request-invalid", `the body of the request is not JSON of the form {"note":"…"}`)
	}
	if len(body.Note) > enroll.MaxNote {
		return submission{}, refuse(http.StatusRequestEntityTooLarge, "note-too-large", "the signed note has more than %d bytes, the limit of this registry: sign a shorter document", enroll.MaxNote)
	}
	return body, nil
}

// chains decodes the attestations. A text that has another encoding than its one is refused: a line break, a missing or a loose bit.
func (s submission) chains() ([][][]byte, error) {
	malformed := refuse(http.StatusBadRequest, "attestation-invalid", "an attestation can't be read: "+
		"each is a list of 1 to %d certificates of at most %d bytes in standard base64, and a keyset has at most %d of them",
		attestation.MaxCertificates, attestation.MaxCertificateSize, maxChains)
	if len(s.Attestation) > maxChains {
		return nil, malformed
	}
	var all [][][]byte
	for _, texts := range s.Attestation {
		if len(texts) == 0 || len(texts) > attestation.MaxCertificates {
			return nil, malformed
		}
		var chain [][]byte
		for _, text := range texts {
			certificate, err := base64.StdEncoding.Strict().DecodeString(text)
			if err != nil || text == "" || len(certificate) > attestation.MaxCertificateSize || base64.StdEncoding.EncodeToString(certificate) != text {
				return nil, malformed
			}
			chain = append(chain, certificate)
		}
		all = append(all, chain)
	}
	return all, nil
}
