// Proposals, and the keyset that a second machine builds its own on: what is asked for by a code and checked against it.

package registryclient

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
)

// Limits of the attestations in a proposal's answer. A certificate of a hardware token is about 1 KiB.
const (
	maxChains           = 2
	maxCertificates     = 8
	maxCertificateBytes = 4 << 10
)

// Propose sends version n+1 as this machine wants it, signed by its own new keys alone. It is no error if that very text
// waits already. A registry that answers with another code than the text's has said nothing.
func (c *Client) Propose(ctx context.Context, account string, s enroll.Submission) (enroll.Proposed, error) {
	var answer struct {
		Code    string    `json:"code"`
		Expires time.Time `json:"expires"`
	}
	k, err := enroll.ParseSignedKeyset(s.Note)
	if err != nil {
		return enroll.Proposed{}, fmt.Errorf("proposing a keyset: %w", err)
	}
	if err := c.post(ctx, "/accounts/"+url.PathEscape(account)+"/proposals", newSubmission(s), &answer); err != nil {
		return enroll.Proposed{}, err
	}
	code, err := enroll.ParseProposalCode(answer.Code)
	if err != nil || code != enroll.ProposalCode(k.Text) {
		return enroll.Proposed{}, errors.New("proposing a keyset: the answer has not the code of what was sent, so it is not a registry's yes")
	}
	if answer.Expires.IsZero() {
		return enroll.Proposed{}, errors.New("proposing a keyset: the answer does not say until when it waits, so it is not a registry's yes")
	}
	return enroll.Proposed{Code: code, Expires: answer.Expires}, nil
}

// Proposal fetches what waits, or was accepted, under a code. Its text, and that of the accepted keyset, is checked to have
// that code; nothing else of them is. It needs no token. An unknown or expired one is an [*Error] with code proposal-unknown.
func (c *Client) Proposal(ctx context.Context, account, code string) (*enroll.Proposal, error) {
	code, err := enroll.ParseProposalCode(code)
	if err != nil {
		return nil, err
	}
	var answer struct {
		submission
		Expires  time.Time `json:"expires"`
		Accepted *struct {
			Note string `json:"note"`
		} `json:"accepted"`
		Outdated bool `json:"outdated"`
	}
	if err := c.getOpen(ctx, "/accounts/"+url.PathEscape(account)+"/proposals/"+code, &answer); err != nil {
		return nil, err
	}
	if answer.Expires.IsZero() {
		return nil, fmt.Errorf("fetching proposal %s: the registry does not say until when it waits", code)
	}
	p := &enroll.Proposal{Submission: enroll.Submission{Note: []byte(answer.Note)}, Expires: answer.Expires, Outdated: answer.Outdated}
	if err := c.checkCode(p.Note, code); err != nil {
		return nil, fmt.Errorf("fetching proposal %s: %w", code, err)
	}
	if p.Attestations, err = answer.chains(); err != nil {
		return nil, fmt.Errorf("fetching proposal %s: %w", code, err)
	}
	if answer.Accepted != nil {
		p.Accepted = []byte(answer.Accepted.Note)
		if err := c.checkCode(p.Accepted, code); err != nil {
			return nil, fmt.Errorf("fetching what became of proposal %s: %w", code, err)
		}
	}
	return p, nil
}

// KeysetByCode is [Client.Latest] for a machine that no key is trusted on yet: code is that of the keyset which stands, as
// a trusted machine shows it ([enroll.ProposalCode] of its text). The note's text is checked to have it, so it is
// the very one which that machine sees. It needs no token. Where another version stands by now, or nothing, the
// error is an [*Error] with code keyset-unknown.
func (c *Client) KeysetByCode(ctx context.Context, account, code string) (note []byte, revocations [][]byte, err error) {
	if code, err = enroll.ParseProposalCode(code); err != nil {
		return nil, nil, err
	}
	var answer struct {
		Note        string   `json:"note"`
		Revocations []string `json:"revocations"`
	}
	if err := c.getOpen(ctx, "/accounts/"+url.PathEscape(account)+"/keysets/"+code, &answer); err != nil {
		return nil, nil, err
	}
	if err := c.checkCode([]byte(answer.Note), code); err != nil {
		return nil, nil, fmt.Errorf("fetching keyset %s: %w", code, err)
	}
	return []byte(answer.Note), toBytes(answer.Revocations), nil
}

// getOpen fetches what the registry shows without a token to whoever knows where it is.
func (c *Client) getOpen(ctx context.Context, path string, answer any) error {
	d, err := c.Discover(ctx)
	if err != nil {
		return err
	}
	return c.anonymous().send(ctx, &call{method: http.MethodGet, url: d.API + path, answer: answer, limit: maxBatch})
}

// checkCode refuses a note whose text was not asked for.
func (c *Client) checkCode(note []byte, code string) error {
	k, err := enroll.ParseSignedKeyset(note)
	if err != nil {
		return c.stray("the registry sent no keyset", "the one with the code "+code, "something else ("+printable(err.Error())+")")
	}
	if found := enroll.ProposalCode(k.Text); found != code {
		return c.stray("the registry sent another keyset than was asked for", "the one with the code "+code, "one with the code "+found)
	}
	return nil
}

// newSubmission is how s is sent.
func newSubmission(s enroll.Submission) submission {
	body := submission{Note: string(s.Note)}
	for _, chain := range s.Attestations {
		var texts []string
		for _, certificate := range chain {
			texts = append(texts, base64.StdEncoding.EncodeToString(certificate))
		}
		body.Attestation = append(body.Attestation, texts)
	}
	return body
}

// chains decodes the attestations of an answer.
func (s submission) chains() ([][][]byte, error) {
	if len(s.Attestation) > maxChains {
		return nil, fmt.Errorf("the registry sent %d attestations: more than a proposal has", len(s.Attestation))
	}
	var all [][][]byte
	for _, texts := range s.Attestation {
		if len(texts) == 0 || len(texts) > maxCertificates {
			return nil, fmt.Errorf("the registry sent an attestation of %d certificates: it has 1 to %d", len(texts), maxCertificates)
		}
		var chain [][]byte
		for _, text := range texts {
			certificate, err := base64.StdEncoding.Strict().DecodeString(text)
			if err != nil || len(certificate) == 0 || len(certificate) > maxCertificateBytes || base64.StdEncoding.EncodeToString(certificate) != text {
				return nil, errors.New("the registry sent an attestation that can't be read")
			}
			chain = append(chain, certificate)
		}
		all = append(all, chain)
	}
	return all, nil
}
