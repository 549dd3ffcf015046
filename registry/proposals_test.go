// Proposals: what a second machine may ask for, how long and how often, and who sees it.

package registry_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registryclient"
)

func ordinary(k *keys.SoftwareKey) enroll.Entry {
	return enroll.Entry{Key: k.Public(), Can: enroll.CanByDefault}
}

// adding is the next version with one more key, which may do what later keys usually may.
func (a *account) adding(k *keys.SoftwareKey) *enroll.Keyset {
	return a.draft(append([]enroll.Entry{ordinary(k)}, a.standing.Keys...)...)
}

// propose sends a proposal and returns it and its code.
func (a *account) propose(k *enroll.Keyset, status int, code string, signers ...keys.Signer) (*enroll.SignedKeyset, string) {
	a.lab.t.Helper()
	return a.proposeFrom("192.0.2.1", k, status, code, signers...)
}

func (a *account) proposeFrom(address string, k *enroll.Keyset, status int, code string, signers ...keys.Signer) (*enroll.SignedKeyset, string) {
	a.lab.t.Helper()
	signed, err := enroll.SignKeyset(a.lab.t.Context(), k, signers...)
	check(a.lab.t, err)
	body, err := json.Marshal(map[string]string{"note": string(signed.Note)})
	check(a.lab.t, err)
	got := a.lab.want(a.lab.ask("POST", api+"/accounts/"+a.name+"/proposals", "", body, "X-Forwarded-For", address), status, code)
	var said struct {
		Code    string    `json:"code"`
		Expires time.Time `json:"expires"`
	}
	if status < 300 {
		if err := json.Unmarshal(got.body, &said); err != nil || said.Code != enroll.ProposalCode(signed.Text) || !said.Expires.After(a.lab.clock.now()) {
			a.lab.t.Errorf("a proposal is answered %s (%v)", got, err)
		}
	}
	return signed, said.Code
}

type shownProposal struct {
	Note        string     `json:"note"`
	Attestation [][]string `json:"attestation"`
	Expires     time.Time  `json:"expires"`
	Accepted    *struct {
		Note string `json:"note"`
	} `json:"accepted"`
	Outdated bool `json:"outdated"`
}

func (a *account) proposal(code string) (p shownProposal) {
	a.lab.t.Helper()
	got := a.lab.want(a.lab.ask("GET", api+"/accounts/"+a.name+"/proposals/"+code, "", nil), 200, "")
	check(a.lab.t, json.Unmarshal(got.body, &p, json.RejectUnknownMembers(true)))
	return p
}

func TestProposal(t *testing.T) {
	var log strings.Builder // with what only --verbose logs
	l := newLab(t, func(c *registry.Config) {
		c.Log = slog.New(slog.NewTextHandler(&lockedWriter{to: &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	first, second := generate(t, keys.Ed25519), generate(t, keys.P384)
	team := l.enrol("team", first)
	wanted, code := team.propose(team.adding(second), 201, "", second)
	path := api + "/accounts/team/proposals/"
	for _, typed := range []string{code, strings.ToUpper(code), strings.ReplaceAll(code, "-", "")} {
		if p := team.proposal(typed); p.Note != string(wanted.Note) || p.Accepted != nil || p.Outdated || p.Attestation != nil {
			t.Errorf("under %s is shown %+v", typed, p)
		}
	}
	for _, wrong := range []string{"x", "latest", strings.Repeat("a", 20), code[1:], "%2e%2e"} {
		l.want(l.ask("GET", path+wrong, "", nil), 404, "proposal-unknown")
	}
	for _, name := range []string{"nobody", "No-One"} {
		l.want(l.ask("GET", api+"/accounts/"+name+"/proposals/"+code, "", nil), 404, "proposal-unknown")
	}
	// Sent again a little later, it waits no longer than it did.
	expires := team.proposal(code).Expires
	l.clock.pass(time.Minute)
	body, err := json.Marshal(map[string]string{"note": string(wanted.Note)})
	check(t, err)
	l.want(l.ask("POST", api+"/accounts/team/proposals", "", body), 200, "")
	if got := team.proposal(code).Expires; !got.Equal(expires) || !expires.Equal(l.clock.now().Truncate(time.Second).Add(14*time.Minute)) {
		t.Errorf("it expires at %v, then %v", expires, got)
	}
	l.want(l.publish(second, newSample(t, "demo", "0.1.0")), 403, "key-unknown")

	// Whoever manages signs that very text, and the one who asked is told without a token.
	team.submit(&wanted.Keyset, 201, "", first, second)
	accepted := team.standing
	l.want(l.publish(second, newSample(t, "demo", "0.1.0")), 200, "")
	team.submit(team.draft(team.standing.Keys...), 201, "", first)
	l.clock.pass(20 * time.Minute)
	if p := team.proposal(code); p.Accepted == nil || p.Accepted.Note != string(accepted.Note) || p.Outdated {
		t.Errorf("once it is accepted is shown %+v", p)
	}
	l.want(l.ask("POST", api+"/accounts/team/proposals", "", body), 200, "")
	l.clock.pass(2 * time.Hour)
	check(t, l.server.Tidy(t.Context()))
	l.want(l.ask("GET", path+code, "", nil), 404, "proposal-unknown")
	if text := log.String(); strings.Contains(text, code) || !strings.Contains(text, "/proposals/{code}") {
		t.Errorf("the code is in the log, or nothing is: %s", text)
	}
}

func TestProposalsEnd(t *testing.T) {
	l := newLab(t)
	first, second, third := generate(t, keys.Ed25519), generate(t, keys.Ed25519), generate(t, keys.Ed25519)
	team := l.enrol("team", first)
	path := api + "/accounts/team/proposals/"

	_, late := team.propose(team.adding(second), 201, "", second)
	l.clock.pass(15*time.Minute - time.Second)
	team.proposal(late)
	l.clock.pass(time.Second)
	l.want(l.ask("GET", path+late, "", nil), 404, "proposal-unknown")
	wanted := team.adding(second)
	wanted.Issued = wanted.Issued.Add(-15 * time.Minute)
	if _, again := team.propose(wanted, 201, "", second); again != late {
		t.Errorf("the same text has the codes %s and %s", late, again)
	}
	team.proposal(late)

	// Another version takes its place.
	_, lost := team.propose(team.adding(third), 201, "", third)
	team.submit(team.adding(second), 201, "", first, second)
	if p := team.proposal(lost); !p.Outdated || p.Accepted != nil {
		t.Errorf("once another version stands is shown %+v", p)
	}
	outdated := team.adding(third)
	outdated.Version = 2
	team.propose(outdated, 403, "keyset-wrong-version", third)

	// A reset begins another chain, to which no proposal belongs.
	_, reset := team.propose(team.adding(third), 201, "", third)
	check(t, l.operator.Reset(t.Context(), "team"))
	for _, code := range []string{reset, lost, late} {
		l.want(l.ask("GET", path+code, "", nil), 404, "proposal-unknown")
	}
	team.propose(team.adding(third), 404, "account-unknown", third)
}

func TestProposalRefusals(t *testing.T) {
	s := newScene(t)
	asks := generate(t, keys.Ed25519)
	revoked := func(k *enroll.Keyset) *enroll.Keyset { // as the rules ask for since the scene's revocation
		k.Revoked = []keys.ID{s.revoked.Public().ID()}
		for i, e := range k.Keys {
			if e.Key == s.revoked.Public() {
				k.Keys = append(k.Keys[:i:i], k.Keys[i+1:]...)
				break
			}
		}
		return k
	}
	good := func() *enroll.Keyset { return revoked(s.team.adding(asks)) }
	with := func(change func(*enroll.Keyset)) *enroll.Keyset {
		k := good()
		change(k)
		k.Sort()
		return k
	}
	for name, test := range map[string]struct {
		account string
		keyset  *enroll.Keyset
		status  int
		code    string
		signers []keys.Signer
	}{
		"no account":              {"nobody", good(), 404, "account-unknown", []keys.Signer{asks}},
		"another account":         {"other", good(), 403, "keyset-wrong-account", []keys.Signer{asks}},
		"another registry":        {"team", with(func(k *enroll.Keyset) { k.Registry = "sparse+https://evil.example/" }), 403, "keyset-wrong-registry", []keys.Signer{asks}},
		"another previous":        {"team", with(func(k *enroll.Keyset) { k.Previous[0]++ }), 403, "keyset-wrong-previous", []keys.Signer{asks}},
		"a later version":         {"team", with(func(k *enroll.Keyset) { k.Version++ }), 403, "keyset-wrong-version", []keys.Signer{asks}},
		"the future":              {"team", with(func(k *enroll.Keyset) { k.Issued = k.Issued.Add(time.Hour) }), 403, "keyset-wrong-time", []keys.Signer{asks}},
		"not signed by itself":    {"team", good(), 403, "keyset-unexpected-signer", []keys.Signer{s.limited}},
		"signed by a manager too": {"team", good(), 403, "keyset-unexpected-signer", []keys.Signer{asks, s.key}},
		"a revocation forgotten":  {"team", s.team.adding(asks), 403, "key-revoked", []keys.Signer{asks}},
		"somebody dropped": {"team", with(func(k *enroll.Keyset) {
			k.Keys = append(k.Keys[:0:0], ordinary(asks), manages(s.key))
		}), 403, "proposal-not-additions", []keys.Signer{asks}},
		"the end":         {"team", with(func(k *enroll.Keyset) { k.Closed = true }), 403, "proposal-not-additions", []keys.Signer{asks}},
		"somebody else's": {"team", revoked(s.team.adding(s.theirs)), 403, "key-in-use", []keys.Signer{s.theirs}},
	} {
		t.Run(name, func(t *testing.T) {
			a := *s.team
			a.name = test.account
			a.propose(test.keyset, test.status, test.code, test.signers...)
		})
	}
	path := api + "/accounts/team/proposals"
	s.want(s.postNote("/accounts/team/proposals", []byte("no note\n")), 400, "keyset-malformed")
	s.want(s.ask("POST", path, "", []byte(`{}`)), 400, "request-invalid")
	s.want(s.ask("POST", path, "", []byte(`{"note":"a","bootstrap":"b"}`)), 400, "request-invalid")
	s.want(s.ask("POST", path, "", []byte(`{"note":"a","attestation":[["AA=="],["AA=="],["AA=="]]}`)), 400, "request-invalid")
	s.want(s.postNote("/accounts/team/proposals", []byte(strings.Repeat("\n", 300<<10))), 413, "note-too-large")
	check(t, s.operator.Freeze(t.Context(), "team", true))
	s.team.propose(good(), 403, "account-frozen", asks)
	check(t, s.operator.Freeze(t.Context(), "team", false))
	s.team.propose(good(), 201, "", asks)
}

func TestProposalLimits(t *testing.T) {
	l := newLab(t)
	first := generate(t, keys.Ed25519)
	team := l.enrol("team", first)
	add := func(address string, status int, code string) *enroll.Keyset {
		t.Helper()
		k := generate(t, keys.Ed25519)
		wanted, _ := team.proposeFrom(address, team.adding(k), status, code, k)
		return &wanted.Keyset
	}
	for range 4 {
		add("192.0.2.1", 201, "")
	}
	add("192.0.2.1", 429, "proposal-limit") // one place is left to others
	mine := generate(t, keys.Ed25519)
	wanted, _ := team.proposeFrom("192.0.2.2", team.adding(mine), 201, "", mine)
	add("192.0.2.2", 429, "proposal-limit")
	add("192.0.2.3", 429, "proposal-limit")
	k := generate(t, keys.Ed25519)
	signed, err := enroll.SignKeyset(t.Context(), team.adding(k), k)
	check(t, err)
	body, err := json.Marshal(map[string]string{"note": string(signed.Note)})
	check(t, err)
	if refused := l.ask("POST", api+"/accounts/team/proposals", "", body); refused.header.Get("Retry-After") != "900" {
		t.Errorf("refused with Retry-After %q, want the 900 seconds until one expires", refused.header.Get("Retry-After"))
	}
	other := l.enrol("other", generate(t, keys.Ed25519))
	theirs := generate(t, keys.Ed25519)
	other.proposeFrom("192.0.2.1", other.adding(theirs), 201, "", theirs)

	// One that is accepted makes room: the others have lost their place to it.
	team.submit(&wanted.Keyset, 201, "", first, mine)
	for range 4 {
		add("192.0.2.1", 201, "")
	}
	add("2001:db8::1", 201, "")
	add("2001:db8::2", 429, "proposal-limit")
	l.clock.pass(15 * time.Minute)
	add("2001:db8::2", 201, "")
	if strings.Contains(string(l.dump()), "192.0.2.1") || strings.Contains(string(l.dump()), "2001:db8") {
		t.Error("an address is in the server's files")
	}
}

func TestOneAddressProposesSoMuch(t *testing.T) {
	l := newLab(t)
	const most = 100
	for i := range most/4 + 1 {
		team := l.enrol(fmt.Sprintf("team-%d", i), generate(t, keys.Ed25519))
		for range 4 {
			k := generate(t, keys.Ed25519)
			if i < most/4 {
				team.propose(team.adding(k), 201, "", k)
				continue
			}
			team.propose(team.adding(k), 429, "proposal-limit", k)
		}
	}
}

// Where reading needs a token, a proposal shows nothing of an account to those who have not seen its keyset.
func TestStrangersProposeNothing(t *testing.T) {
	l := newLab(t, func(c *registry.Config) { c.AuthRequired = true })
	first, second, stranger := generate(t, keys.Ed25519), generate(t, keys.Ed25519), generate(t, keys.Ed25519)
	team := l.enrol("team", first)
	l.invite("invited")
	for version := 1; version <= 3; version++ {
		var answers []string
		for _, name := range []string{"nobody", "invited", "team"} {
			k := (&account{lab: l, name: name}).draft(manages(stranger))
			if k.Version = version; version > 1 {
				k.Previous = enroll.Hash{1}
			}
			signed, err := enroll.SignKeyset(t.Context(), k, stranger)
			check(t, err)
			posted := l.postNote("/accounts/"+name+"/proposals", signed.Note)
			code := enroll.ProposalCode(signed.Text)
			read := l.ask("GET", api+"/accounts/"+name+"/proposals/"+code, "", nil)
			keyset := l.ask("GET", api+"/accounts/"+name+"/keysets/"+code, "", nil)
			answers = append(answers, posted.String()+read.String()+keyset.String())
		}
		if answers[0] != answers[1] || answers[0] != answers[2] {
			t.Errorf("version %d is answered %q", version, answers)
		}
	}

	// Who was told the code of the keyset that stands reads it, proposes, and learns the outcome, all without a token.
	client := registryclient.New(l.server.Index(), registryclient.Options{})
	code := enroll.ProposalCode(team.standing.Text)
	note, revocations, err := client.KeysetByCode(t.Context(), "team", strings.ToUpper(code))
	if err != nil || string(note) != string(team.standing.Note) || len(revocations) != 0 {
		t.Fatalf("by its code is shown %q and %d revocations (%v)", note, len(revocations), err)
	}
	wanted, err := enroll.SignKeyset(t.Context(), team.adding(second), second)
	check(t, err)
	proposed, err := client.Propose(t.Context(), "team", enroll.Submission{Note: wanted.Note})
	check(t, err)
	team.submit(&wanted.Keyset, 201, "", first, second)
	p, err := client.Proposal(t.Context(), "team", proposed.Code)
	if err != nil || string(p.Accepted) != string(team.standing.Note) {
		t.Errorf("of the proposal is shown %+v (%v)", p, err)
	}
	l.want(l.ask("GET", api+"/accounts/team/keysets/"+code, "", nil), 404, "keyset-unknown") // another version stands
	// Whoever built on a version that stood is told that it does no more.
	old := team.adding(stranger)
	old.Version, old.Previous = wanted.Version, wanted.Previous
	team.propose(old, 403, "keyset-wrong-version", stranger)
}

// The hash of what stands is as good as its code, so a key that was dropped is not told.
func TestDroppedKeysLearnNoHash(t *testing.T) {
	for _, closed := range []bool{false, true} {
		l := newLab(t, func(c *registry.Config) { c.AuthRequired = closed })
		first, dropped := generate(t, keys.Ed25519), generate(t, keys.Ed25519)
		team := l.enrol("team", first)
		team.submit(team.adding(dropped), 201, "", first, dropped)
		team.submit(team.draft(manages(first)), 201, "", first)
		guess := team.draft(manages(first))
		guess.Previous[0]++
		got := team.submit(guess, 403, "keyset-wrong-previous", dropped)
		if shown := strings.Contains(got.detail, team.standing.Hash().String()); shown == closed {
			t.Errorf("with auth-required %v the hash is told: %v", closed, shown)
		}
	}
}

// An attestation by a trusted maker waits with the proposal; another is dropped, as it can help nobody.
func TestAttestedProposal(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		p := registry.HardwarePolicy{}
		if trusted {
			p = registry.HardwarePolicy{Required: true, Roots: roots()}
		}
		l := newLab(t, policy(p))
		first := newHardKey(t, keys.Ed25519, 1, v574, virtualpiv.TouchCached)
		team, _ := l.begin("team", 0, "", [][][]byte{first.chain}, []enroll.Entry{may(first, enroll.CanEverything)}, first)
		second, soft := newHardKey(t, keys.P384, 2, v574, virtualpiv.TouchAlways), generate(t, keys.Ed25519)
		signed, err := enroll.SignKeyset(t.Context(), team.draft(append(team.standing.Keys, may(second, enroll.Publish))...), second)
		check(t, err)
		client := registryclient.New(l.server.Index(), registryclient.Options{})
		proposed, err := client.Propose(t.Context(), "team", enroll.Submission{Note: signed.Note, Attestations: [][][]byte{second.chain}})
		check(t, err)
		shown, err := client.Proposal(t.Context(), "team", proposed.Code)
		check(t, err)
		if trusted != (len(shown.Attestations) == 1) || trusted && string(shown.Attestations[0][0]) != string(second.chain[0]) {
			t.Errorf("trusted %v: %d attestations are shown", trusted, len(shown.Attestations))
		}
		if trusted {
			team.propose(team.adding(soft), 403, "attestation-missing", soft)
			// What waits is what the one who approves sends along.
			team.attest(&signed.Keyset, 0, "", shown.Attestations, first, second)
		}
	}
}
