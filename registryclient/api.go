// The calls of the key API.

package registryclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// Submit sends a signed keyset, and the attestations of hardware keys that are new in it. It is no
// error if that very text stands already.
func (c *Client) Submit(ctx context.Context, account string, s enroll.Submission) error {
	var answer struct {
		Version int `json:"version"`
	}
	k, unread := enroll.ParseSignedKeyset(s.Note) // what can't be read is the registry's to refuse
	if err := c.post(ctx, "/accounts/"+url.PathEscape(account)+"/keysets", newSubmission(s), &answer); err != nil {
		return err
	}
	if unread != nil || answer.Version != k.Version {
		return fmt.Errorf("submitting a keyset: expected was a yes to the version that was sent, and an answer about version %d came: it is not a registry's yes", answer.Version)
	}
	return nil
}

// Revoke sends a signed revocation. It is no error if the key is revoked already.
func (c *Client) Revoke(ctx context.Context, note []byte) error {
	return c.post(ctx, "/revocations", submission{Note: string(note)}, nil)
}

// submission is the body of what is posted, and what is shown of a proposal.
type submission struct {
	Note        string     `json:"note"`
	Attestation [][]string `json:"attestation,omitempty"` // standard base64 of DER, each key's own certificate first
}

func (c *Client) post(ctx context.Context, path string, body submission, answer any) error {
	d, err := c.Discover(ctx)
	if err != nil {
		return err
	}
	// Documents carry their own authority: no token goes along, so none is needed to end a key.
	return c.anonymous().do(ctx, http.MethodPost, d.API+path, body, answer)
}

// Latest is the keyset that stands and every revocation of the account's keys, as signed notes.
func (c *Client) Latest(ctx context.Context, account string) (note []byte, revocations [][]byte, err error) {
	d, err := c.Discover(ctx)
	if err != nil {
		return nil, nil, err
	}
	var answer struct {
		Note        string   `json:"note"`
		Revocations []string `json:"revocations"`
	}
	if err := c.getBatch(ctx, d.API+"/accounts/"+url.PathEscape(account)+"/keysets/latest", &answer); err != nil {
		return nil, nil, err
	}
	return []byte(answer.Note), toBytes(answer.Revocations), nil
}

// Keysets are the signed notes of versions from on, oldest first; more says that others follow.
func (c *Client) Keysets(ctx context.Context, account string, from int) (notes [][]byte, more bool, err error) {
	d, err := c.Discover(ctx)
	if err != nil {
		return nil, false, err
	}
	var answer struct {
		Notes []string `json:"notes"`
		More  bool     `json:"more"`
	}
	if err := c.getBatch(ctx, fmt.Sprintf("%s/accounts/%s/keysets?from=%d", d.API, url.PathEscape(account), from), &answer); err != nil {
		return nil, false, err
	}
	return toBytes(answer.Notes), answer.More, nil
}

// Challenge fetches a fresh one, for one mutation. A registry whose reads need a token gives
// challenges without one; only if it refuses that is a token made, which may take a passphrase.
func (c *Client) Challenge(ctx context.Context) (string, error) {
	d, err := c.Discover(ctx)
	if err != nil {
		return "", err
	}
	var answer struct {
		Challenge string `json:"challenge"`
	}
	open := *c
	open.authorize = false
	if err := open.get(ctx, d.API+"/challenge", &answer); err != nil {
		return "", err
	}
	if len(answer.Challenge) > maxChallenge || !challengeForm.MatchString(answer.Challenge) {
		return "", errors.New("fetching a challenge: the registry sent none")
	}
	return answer.Challenge, nil
}

// challengeForm leaves a registry its own kind of challenge, in what can stand in a token and on a
// terminal.
var challengeForm = regexp.MustCompile(`^[!-~]+$`)

// maxChallenge bounds a challenge, in bytes. In the pattern it would cost each start of each program
// that links this package 2 ms: a count is compiled by writing it out.
const maxChallenge = 1000

// A KeyState is what a registry says of one key. Control characters are taken out of its texts.
type KeyState struct {
	Key     keys.ID   `json:"key"`
	Account string    `json:"account"`
	Can     []string  `json:"can"`
	Crates  []string  `json:"crates"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Revoked bool      `json:"revoked"`
	Reason  string    `json:"reason"`
	// Hardware is nil unless the registry has verified an attestation of the key.
	Hardware *KeyHardware `json:"hardware"`
}

// KeyHardware is what a registry has verified of a key in hardware.
type KeyHardware struct {
	Serial   uint32 `json:"serial"`
	Firmware string `json:"firmware"`
	Slot     string `json:"slot"`
	PIN      string `json:"pin"`   // policy
	Touch    string `json:"touch"` // policy
	Form     string `json:"form"`  // of the token; may be empty
}

// Key asks what the registry thinks of a key. An unknown one is an [*Error] with code key-unknown.
func (c *Client) Key(ctx context.Context, id keys.ID) (*KeyState, error) {
	d, err := c.Discover(ctx)
	if err != nil {
		return nil, err
	}
	state := &KeyState{}
	if err := c.get(ctx, d.API+"/keys/"+id.String(), state); err != nil {
		return nil, err
	}
	if state.Key != id {
		return nil, fmt.Errorf("asking for key %v: %w", id, c.stray("the registry answered about another key", id.String(), cmp.Or(state.Key.String(), "none")))
	}
	state.Account, state.Reason = printable(state.Account), printable(state.Reason)
	for _, texts := range [][]string{state.Can, state.Crates} {
		for i := range texts {
			texts[i] = printable(texts[i])
		}
	}
	return state, nil
}

func toBytes(texts []string) [][]byte {
	all := make([][]byte, len(texts))
	for i, text := range texts {
		all[i] = []byte(text)
	}
	return all
}
