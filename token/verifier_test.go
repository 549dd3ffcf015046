// The verifier: each rule with its code, their order, and that tokens are spent.

package token

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// keyTable is a [KeySource] of a few keys.
type keyTable map[keys.ID]Key

func (t keyTable) LookupKey(_ context.Context, id keys.ID) (Key, error) {
	key, ok := t[id]
	if !ok {
		return Key{}, fmt.Errorf("key table: %w", ErrUnknownKey)
	}
	return key, nil
}

func anything(Operation, string) bool { return true }

// newVerifier knows the test keys, for account "crates-team", at [testTime].
func newVerifier(t testing.TB) (*Verifier, keyTable) {
	t.Helper()
	table := keyTable{}
	for _, a := range []keys.Algorithm{keys.Ed25519, keys.P384} {
		public := testKey(t, a).Public()
		table[public.ID()] = Key{Public: public, Account: "crates-team", May: anything}
	}
	now := func() time.Time { return testTime }
	return &Verifier{Index: testIndex, Keys: table, Spent: &MemorySpent{Now: now}, Now: now}, table
}

func without(r Request, change func(*Request)) Request { change(&r); return r }

var plainPublish = without(publishRequest, func(r *Request) { r.Subject = "" })

func TestVerifierAccepts(t *testing.T) {
	for _, r := range []Request{readRequest, plainPublish, yankRequest, unyankRequest, ownersRequest} {
		for _, a := range []keys.Algorithm{keys.Ed25519, keys.P384} {
			v, _ := newVerifier(t)
			text := mustMint(t, a, r)
			g, err := v.Authenticate(t.Context(), text, r.Operation, testTime)
			if err != nil {
				t.Errorf("%v %s: %v", a, r.Operation, err)
				continue
			}
			tok, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if g.Account != "crates-team" || g.KeyID != testKey(t, a).Public().ID() || g.Claims != tok.Claims() ||
				g.ReplayKey != tok.ReplayKey(testKey(t, a).Public()) {
				t.Errorf("%v %s: grant %+v", a, r.Operation, g)
			}
			if err := g.Authorize(r.Name, r.Version, r.Checksum); err != nil {
				t.Errorf("%v %s: %v", a, r.Operation, err)
			}
			if err := g.Recheck(t.Context()); err != nil {
				t.Errorf("%v %s: %v", a, r.Operation, err)
			}
		}
	}
}

// refusal is a verifier, a token and a request that do not go together.
type refusal struct {
	name    string
	prepare func(v *Verifier, key *Key) // may be nil
	request Request                     // minted, unless text is given
	text    string
	op      Operation // asked for; the request's own if ""
	after   time.Duration
	code    Code
	says    string
}

func refusals(t testing.TB) []refusal {
	key := testKey(t, keys.Ed25519)
	claims := func(c string) string { return forge(t, key, `{"iat":"2026-11-22T09:12:00Z"`+c+`}`, footerOf(key)) }
	good := mustMint(t, keys.Ed25519, yankRequest)
	elsewhere := without(yankRequest, func(r *Request) { r.Index = strings.TrimSuffix(testIndex, "/") })
	yankOf := func(crate string) func(v *Verifier, k *Key) {
		return func(_ *Verifier, k *Key) {
			k.May = func(op Operation, name string) bool { return op == Yank && name == crate }
		}
	}
	challenges := func(v *Verifier, _ *Key) { v.Challenges = &oneChallenge{} }
	challenged := func(c string) Request { return without(yankRequest, func(r *Request) { r.Challenge = c }) }
	return []refusal{
		{name: "nothing", text: "", op: Read, code: CodeMissing, says: "enrol"},
		{name: "noise", text: "secret", op: Read, code: CodeMalformed, says: "RFC 3231"},
		{name: "format", request: yankRequest, code: CodeAlgorithm, says: "another algorithm",
			prepare: func(v *Verifier, _ *Key) { v.Algorithms = []keys.Algorithm{keys.P384} }},
		{name: "no format", request: yankRequest, code: CodeAlgorithm,
			prepare: func(v *Verifier, _ *Key) { v.Algorithms = []keys.Algorithm{} }},
		{name: "unknown", request: yankRequest, code: CodeKeyUnknown, says: key.String(),
			prepare: func(v *Verifier, _ *Key) { v.Keys = keyTable{} }},
		{name: "revoked", request: yankRequest, code: CodeKeyRevoked, says: "revoked",
			prepare: func(_ *Verifier, k *Key) { k.Revoked = true }},
		{name: "past until", request: yankRequest, after: time.Second, code: CodeKeyExpired, says: "2026-11-22T09:12:00Z",
			prepare: func(_ *Verifier, k *Key) { k.Until = testTime }},
		{name: "may nothing", request: readRequest, code: CodeKeyNotAllowed, says: "may not read",
			prepare: func(_ *Verifier, k *Key) { k.May = nil }},
		{name: "another crate", request: yankRequest, code: CodeKeyNotAllowed, says: `may not yank crate "demo"`, prepare: yankOf("other")},
		{name: "another operation", request: unyankRequest, code: CodeKeyNotAllowed, says: `may not unyank crate "demo"`, prepare: yankOf("demo")},
		{name: "owners", request: ownersRequest, code: CodeKeyNotAllowed, says: `may not see or change the owners of crate "demo"`, prepare: yankOf("demo")},
		{name: "hours", request: readRequest, after: 3 * time.Hour, code: CodeExpired, says: "signed 3h ago"},
		{name: "claims of another", text: forgeSignature(t, claims(""), good), op: Read, code: CodeSignature, says: key.String()},
		{name: "registry", request: elsewhere, code: CodeWrongRegistry, says: elsewhere.Index + `"`},
		{name: "too old", request: yankRequest, after: 7*time.Minute + 12*time.Second, code: CodeExpired,
			says: "signed 7m12s ago, and this registry accepts 5m: check this machine's clock and try again"},
		{name: "just too old", request: readRequest, after: 5*time.Minute + 1, code: CodeExpired},
		{name: "older than this registry's window", request: readRequest, after: time.Minute + 1, code: CodeExpired, says: "accepts 1m:",
			prepare: func(v *Verifier, _ *Key) { v.Window = time.Minute }},
		{name: "too early", request: readRequest, after: -30*time.Second - 1, code: CodeNotYetValid, says: "30s in the future"},
		{name: "too early here", request: yankRequest, after: -10*time.Second - 1, code: CodeNotYetValid, says: "accepts 10s",
			prepare: func(v *Verifier, _ *Key) { v.Skew = 10 * time.Second }},
		{name: "sub not on file", request: publishRequest, code: CodeWrongSubject, says: "has none on file"},
		{name: "sub absent", request: yankRequest, code: CodeWrongSubject, says: "has no subject",
			prepare: func(_ *Verifier, k *Key) { k.Subject = "s" }},
		{name: "another sub", request: publishRequest, code: CodeWrongSubject, says: `"crates-team"`,
			prepare: func(_ *Verifier, k *Key) { k.Subject = "crates-Team" }},
		{name: "v", text: claims(`,"v":2`), op: Read, code: CodeVersion, says: "version 2"},
		{name: "v 0", text: claims(`,"v":0`), op: Read, code: CodeVersion, says: "version 0"},
		{name: "read for publish", request: readRequest, op: Publish, code: CodeWrongOperation, says: "signed for read, and the request is publish"},
		{name: "publish for read", request: plainPublish, op: Read, code: CodeWrongOperation},
		{name: "yank for unyank", request: yankRequest, op: Unyank, code: CodeWrongOperation},
		{name: "unyank for yank", request: unyankRequest, op: Yank, code: CodeWrongOperation},
		{name: "owners for publish", request: ownersRequest, op: Publish, code: CodeWrongOperation},
		{name: "no challenge", request: yankRequest, prepare: challenges, code: CodeChallengeMissing},
		{name: "challenge not ours", request: challenged("other"), prepare: challenges, code: CodeChallengeInvalid},
	}
}

// forgeSignature puts the signature of one token under the claims of another.
func forgeSignature(t testing.TB, claims, signed string) string {
	t.Helper()
	a, errA := Parse(claims)
	b, errB := Parse(signed)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	return join(a.algorithm, string(a.payload), b.signature, string(a.footer))
}

// oneChallenge is a [Challenges] that has issued "issued".
type oneChallenge struct{ spent bool }

func (c *oneChallenge) Redeem(_ context.Context, challenge string, _ time.Time) error {
	if challenge != "issued" || c.spent {
		return fmt.Errorf("redeeming: %w", ErrChallenge)
	}
	c.spent = true
	return nil
}

func TestVerifierRefuses(t *testing.T) {
	id := testKey(t, keys.Ed25519).Public().ID()
	for _, test := range refusals(t) {
		v, table := newVerifier(t)
		if test.prepare != nil {
			key := table[id]
			test.prepare(v, &key)
			table[id] = key
		}
		text, op := test.text, test.op
		if test.request.Index != "" {
			text = mustMint(t, keys.Ed25519, test.request)
		}
		if op == "" {
			op = test.request.Operation
		}
		g, err := v.Authenticate(t.Context(), text, op, testTime.Add(test.after))
		if codeOf(err) != test.code || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %s: %v\nwant %s, %q", test.name, codeOf(err), err, test.code, test.says)
		}
		if g != nil {
			t.Errorf("%s: refused, and a grant with it", test.name)
		}
	}
}

// The limits themselves are within.
func TestVerifierLimits(t *testing.T) {
	for _, after := range []time.Duration{-30 * time.Second, 0, 5 * time.Minute} {
		v, table := newVerifier(t)
		key := table[testKey(t, keys.Ed25519).Public().ID()]
		key.Until = testTime.Add(after)
		table[key.Public.ID()] = key
		if _, err := v.Authenticate(t.Context(), mustMint(t, keys.Ed25519, yankRequest), Yank, testTime.Add(after)); err != nil {
			t.Errorf("after %v: %v", after, err)
		}
	}
}

func TestAuthorize(t *testing.T) {
	for _, test := range []struct {
		request                 Request
		name, version, checksum string
		code                    Code
	}{
		{plainPublish, "demo2", "1.0.0-rc.1+build.5", testChecksum, CodeWrongCrate},
		{plainPublish, "Demo", "1.0.0-rc.1+build.5", testChecksum, CodeWrongCrate},
		{plainPublish, "demo", "1.0.0-rc.1", testChecksum, CodeWrongVersion},
		{plainPublish, "demo", "1.0.0-rc.1+build.5", strings.Repeat("0", 64), CodeWrongChecksum},
		{plainPublish, "demo", "1.0.0-rc.1+build.5", strings.ToUpper(testChecksum), CodeWrongChecksum},
		{plainPublish, "demo", "1.0.0-rc.1+build.5", "", CodeWrongChecksum},
		{plainPublish, "", "", "", CodeWrongCrate},
		{yankRequest, "demo", "", "", CodeWrongVersion},
		{yankRequest, "demo", "1.0.0", testChecksum, CodeWrongChecksum},
		{ownersRequest, "demo", "1.0.0", "", CodeWrongVersion},
		{ownersRequest, "other", "", "", CodeWrongCrate},
		{readRequest, "demo", "", "", CodeWrongCrate},
	} {
		v, _ := newVerifier(t)
		g, err := v.Authenticate(t.Context(), mustMint(t, keys.Ed25519, test.request), test.request.Operation, testTime)
		if err != nil {
			t.Fatal(err)
		}
		g.Claims = Claims{Name: test.name, Version: test.version, Checksum: test.checksum} // what a caller does to it does not matter
		if err := g.Authorize(test.name, test.version, test.checksum); codeOf(err) != test.code {
			t.Errorf("%s, %q %q %q: %v, want %s", test.request.Operation, test.name, test.version, test.checksum, err, test.code)
		}
	}
}

func TestRecheck(t *testing.T) {
	v, table := newVerifier(t)
	now := testTime
	v.Now = func() time.Time { return now }
	g, err := v.Authenticate(t.Context(), mustMint(t, keys.Ed25519, yankRequest), Yank, testTime)
	if err != nil {
		t.Fatal(err)
	}
	now = testTime.Add(time.Hour) // the token is old by now, and that is no matter
	if err := g.Recheck(t.Context()); err != nil {
		t.Errorf("nothing has changed: %v", err)
	}
	before := table[g.KeyID]
	for code, change := range map[Code]func(*Key){
		CodeKeyRevoked:    func(k *Key) { k.Revoked = true },
		CodeKeyExpired:    func(k *Key) { k.Until = now.Add(-1) },
		CodeKeyNotAllowed: func(k *Key) { k.May = func(op Operation, _ string) bool { return op == Read } },
		CodeWrongSubject:  func(k *Key) { k.Subject = "s" },
		CodeKeyUnknown:    func(k *Key) { k.Account = "another" },
	} {
		key := before
		change(&key)
		table[g.KeyID] = key
		if err := g.Recheck(t.Context()); codeOf(err) != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	delete(table, g.KeyID)
	if err := g.Recheck(t.Context()); codeOf(err) != CodeKeyUnknown {
		t.Errorf("key gone: %v", err)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) LookupKey(context.Context, keys.ID) (Key, error)          { return Key{}, errBroken }
func (broken) Spend(context.Context, [32]byte, time.Time) (bool, error) { return true, errBroken }
func (broken) Redeem(context.Context, string, time.Time) error          { return errBroken }

// The registry's own failures are not the token's fault, and never let it pass.
func TestVerifierFailures(t *testing.T) {
	request := without(yankRequest, func(r *Request) { r.Challenge = "c" })
	for name, change := range map[string]func(*Verifier){
		"keys":       func(v *Verifier) { v.Keys = broken{} },
		"spent":      func(v *Verifier) { v.Spent = broken{} },
		"challenges": func(v *Verifier) { v.Challenges = broken{} },
	} {
		v, _ := newVerifier(t)
		change(v)
		if _, err := v.Authenticate(t.Context(), mustMint(t, keys.P384, request), Yank, testTime); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Verifier, keyTable, keys.ID){
		"no index":   func(v *Verifier, _ keyTable, _ keys.ID) { v.Index = "" },
		"no keys":    func(v *Verifier, _ keyTable, _ keys.ID) { v.Keys = nil },
		"no spent":   func(v *Verifier, _ keyTable, _ keys.ID) { v.Spent = nil },
		"no account": func(_ *Verifier, table keyTable, id keys.ID) { k := table[id]; k.Account = ""; table[id] = k },
		"no public": func(_ *Verifier, table keyTable, id keys.ID) {
			k := table[id]
			k.Public = keys.PublicKey{}
			table[id] = k
		},
	} {
		v, table := newVerifier(t)
		change(v, table, testKey(t, keys.P384).Public().ID())
		if _, err := v.Authenticate(t.Context(), mustMint(t, keys.P384, yankRequest), Yank, testTime); codeOf(err) != "not a refusal" {
			t.Errorf("%s: %v", name, err)
		}
	}
	v, _ := newVerifier(t)
	if _, err := v.Authenticate(t.Context(), mustMint(t, keys.P384, readRequest), "delete", testTime); codeOf(err) != "not a refusal" {
		t.Errorf("an operation that there is not: %v", err)
	}
}

// One token sent many times at once serves once, its P-384 twin included.
func TestOneTokenAtOnce(t *testing.T) {
	v, _ := newVerifier(t)
	text := mustMint(t, keys.P384, yankRequest)
	tok, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{text, join(keys.P384, string(tok.payload), twin(tok.signature), string(tok.footer))}
	codes := make(chan Code, 20)
	var wait sync.WaitGroup
	for i := range cap(codes) {
		wait.Go(func() {
			_, err := v.Authenticate(t.Context(), texts[i%2], Yank, testTime)
			codes <- codeOf(err)
		})
	}
	wait.Wait()
	close(codes)
	count := map[Code]int{}
	for code := range codes {
		count[code]++
	}
	if count[""] != 1 || count[CodeReplayed] != cap(codes)-1 {
		t.Errorf("outcomes %v", count)
	}
}

func TestReplayed(t *testing.T) {
	v, _ := newVerifier(t)
	text := mustMint(t, keys.Ed25519, ownersRequest)
	g, err := v.Authenticate(t.Context(), text, Owners, testTime)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Authenticate(t.Context(), text, Owners, testTime.Add(5*time.Minute))
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Code != CodeReplayed || refusal.Used == nil {
		t.Fatalf("the second time: %v", err)
	}
	if want := (Used{ReplayKey: g.ReplayKey, Account: g.Account, Claims: g.Claims}); *refusal.Used != want {
		t.Errorf("used %+v, want %+v", *refusal.Used, want)
	}
}

// Once its signature verifies, a mutation token is used up, whatever comes of it.
func TestSpentWhateverTheOutcome(t *testing.T) {
	early := testTime.Add(-time.Minute)
	for name, first := range map[string]struct {
		request Request
		op      Operation
		at      time.Time
		code    Code
	}{
		"wrong operation": {yankRequest, Unyank, testTime, CodeWrongOperation},
		"for a read":      {yankRequest, Read, testTime, CodeWrongOperation},
		"wrong subject":   {without(yankRequest, func(r *Request) { r.Subject = "s" }), Yank, testTime, CodeWrongSubject},
		"too early":       {yankRequest, Yank, early, CodeNotYetValid},
	} {
		v, _ := newVerifier(t)
		text := mustMint(t, keys.Ed25519, first.request)
		if _, err := v.Authenticate(t.Context(), text, first.op, first.at); codeOf(err) != first.code {
			t.Errorf("%s: %v, want %s", name, err, first.code)
		}
		if _, err := v.Authenticate(t.Context(), text, Yank, testTime); codeOf(err) != CodeReplayed {
			t.Errorf("%s, afterwards: %v", name, err)
		}
	}
}

// A token whose signature does not verify, or that is for elsewhere, spends nothing: else anybody
// could use up the tokens of others.
func TestNotSpent(t *testing.T) {
	v, _ := newVerifier(t)
	text := mustMint(t, keys.Ed25519, yankRequest)
	bad := forgeSignature(t, text, mustMint(t, keys.Ed25519, unyankRequest))
	if _, err := v.Authenticate(t.Context(), bad, Yank, testTime); codeOf(err) != CodeSignature {
		t.Fatalf("bad signature: %v", err)
	}
	if _, err := v.Authenticate(t.Context(), text, Yank, testTime); err != nil {
		t.Errorf("after a forgery: %v", err)
	}
}

func TestChallenge(t *testing.T) {
	v, _ := newVerifier(t)
	v.Challenges = &oneChallenge{}
	request := without(yankRequest, func(r *Request) { r.Challenge = "issued" })
	for _, want := range []Code{"", CodeChallengeInvalid} {
		if _, err := v.Authenticate(t.Context(), mustMint(t, keys.Ed25519, request), Yank, testTime); codeOf(err) != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := v.Authenticate(t.Context(), mustMint(t, keys.Ed25519, readRequest), Read, testTime); err != nil {
		t.Errorf("a read needs no challenge: %v", err)
	}
}
