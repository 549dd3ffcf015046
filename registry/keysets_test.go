// The key API: enrolment, the chain, conflicts, revocations, and what each answers to whom.

package registry_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/token"
)

func manages(k *keys.SoftwareKey) enroll.Entry {
	return enroll.Entry{Key: k.Public(), Can: enroll.CanEverything}
}

func (l *lab) invite(name string) keys.Signer {
	l.t.Helper()
	code, _, err := l.operator.Invite(l.t.Context(), name, time.Hour)
	if err != nil {
		l.t.Fatal(err)
	}
	key, err := enroll.InviteKey(code)
	if err != nil {
		l.t.Fatal(err)
	}
	return key
}

func TestEnrolment(t *testing.T) {
	l := newLab(t)
	key, code := generate(t, keys.Ed25519), l.invite("team")
	team := &account{lab: l, name: "team"}
	first := team.draft(manages(key))

	team.submit(first, 403, "bootstrap-invalid", key)
	team.submit(first, 403, "bootstrap-invalid", key, generate(t, keys.Ed25519))
	team.submit(first, 403, "keyset-possession", code)
	(&account{lab: l, name: "other"}).submit(first, 403, "keyset-wrong-account", code, key)
	elsewhere := *first
	elsewhere.Registry = "sparse+https://look-alike.example/index/"
	team.submit(&elsewhere, 403, "keyset-wrong-registry", code, key)

	l.want(l.ask("GET", api+"/accounts/team/keysets/latest", "", nil), 404, "account-unknown")
	team.submit(first, 201, "", code, key)
	// Sending the same again is a success, also with the code spent; sending another is a conflict.
	team.submit(first, 200, "", code, key)
	rival := team.draft(manages(generate(t, keys.Ed25519)))
	rival.Version, rival.Previous = 1, enroll.Hash{}
	team.submit(rival, 409, "keyset-conflict", code)
	l.want(l.publish(key, newSample(t, "demo", "0.1.0")), 200, "")
}

func TestUnknownAccountAnswersAsOneWithoutKeyset(t *testing.T) {
	l := newLab(t)
	key := generate(t, keys.Ed25519)
	l.invite("invited")
	l.invite("voided")
	if err := l.operator.Reset(t.Context(), "voided"); err != nil { // voids the code
		t.Fatal(err)
	}
	var answers []string
	for _, name := range []string{"invited", "voided", "nobody"} {
		a := &account{lab: l, name: name}
		first := a.submit(a.draft(manages(key)), 403, "bootstrap-invalid", key, generate(t, keys.Ed25519))
		read := l.ask("GET", api+"/accounts/"+name+"/keysets", "", nil)
		answers = append(answers, strings.ReplaceAll(first.String()+read.String(), name, "NAME"))
	}
	if answers[0] != answers[2] || answers[1] != answers[2] {
		t.Errorf("the answers differ: %q", answers)
	}
}

func TestExpiredCode(t *testing.T) {
	l := newLab(t)
	key, code := generate(t, keys.Ed25519), l.invite("team")
	team := &account{lab: l, name: "team"}
	l.clock.pass(time.Hour + time.Second)
	team.submit(team.draft(manages(key)), 403, "bootstrap-expired", code, key)
	team.submit(team.draft(manages(key)), 201, "", l.invite("team"), key)
}

func TestANewCodeEndsTheOneBefore(t *testing.T) {
	l := newLab(t)
	key, before := generate(t, keys.Ed25519), l.invite("team")
	after := l.invite("team")
	team := &account{lab: l, name: "team"}
	team.submit(team.draft(manages(key)), 403, "bootstrap-invalid", before, key)
	team.submit(team.draft(manages(key)), 201, "", after, key)
}

func TestChain(t *testing.T) {
	l := newLab(t)
	a, b, c := generate(t, keys.Ed25519), generate(t, keys.P384), generate(t, keys.Ed25519)
	team := l.enrol("team", a)
	first := team.standing
	second := team.draft(manages(a), manages(b))
	team.submit(second, 201, "", a, b)
	// A rotation that another client began from version 1 has lost, and is shown what stands.
	lost := team.draft(manages(c))
	lost.Version, lost.Previous = 2, first.Hash()
	conflict := team.submit(lost, 409, "keyset-conflict", a, c)
	var shown struct {
		Note string `json:"note"`
	}
	if err := json.Unmarshal(conflict.body, &shown); err != nil || shown.Note != string(team.standing.Note) {
		t.Errorf("the conflict shows %q (%v)", shown.Note, err)
	}
	team.submit(team.draft(manages(c)), 403, "keyset-unmanaged", c)
	team.submit(team.draft(manages(b), enroll.Entry{Key: c.Public(), Can: enroll.CanByDefault}), 201, "", b, c)

	var chain struct {
		Notes []string `json:"notes"`
		More  bool     `json:"more"`
	}
	for from, want := range map[string]int{"": 3, "?from=1": 3, "?from=3": 1, "?from=4": 0} {
		if err := json.Unmarshal(l.want(l.ask("GET", api+"/accounts/team/keysets"+from, "", nil), 200, "").body, &chain); err != nil || len(chain.Notes) != want || chain.More {
			t.Errorf("keysets%s: %d notes, more: %v (%v)", from, len(chain.Notes), chain.More, err)
		}
	}
	for _, from := range []string{"0", "-1", "x", "1e3"} {
		l.want(l.ask("GET", api+"/accounts/team/keysets?from="+from, "", nil), 400, "request-invalid")
	}
}

func TestLongChainComesInBatches(t *testing.T) {
	l := newLab(t)
	key := generate(t, keys.Ed25519)
	team := l.enrol("team", key)
	for range 120 {
		team.submit(team.draft(manages(key)), 201, "", key)
	}
	previous, from := (*enroll.SignedKeyset)(nil), 1
	for more := true; more; {
		var batch struct {
			Notes []string `json:"notes"`
			More  bool     `json:"more"`
		}
		if err := json.Unmarshal(l.ask("GET", fmt.Sprintf("%s/accounts/team/keysets?from=%d", api, from), "", nil).body, &batch); err != nil || len(batch.Notes) > 100 || len(batch.Notes) == 0 {
			t.Fatalf("batch from %d: %d notes, %v", from, len(batch.Notes), err)
		}
		for _, note := range batch.Notes {
			next, err := enroll.ParseSignedKeyset([]byte(note))
			if err != nil {
				t.Fatal(err)
			}
			standing := enroll.Standing{Indexes: []string{l.server.Index()}, Account: "team", Previous: previous, Now: next.Issued, Bootstrap: enroll.ByWhoever()}
			if err := standing.Accept(next); err != nil {
				t.Fatalf("version %d: %v", next.Version, err)
			}
			previous = next
		}
		from, more = from+len(batch.Notes), batch.More
	}
	if previous.Version != 121 {
		t.Errorf("the chain ends at version %d", previous.Version)
	}
}

func TestKeyInUse(t *testing.T) {
	l := newLab(t)
	mine, dropped, theirs := generate(t, keys.Ed25519), generate(t, keys.Ed25519), generate(t, keys.Ed25519)
	team := l.enrol("team", mine)
	team.submit(team.draft(manages(mine), manages(dropped)), 201, "", mine, dropped)
	team.submit(team.draft(manages(mine)), 201, "", mine)
	other := l.enrol("other", theirs)
	for _, taken := range []*keys.SoftwareKey{mine, dropped} {
		other.submit(other.draft(manages(theirs), manages(taken)), 403, "key-in-use", theirs, taken)
	}
}

func TestClosedAccount(t *testing.T) {
	l := newLab(t)
	key := generate(t, keys.Ed25519)
	team := l.enrol("team", key)
	l.want(l.publish(key, newSample(t, "demo", "0.1.0")), 200, "")
	end := team.draft(manages(key))
	end.Closed = true
	team.submit(end, 201, "", key)
	l.want(l.publish(key, newSample(t, "demo", "0.2.0")), 403, "key-unknown")
	team.submit(team.draft(manages(key)), 403, "keyset-closed", key)
	if _, _, err := l.operator.Invite(t.Context(), "team", time.Hour); err == nil {
		t.Error("the name of a closed account was given out again")
	}
	if err := l.operator.Reset(t.Context(), "team"); err == nil {
		t.Error("a closed account was reset")
	}
}

func TestRevocations(t *testing.T) {
	l := newLab(t)
	manager, worker, dropped, theirs := generate(t, keys.Ed25519), generate(t, keys.Ed25519), generate(t, keys.P384), generate(t, keys.Ed25519)
	team := l.enrol("team", manager)
	ordinary := func(k *keys.SoftwareKey) enroll.Entry {
		return enroll.Entry{Key: k.Public(), Can: enroll.CanByDefault}
	}
	team.submit(team.draft(manages(manager), ordinary(worker), ordinary(dropped)), 201, "", manager, worker, dropped)
	team.submit(team.draft(manages(manager), ordinary(worker)), 201, "", manager)
	l.enrol("other", theirs)
	id := func(k *keys.SoftwareKey) keys.ID { return k.Public().ID() }

	l.want(l.postNote("/revocations", l.revocation(id(worker), theirs, enroll.Lost)), 403, "revocation-signer")
	l.want(l.postNote("/revocations", l.revocation(id(manager), worker, enroll.Lost)), 403, "revocation-signer")
	l.want(l.postNote("/revocations", l.revocation(id(worker), dropped, enroll.Lost)), 403, "revocation-signer")
	l.want(l.postNote("/revocations", l.revocation(id(generate(t, keys.Ed25519)), manager, enroll.Lost)), 404, "key-unknown")
	forged := bytes.Replace(l.revocation(id(worker), worker, enroll.Lost), []byte("reason: lost"), []byte("reason: superseded"), 1)
	l.want(l.postNote("/revocations", forged), 403, "revocation-signature")
	l.want(l.publish(worker, newSample(t, "demo", "0.1.0")), 200, "")

	// By itself, by itself although dropped, by a manager; then again, in other words.
	l.want(l.postNote("/revocations", l.revocation(id(dropped), dropped, enroll.Superseded)), 201, "")
	l.want(l.postNote("/revocations", l.revocation(id(worker), manager, enroll.Compromised)), 201, "")
	l.want(l.postNote("/revocations", l.revocation(id(worker), worker, enroll.Lost)), 200, "")
	l.want(l.publish(worker, newSample(t, "demo", "0.2.0")), 403, "key-revoked")

	state := l.want(l.ask("GET", api+"/keys/"+id(worker).String(), "", nil), 200, "")
	for _, words := range []string{`"account":"team"`, `"can":[]`, `"revoked":true`, `"reason":"compromised"`, `"since":"2026-11-22T12:00:00Z"`} {
		if !strings.Contains(string(state.body), words) {
			t.Errorf("the key's state %s lacks %s", state.body, words)
		}
	}
	l.want(l.ask("GET", api+"/keys/"+generate(t, keys.Ed25519).Public().ID().String(), "", nil), 404, "key-unknown")
	l.want(l.ask("GET", api+"/keys/nonsense", "", nil), 404, "key-unknown")

	var latest struct {
		Note        string   `json:"note"`
		Revocations []string `json:"revocations"`
	}
	if err := json.Unmarshal(l.ask("GET", api+"/accounts/team/keysets/latest", "", nil).body, &latest); err != nil || len(latest.Revocations) != 2 || latest.Note != string(team.standing.Note) {
		t.Errorf("latest shows %d revocations (%v)", len(latest.Revocations), err)
	}
	// The next version carries them along, and a revoked key does not come back.
	team.submit(team.draft(manages(manager)), 403, "keyset-revocations", manager)
	team.submit(team.draft(manages(manager), ordinary(worker)), 403, "key-revoked", manager, worker)
	next := team.draft(manages(manager))
	next.Revoked = []keys.ID{id(worker), id(dropped)}
	next.Sort()
	team.submit(next, 201, "", manager)
	// The last manager can end itself.
	l.want(l.postNote("/revocations", l.revocation(id(manager), manager, enroll.Lost)), 201, "")
	next = team.draft(manages(generate(t, keys.Ed25519)))
	next.Revoked = append(next.Revoked, id(manager))
	next.Sort()
	team.submit(next, 403, "keyset-possession", manager)
}

func TestReset(t *testing.T) {
	l := newLab(t)
	key, revoked := generate(t, keys.Ed25519), generate(t, keys.Ed25519)
	team := l.enrol("team", key, []enroll.Entry{}...)
	team.submit(team.draft(manages(key), manages(revoked)), 201, "", key, revoked)
	l.want(l.postNote("/revocations", l.revocation(revoked.Public().ID(), revoked, enroll.Lost)), 201, "")
	l.want(l.publish(key, newSample(t, "demo", "0.1.0")), 200, "")
	before := team.standing
	if err := l.operator.Reset(t.Context(), "team"); err != nil {
		t.Fatal(err)
	}
	l.want(l.publish(key, newSample(t, "demo", "0.2.0")), 403, "key-unknown")
	l.want(l.ask("GET", api+"/accounts/team/keysets/latest", "", nil), 404, "account-unknown")
	team.submit(team.draft(manages(key)), 403, "keyset-wrong-version", key)
	l.want(l.postNote("/accounts/team/keysets", before.Note), 403, "keyset-wrong-version")

	code := l.invite("team")
	team.standing = nil
	team.submit(team.draft(manages(revoked)), 403, "key-revoked", code, revoked)
	successor := generate(t, keys.Ed25519)
	team.submit(team.draft(manages(successor)), 201, "", code, successor)
	l.want(l.publish(successor, newSample(t, "demo", "0.2.0")), 200, "")
	if team.standing.Version != 1 {
		t.Errorf("the new chain begins with version %d", team.standing.Version)
	}
	// A key that the reset ended can still be revoked, by itself or by the new manager.
	l.want(l.postNote("/revocations", l.revocation(key.Public().ID(), key, enroll.Lost)), 201, "")
}

func TestFreeze(t *testing.T) {
	s := newScene(t)
	freeze := func(frozen bool) {
		if err := s.operator.Freeze(t.Context(), "team", frozen); err != nil {
			t.Fatal(err)
		}
	}
	freeze(true)
	s.want(s.publish(s.key, s.next), 403, "account-frozen")
	s.want(s.yank(s.key, "demo", "0.1.0"), 403, "account-frozen")
	s.want(s.owners(s.key, "PUT", "demo", "other"), 403, "account-frozen")
	s.want(s.owners(s.key, "GET", "demo"), 200, "")
	keyset := s.team.draft(manages(s.key))
	keyset.Revoked = []keys.ID{s.revoked.Public().ID()}
	s.team.submit(keyset, 403, "account-frozen", s.key)
	s.want(s.ask("GET", "/index/de/mo/demo", "", nil), 200, "")
	s.want(s.postNote("/revocations", s.revocation(s.limited.Public().ID(), s.limited, enroll.Lost)), 201, "")
	freeze(false)
	s.want(s.publish(s.key, s.next), 200, "")
}

func TestDelete(t *testing.T) {
	s := newScene(t)
	s.want(s.publish(s.key, s.next), 200, "")
	if err := s.operator.Delete(t.Context(), "demo", "0.3.0"); err == nil {
		t.Error("a version that is not there was deleted")
	}
	for range 2 { // again is no error: the first time may have been interrupted
		if err := s.operator.Delete(t.Context(), "demo", "0.2.0"); err != nil {
			t.Fatal(err)
		}
	}
	s.want(s.ask("GET", "/api/v1/crates/demo/0.2.0/download", "", nil), 404, "version-unknown")
	if index := s.ask("GET", "/index/de/mo/demo", "", nil); strings.Contains(string(index.body), "0.2.0") {
		t.Errorf("the index has %s", index.body)
	}
	s.want(s.yank(s.key, "demo", "0.2.0"), 404, "version-unknown")
	s.want(s.publish(s.key, s.next), 409, "version-deleted")
	if err := s.operator.Delete(t.Context(), "Demo", "0.1.0"); err != nil {
		t.Fatal(err)
	}
	s.want(s.ask("GET", "/index/de/mo/demo", "", nil), 404, "crate-unknown")
	if found := s.ask("GET", "/api/v1/crates?q=demo", "", nil); !strings.Contains(string(found.body), `"total":0`) {
		t.Errorf("search finds %s", found.body)
	}
	s.want(s.publish(s.theirs, newSample(t, "demo", "1.0.0")), 403, "not-an-owner")
}

func TestSubmissionsAreReadStrictly(t *testing.T) {
	s := newScene(t)
	for name, body := range map[string]string{
		"nothing": "", "no object": `[]`, "no note": `{}`, "another type": `{"note":1}`, "twice": `{"note":"a","note":"b"}`,
		"another case": `{"Note":"a"}`, "an unknown member": `{"note":"a","x":1}`, "two values": `{"note":"a"}{}`, "no UTF-8": "{\"note\":\"\xff\"}",
	} {
		for _, path := range []string{"/accounts/team/keysets", "/revocations"} {
			if got := s.ask("POST", api+path, "", []byte(body)); got.status != 400 || got.code != "request-invalid" {
				t.Errorf("%s to %s: %v", name, path, got)
			}
		}
	}
	s.want(s.postNote("/accounts/team/keysets", []byte("no note\n")), 400, "keyset-malformed")
	s.want(s.postNote("/revocations", []byte("no note\n")), 400, "revocation-malformed")
	s.want(s.postNote("/accounts/UPPER/keysets", []byte("no note\n")), 400, "request-invalid")
	for path, malformed := range map[string]string{
		"/accounts/team/keysets": "keyset-malformed", "/accounts/team/proposals": "keyset-malformed", "/revocations": "revocation-malformed",
	} {
		s.want(s.postNote(path, bytes.Repeat([]byte("a"), enroll.MaxNote)), 400, malformed)
		s.want(s.postNote(path, bytes.Repeat([]byte("a"), enroll.MaxNote+1)), 413, "note-too-large")
	}
	s.want(s.postNote("/revocations", bytes.Repeat([]byte("\n"), 200<<10)), 413, "note-too-large")
	s.want(s.ask("POST", api+"/accounts/team/keysets", "", []byte(`{"note":"a","bootstrap":"secret"}`)), 400, "bootstrap-unsupported")
}

func TestChallenges(t *testing.T) {
	s := newScene(t)
	s.open(func(c *registry.Config) {
		c.Challenge, c.URL = true, strings.TrimSuffix(strings.TrimPrefix(s.server.Index(), "sparse+"), "/index/")
	})
	fetch := func() string {
		var issued struct {
			Challenge string    `json:"challenge"`
			Expires   time.Time `json:"expires"`
		}
		if err := json.Unmarshal(s.want(s.ask("GET", api+"/challenge", "", nil), 200, "").body, &issued); err != nil || !issued.Expires.After(s.clock.now()) {
			t.Fatalf("%+v, %v", issued, err)
		}
		return issued.Challenge
	}
	try := func(challenge string) answer {
		r := token.Request{Operation: token.Yank, Name: "demo", Version: "0.1.0", Challenge: challenge}
		return s.ask("DELETE", "/api/v1/crates/demo/0.1.0/yank", s.mint(s.key, r), nil)
	}
	good := fetch()
	s.want(try(""), 403, "challenge-missing")
	s.want(try("made-up"), 403, "challenge-invalid")
	changed := []byte(good)
	for i := range changed {
		changed[i] ^= 1
		if string(changed) != good {
			s.want(try(string(changed)), 403, "challenge-invalid")
		}
		changed[i] ^= 1
	}
	s.want(try(good), 200, "")
	s.want(try(good), 403, "challenge-invalid")
	late := fetch()
	s.clock.pass(5*time.Minute + time.Second)
	s.want(try(late), 403, "challenge-invalid")
	s.want(try(fetch()), 200, "")
}
