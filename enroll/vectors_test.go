// Test vectors for other implementations: what is taken, what is refused and why. They are made here with
// -update, and judged as a registry and as a client judge.

package enroll

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cargo-regkey/regkey/keys"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vectors are testdata/vectors.json.
type vectors struct {
	About   []string        `json:"about"`
	Index   string          `json:"index"`
	Account string          `json:"account"`
	Keys    []vectorKey     `json:"keys"`
	Invites []vectorInvite  `json:"invites"`
	Chain   []vectorVersion `json:"chain"`
	// Revocation is that of "ci", for the cases over it.
	Revocation string       `json:"revocation"`
	Cases      []vectorCase `json:"cases"`
}

type vectorKey struct {
	Name   string `json:"name"`
	Secret string `json:"secret"`
	Public string `json:"public"`
	ID     string `json:"id"`
}

type vectorInvite struct {
	Code   string `json:"code"`
	Public string `json:"public,omitempty"` // of the key that grows from it; none: it is no code
}

type vectorVersion struct {
	Note string `json:"note"`
	Hash string `json:"hash"`
	Code string `json:"code"`
}

type vectorCase struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"` // keyset, proposal, revocation
	After   int    `json:"after"`
	Revoked bool   `json:"revoked,omitzero"`
	Now     string `json:"now"`
	Note    string `json:"note"`
	Refused string `json:"refused,omitempty"` // the registry's code; none: it is taken
	Later   bool   `json:"later,omitzero"`
}

func readVectors(t *testing.T) *vectors {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	v := &vectors{}
	if err := json.Unmarshal(text, v, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
	if len(v.Cases) == 0 || len(v.Chain) == 0 || len(v.Keys) == 0 || len(v.Invites) == 0 {
		t.Fatal("there are no vectors")
	}
	return v
}

// The file is what makeVectors makes: another one is another format.
func TestVectorsArePinned(t *testing.T) {
	made, err := json.Marshal(makeVectors(t), jsontext.WithIndent(" "), jsontext.EscapeForHTML(false))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "vectors.json")
	if *update {
		if err := os.WriteFile(path, append(made, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pinned, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(made, '\n'), pinned) {
		t.Error("testdata/vectors.json is not what is made: look at what changed; -update writes it anew")
	}
}

func TestVectorKeys(t *testing.T) {
	v := readVectors(t)
	for _, k := range v.Keys {
		key, err := keys.ParseSoftwareKey(keys.NewSecret([]byte(k.Secret)))
		if err != nil || key.Public().String() != k.Public || key.Public().ID().String() != k.ID {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
	for _, i := range v.Invites {
		key, err := InviteKey(keys.NewSecret([]byte(i.Code)))
		if (err != nil) != (i.Public == "") || err == nil && key.Public().String() != i.Public {
			t.Errorf("%q: %v", i.Code, err)
		}
	}
}

// standing is what a registry knows where the case comes.
func (v *vectors) standing(t *testing.T, c vectorCase) Standing {
	t.Helper()
	now, err := time.Parse(time.RFC3339, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	invite, err := keys.ParsePublicKey(v.Invites[0].Public)
	if err != nil {
		t.Fatal(err)
	}
	s := Standing{Indexes: []string{v.Index}, Account: v.Account, Now: now, Bootstrap: ByInvite(invite)}
	for i, version := range v.Chain[:c.After] {
		if s.Previous, err = ParseSignedKeyset([]byte(version.Note)); err != nil {
			t.Fatal(err)
		}
		if s.Previous.Hash().String() != version.Hash || ProposalCode(s.Previous.Text) != version.Code || s.Previous.Version != i+1 {
			t.Errorf("version %d is %v, with the code %s", i+1, s.Previous.Hash(), ProposalCode(s.Previous.Text))
		}
	}
	if c.Revoked {
		s.Revoked = []keys.ID{parseRevocationOf(t, v.Revocation).Key}
	}
	return s
}

func parseRevocationOf(t *testing.T, note string) *SignedRevocation {
	t.Helper()
	r, err := ParseSignedRevocation([]byte(note))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refusal is the code with which a registry refuses the document; "": it takes it.
func refusal(s Standing, c vectorCase) string {
	if len(c.Note) > MaxNote {
		return "note-too-large"
	}
	next, err := ParseSignedKeyset([]byte(c.Note))
	if err != nil {
		return "keyset-malformed"
	}
	if s.Previous != nil && next.Version <= s.Previous.Version && c.Kind == "keyset" {
		if bytes.Equal(next.Text, s.Previous.Text) {
			return ""
		}
		return "keyset-conflict"
	}
	if c.Kind == "proposal" {
		err = s.AcceptProposal(next)
	} else {
		err = s.Accept(next)
	}
	return codeOf(err)
}

// What is written in the vectors is what the rules say. The registry has a test of its own.
func TestVectors(t *testing.T) {
	v := readVectors(t)
	for _, c := range v.Cases {
		s := v.standing(t, c)
		if c.Kind == "revocation" {
			continue // see TestVectorsAtTheClient
		}
		if got := refusal(s, c); got != c.Refused {
			t.Errorf("%s %q: refused with %q, want %q", c.Kind, c.Name, got, c.Refused)
		}
	}
}

// A shownRegistry shows what a case says, and takes nothing.
type shownRegistry struct {
	Registry
	notes, revocations [][]byte
	proposal           []byte
}

func (r *shownRegistry) Latest(context.Context, string) ([]byte, [][]byte, error) {
	return r.notes[len(r.notes)-1], r.revocations, nil
}

func (r *shownRegistry) Keysets(_ context.Context, _ string, from int) ([][]byte, bool, error) {
	return r.notes[min(from-1, len(r.notes)):], false, nil
}

func (r *shownRegistry) Proposal(context.Context, string, string) (*Proposal, error) {
	return &Proposal{Submission: Submission{Note: r.proposal}, Expires: noon.Add(time.Hour)}, nil
}

// atClient is a machine that has verified what stands before the case, and may manage.
func (v *vectors) atClient(t *testing.T, c vectorCase) (*machine, *shownRegistry) {
	t.Helper()
	m := newMachine(t)
	m.clock = v.standing(t, c).Now
	shown := &shownRegistry{}
	m.Registry = shown
	m.key("laptop", ed(1))
	m.must(m.State().saveEnrolment(&Enrolment{Index: v.Index, Account: v.Account, Key: "laptop", Since: noon}))
	for _, version := range v.Chain[:c.After] {
		k, err := ParseSignedKeyset([]byte(version.Note))
		m.must(err)
		m.must(m.State().pin(k))
		shown.notes = append(shown.notes, k.Note)
	}
	if c.Revoked {
		r := parseRevocationOf(t, v.Revocation)
		m.must(m.State().addRevocation(r))
		shown.revocations = [][]byte{r.Note}
	}
	return m, shown
}

// A client reads the same documents: keysets that a registry shows it, proposals that it is to approve, and
// revocations. A version that it reads later it may take though a registry would not take it now.
func TestVectorsAtTheClient(t *testing.T) {
	ctx := context.Background()
	v := readVectors(t)
	for _, c := range v.Cases {
		m, shown := v.atClient(t, c)
		var err error
		switch c.Kind {
		case "keyset":
			if c.After == 0 {
				_, err = VerifyChain([]string{v.Index}, v.Account, [][]byte{[]byte(c.Note)}, nil)
				break
			}
			shown.notes = append(shown.notes, []byte(c.Note))
			_, err = m.Sync(ctx)
		case "proposal":
			text, _, _ := strings.Cut(c.Note, "\n\n")
			shown.proposal = []byte(c.Note)
			_, err = m.FetchProposal(ctx, ProposalCode([]byte(text+"\n")))
		case "revocation":
			err = m.readsRevocation(shown, c)
		}
		if taken := err == nil; taken != (c.Refused == "" || c.Later) {
			t.Errorf("%s %q: %v, want %q", c.Kind, c.Name, err, c.Refused)
		}
	}
}

var errNotKept = errors.New("the revocation is not kept")

// readsRevocation says whether the machine keeps the revocation that a registry shows. One of a key that it
// knows nothing of is no lie, and is not kept.
func (m *machine) readsRevocation(shown *shownRegistry, c vectorCase) error {
	shown.revocations = append(shown.revocations, []byte(c.Note))
	if _, err := m.Sync(context.Background()); err != nil {
		return err
	}
	all, err := m.State().Revocations()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(r *SignedRevocation) bool { return string(r.Note) == c.Note }) {
		return errNotKept
	}
	return nil
}
