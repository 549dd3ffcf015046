// Attestations over HTTP: what is verified, what a policy refuses, and what is shown of a key in hardware.

package registry_test

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registryclient"
)

var (
	v435 = [3]byte{4, 3, 5}
	v543 = [3]byte{5, 4, 3}
	v574 = [3]byte{5, 7, 4}
)

func policy(p registry.HardwarePolicy) func(*registry.Config) {
	return func(c *registry.Config) { c.Hardware = p }
}

// begin invites the account and submits its first keyset.
func (l *lab) begin(name string, status int, code string, chains [][][]byte, entries []enroll.Entry, signers ...keys.Signer) (a *account, detail string) {
	l.t.Helper()
	secret, _, err := l.operator.Invite(l.t.Context(), name, time.Hour)
	check(l.t, err)
	invite, err := enroll.InviteKey(secret)
	check(l.t, err)
	a = &account{lab: l, name: name}
	return a, a.attest(a.draft(entries...), status, code, chains, append(signers, invite)...)
}

// attest is submit with attestations, through the client that users have.
func (a *account) attest(k *enroll.Keyset, status int, code string, chains [][][]byte, signers ...keys.Signer) string {
	a.lab.t.Helper()
	signed, err := enroll.SignKeyset(a.lab.t.Context(), k, signers...)
	check(a.lab.t, err)
	err = registryclient.New(a.lab.server.Index(), registryclient.Options{}).
		Submit(a.lab.t.Context(), a.name, enroll.Submission{Note: signed.Note, Attestations: chains})
	if err == nil {
		a.standing = signed
		if code != "" {
			a.lab.t.Errorf("accepted, want %d %s", status, code)
		}
		return ""
	}
	refused, ok := err.(*registryclient.Error)
	if !ok || refused.Status != status || refused.Code != code {
		a.lab.t.Errorf("%v, want %d %s", err, status, code)
		return ""
	}
	return refused.Detail
}

func may(key keys.Signer, can enroll.Can) enroll.Entry {
	return enroll.Entry{Key: key.Public(), Can: can}
}

// What a token says of its key is shown to clients, and stays when the key is dropped.
func TestAttestedKey(t *testing.T) {
	for _, c := range []struct {
		algorithm keys.Algorithm
		firmware  [3]byte
		touch     virtualpiv.Policy
		want      string
	}{
		{keys.Ed25519, v574, virtualpiv.TouchCached, `{"serial":12345678,"firmware":"5.7.4","slot":"9a","pin":"once","touch":"cached","form":"USB-C keychain"}`},
		{keys.P384, v543, virtualpiv.TouchAlways, `{"serial":12345678,"firmware":"5.4.3","slot":"9a","pin":"once","touch":"always","form":"USB-C keychain"}`},
		{keys.P384, v435, virtualpiv.Never, `{"serial":12345678,"firmware":"4.3.5","slot":"9a","pin":"once","touch":"never","form":"USB-C keychain"}`},
	} {
		l := newLab(t, policy(registry.HardwarePolicy{Required: true, Roots: roots()}))
		yk, reader, next := newHardKey(t, c.algorithm, 12345678, c.firmware, c.touch), generate(t, keys.Ed25519), newHardKey(t, keys.P384, 2, v574, virtualpiv.TouchCached)
		a, _ := l.begin("team", 0, "", [][][]byte{yk.chain}, []enroll.Entry{may(yk, enroll.CanEverything), may(reader, enroll.Read)}, yk, reader)
		shown := l.want(l.ask("GET", api+"/keys/"+yk.Public().ID().String(), "", nil), 200, "")
		if !strings.Contains(string(shown.body), `"hardware":`+c.want) {
			t.Errorf("shown is %s", shown)
		}
		if shown := l.ask("GET", api+"/keys/"+reader.Public().ID().String(), "", nil); strings.Contains(string(shown.body), "hardware") {
			t.Errorf("of a software key is shown %s", shown)
		}
		a.attest(a.draft(may(next, enroll.CanEverything)), 0, "", [][][]byte{next.chain}, yk, next)
		state, err := registryclient.New(l.server.Index(), registryclient.Options{}).Key(t.Context(), yk.Public().ID())
		check(t, err)
		if h := state.Hardware; h == nil || h.Serial != 12345678 || len(state.Can) != 0 {
			t.Errorf("of the dropped key is shown %+v %+v", state, h)
		}
	}
}

func TestHardwarePolicy(t *testing.T) {
	old := newHardKey(t, keys.P384, 1, v543, virtualpiv.TouchAlways)
	untouched := newHardKey(t, keys.Ed25519, 2, v574, virtualpiv.Never)
	good := newHardKey(t, keys.Ed25519, 3, v574, virtualpiv.TouchCached)
	soft := generate(t, keys.Ed25519)
	required := registry.HardwarePolicy{Required: true, Roots: roots()}
	touch := registry.HardwarePolicy{Touch: true, Roots: roots()}
	firmware := registry.HardwarePolicy{MinFirmware: attestation.Version{Major: 5, Minor: 7}, Roots: roots()}
	strangers := registry.HardwarePolicy{Required: true} // trusts Yubico alone
	for _, c := range []struct {
		name   string
		policy registry.HardwarePolicy
		key    keys.Signer
		chains [][][]byte
		code   string
		detail string
	}{
		{"none", registry.HardwarePolicy{}, soft, nil, "", ""},
		{"none, and hardware", registry.HardwarePolicy{Roots: roots()}, untouched, [][][]byte{untouched.chain}, "", ""},
		{"none, and another maker's", registry.HardwarePolicy{}, good, [][][]byte{good.chain}, "", ""},
		{"software", required, soft, nil, "attestation-missing", "may manage,publish,yank,owners, which this registry allows only to keys in hardware"},
		{"hardware without attestation", required, good, nil, "attestation-missing", "regkey init NAME --hardware"},
		{"hardware", required, untouched, [][][]byte{untouched.chain}, "", ""},
		{"another maker's", strangers, good, [][][]byte{good.chain}, "attestation-invalid", "not by a maker whom this registry trusts"},
		{"without touch", touch, untouched, [][][]byte{untouched.chain}, "attestation-touch", "in token 2 signs without a touch (touch policy never)"},
		{"touch always", touch, old, [][][]byte{old.chain}, "", ""},
		{"touch cached", touch, good, [][][]byte{good.chain}, "", ""},
		{"software, and touch is asked for", touch, soft, nil, "attestation-missing", ""},
		{"old firmware", firmware, old, [][][]byte{old.chain}, "attestation-firmware", "in token 1 with firmware 5.4.3, and this registry asks for 5.7.0 or later"},
		{"new firmware", firmware, good, [][][]byte{good.chain}, "", ""},
		{"another's attestation", required, soft, [][][]byte{good.chain}, "attestation-unknown-key", good.Public().ID().String()},
		{"another's attestation, unasked", registry.HardwarePolicy{}, soft, [][][]byte{good.chain}, "attestation-unknown-key", ""},
		{"another's and one's own", required, good, [][][]byte{good.chain, old.chain}, "attestation-unknown-key", old.Public().ID().String()},
		{"no statement", registry.HardwarePolicy{}, good, [][][]byte{good.chain[1:]}, "attestation-invalid", ""},
		{"no certificate", registry.HardwarePolicy{}, good, [][][]byte{{[]byte("certificate")}}, "attestation-invalid", ""},
		{"incomplete", required, good, [][][]byte{good.chain[:2]}, "attestation-invalid", ""},
		{"out of order", required, good, [][][]byte{{good.chain[0], good.chain[2], good.chain[1]}}, "attestation-invalid", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, policy(c.policy))
			status := map[bool]int{true: 0, false: 403}[c.code == ""]
			a, detail := l.begin("team", status, c.code, c.chains, []enroll.Entry{may(c.key, enroll.CanEverything)}, c.key)
			if (a.standing == nil) != (c.code != "") || !strings.Contains(detail, c.detail) {
				t.Errorf("refused with %q, want %q", detail, c.detail)
			}
			if invite, err := l.db.Invite(t.Context(), "team"); (err == nil) != (c.code != "") {
				t.Errorf("the code is open: %v, %v", invite, err)
			}
		})
	}
}

// A statement that was changed is nobody's, whichever byte it is.
func TestForgedAttestation(t *testing.T) {
	good := newHardKey(t, keys.Ed25519, 3, v574, virtualpiv.TouchCached)
	l := newLab(t, policy(registry.HardwarePolicy{Required: true, Roots: roots()}))
	secret, _, err := l.operator.Invite(t.Context(), "team", time.Hour)
	check(t, err)
	invite, err := enroll.InviteKey(secret)
	check(t, err)
	a := &account{lab: l, name: "team"}
	next := a.draft(may(good, enroll.CanEverything))
	signed, err := enroll.SignKeyset(t.Context(), next, good, invite)
	check(t, err)
	for at := 0; at < len(good.chain[0]); at += 41 {
		forged := slices.Clone(good.chain[0])
		forged[at] ^= 1
		l.clock.pass(time.Second) // failures are counted
		body := submissionBody(t, string(signed.Note), [][]string{{encode(forged), encode(good.chain[1]), encode(good.chain[2])}})
		got := l.ask("POST", api+"/accounts/team/keysets", "", body)
		if got.status != 403 || !strings.HasPrefix(got.code, "attestation-") {
			t.Fatalf("with byte %d changed: %v", at, got)
		}
	}
	a.attest(next, 0, "", [][][]byte{good.chain}, good, invite)
}

func encode(der []byte) string { return base64.StdEncoding.EncodeToString(der) }

func submissionBody(t *testing.T, note string, chains any) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]any{"note": note, "attestation": chains})
	check(t, err)
	return body
}

// Bodies that no client makes are refused before anything is judged.
func TestAttestationBodies(t *testing.T) {
	good := newHardKey(t, keys.Ed25519, 3, v574, virtualpiv.TouchCached)
	leaf := encode(good.chain[0])
	loose := []byte(strings.TrimRight(leaf, "="))
	if len(loose) == len(leaf) {
		loose = nil // no bits to spare in this one
	} else {
		loose[len(loose)-1]++
	}
	large := encode(make([]byte, attestation.MaxCertificateSize+1))
	cases := map[string]any{
		"no list":               "x",
		"a list of texts":       []string{leaf},
		"an empty chain":        [][]string{{}},
		"an empty text":         [][]string{{""}},
		"base64url":             [][]string{{strings.NewReplacer("+", "-", "/", "_").Replace(encode([]byte{0xfb, 0xff, 0xfe}))}},
		"a line break":          [][]string{{leaf[:60] + "\n" + leaf[60:]}},
		"no padding":            [][]string{{"MAM"}},
		"a large certificate":   [][]string{{large}},
		"many certificates":     [][]string{slices.Repeat([]string{leaf}, attestation.MaxCertificates+1)},
		"many chains":           slices.Repeat([][]string{{"MAA="}}, 21),
		"numbers":               [][]int{{1}},
		"a megabyte":            [][]string{slices.Repeat([]string{large[:4096]}, 256)},
		"a megabyte in a chain": [][]string{{strings.Repeat("A", 1<<20)}},
	}
	if loose != nil {
		cases["loose bits"] = [][]string{{string(loose) + strings.Repeat("=", len(leaf)-len(loose))}}
	}
	l := newLab(t, policy(registry.HardwarePolicy{Required: true, Roots: roots()}))
	soft := generate(t, keys.Ed25519)
	a := &account{lab: l, name: "team"}
	signed, err := enroll.SignKeyset(t.Context(), a.draft(may(soft, enroll.CanEverything)), soft)
	check(t, err)
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		got := l.ask("POST", api+"/accounts/team/keysets", "", submissionBody(t, string(signed.Note), cases[name]))
		want := map[int]string{400: "attestation-invalid", 413: "note-too-large"}[got.status]
		if strings.HasPrefix(name, "a megabyte") != (got.status == 413) || got.code != want && got.code != "request-invalid" {
			t.Errorf("%s: %v", name, got)
		}
	}
	l.want(l.ask("POST", api+"/revocations", "", submissionBody(t, "x", [][]string{{leaf}})), 400, "request-invalid")
	// A stranger learns nothing of the policy, and costs no verification.
	l.want(l.ask("POST", api+"/accounts/team/keysets", "", submissionBody(t, string(signed.Note), [][]string{{leaf}})), 403, "bootstrap-invalid")
	// The largest keyset and its attestations fit.
	note := string(signed.Note) + strings.Repeat("\n", 60<<10-len(signed.Note))
	l.want(l.ask("POST", api+"/accounts/team/keysets", "", submissionBody(t, note, slices.Repeat([][]string{{leaf, leaf, leaf, leaf, leaf}}, 20))), 400, "keyset-malformed")
}

// Nobody gets round the policy by enrolling a key that only reads and widening it later; what stood before the policy stays.
func TestPolicyIsForWhatGains(t *testing.T) {
	l := newLab(t)
	laptop, reader, publisher := generate(t, keys.Ed25519), generate(t, keys.Ed25519), generate(t, keys.P384)
	a := l.enrol("team", laptop)
	manages := may(laptop, enroll.CanEverything)
	a.attest(a.draft(manages, may(publisher, enroll.Publish)), 0, "", nil, laptop, publisher)
	l.open(policy(registry.HardwarePolicy{Required: true, Roots: roots()}))

	a.attest(a.draft(manages, may(publisher, enroll.Publish), may(reader, enroll.Read)), 0, "", nil, laptop, reader)
	a.attest(a.draft(manages, may(publisher, enroll.Publish), may(reader, enroll.Publish|enroll.Read)), 403, "attestation-missing", nil, laptop)
	a.attest(a.draft(manages, may(publisher, enroll.Publish|enroll.Yank), may(reader, enroll.Read)), 403, "attestation-missing", nil, laptop)
	a.attest(a.draft(manages, may(publisher, enroll.Publish|enroll.Read), may(reader, enroll.Read)), 0, "", nil, laptop)
	other := generate(t, keys.Ed25519)
	a.attest(a.draft(manages, may(other, enroll.Manage)), 403, "attestation-missing", nil, laptop, other)
	// One that was dropped is new when it comes back, and so needs what a new one needs.
	a.attest(a.draft(manages), 0, "", nil, laptop)
	a.attest(a.draft(manages, may(publisher, enroll.Publish)), 403, "attestation-missing", nil, laptop, publisher)
	yk := newHardKey(t, keys.P384, 7, v574, virtualpiv.TouchCached)
	a.attest(a.draft(manages, may(yk, enroll.Publish)), 0, "", [][][]byte{yk.chain}, laptop, yk)
	// What was attested once is on file.
	a.attest(a.draft(manages), 0, "", nil, laptop)
	a.attest(a.draft(may(yk, enroll.CanEverything)), 0, "", nil, laptop, yk)
	// Sent again, the keyset stands, whatever comes along this time.
	if got := l.postNote("/accounts/team/keysets", a.standing.Note); got.status != 200 {
		t.Errorf("sent again: %v", got)
	}
}

// A key that stood before the policy for some crates, or for some time, does not come to all crates, or to more time.
func TestPolicyIsForWhatGainsCratesOrTime(t *testing.T) {
	l := newLab(t)
	laptop, publisher := generate(t, keys.Ed25519), generate(t, keys.P384)
	a := l.enrol("team", laptop)
	manages := may(laptop, enroll.CanEverything)
	bounded := func(until time.Duration, crates ...string) enroll.Entry {
		e := may(publisher, enroll.Publish)
		if e.Crates = crates; until > 0 {
			e.Until = l.clock.now().Add(until).Truncate(time.Second)
		}
		return e
	}
	week, day := 7*24*time.Hour, 24*time.Hour
	a.attest(a.draft(manages, bounded(week, "bar", "foo-*")), 0, "", nil, laptop, publisher)
	l.open(policy(registry.HardwarePolicy{Required: true, Roots: roots()}))

	for _, more := range []enroll.Entry{bounded(week), bounded(week, "*"), bounded(week, "bar", "other"), bounded(0, "bar", "foo-*"), bounded(2*week, "bar")} {
		a.attest(a.draft(manages, more), 403, "attestation-missing", nil, laptop)
	}
	a.attest(a.draft(manages, bounded(day, "bar")), 0, "", nil, laptop)
}

func TestHardwareInDiscovery(t *testing.T) {
	for _, c := range []struct {
		policy registry.HardwarePolicy
		text   string
		want   registryclient.HardwareWanted
	}{
		{registry.HardwarePolicy{Roots: roots()}, "", registryclient.HardwareWanted{}},
		{registry.HardwarePolicy{Required: true}, `"hardware":{"required":true,"touch":false}`, registryclient.HardwareWanted{Required: true}},
		{registry.HardwarePolicy{Touch: true, MinFirmware: attestation.Version{Major: 5, Minor: 7}},
			`"hardware":{"required":true,"touch":true,"min-firmware":"5.7.0"}`, registryclient.HardwareWanted{Required: true, Touch: true, MinFirmware: "5.7.0"}},
	} {
		l := newLab(t, policy(c.policy))
		for _, path := range []string{"/index/config.json", "/.well-known/regkey.json"} {
			got := l.want(l.ask("GET", path, "", nil), 200, "")
			if strings.Contains(string(got.body), `"hardware"`) != (c.text != "") || !strings.Contains(string(got.body), c.text) {
				t.Errorf("%s says %s", path, got)
			}
		}
		d, err := registryclient.New(l.server.Index(), registryclient.Options{}).Discover(t.Context())
		check(t, err)
		if d.Hardware != c.want {
			t.Errorf("the client reads %+v, want %+v", d.Hardware, c.want)
		}
	}
}
