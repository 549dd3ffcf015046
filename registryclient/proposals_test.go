// Proposals and keysets by their codes, from registries that answer with something else.

package registryclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// someKeyset is a signed keyset that adds nothing to what is tested but a text and its code.
func someKeyset(t *testing.T) (note, code string) {
	t.Helper()
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	k, err := enroll.SignKeyset(t.Context(), &enroll.Keyset{
		Registry: https, Account: "team", Version: 2, Issued: time.Now().UTC().Truncate(time.Second), Keys: []enroll.Entry{{Key: key.Public(), Can: enroll.CanByDefault}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(k.Note), enroll.ProposalCode(k.Text)
}

func quoted(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestProposeBelievesOnlyItsOwnCode(t *testing.T) {
	note, code := someKeyset(t)
	_, other := someKeyset(t)
	const expires = `"expires":"2026-11-22T12:15:00Z"`
	for body, ok := range map[string]bool{
		fmt.Sprintf(`{"code":%q,%s}`, code, expires):                  true,
		fmt.Sprintf(`{"code":%q,%s}`, strings.ToUpper(code), expires): true,
		fmt.Sprintf(`{"code":%q,%s}`, other, expires):                 false,
		fmt.Sprintf(`{"code":%q,%s}`, code[:4], expires):              false,
		fmt.Sprintf(`{"code":%q}`, code):                              false,
		fmt.Sprintf(`{"code":%q,"expires":"soon"}`, code):             false,
		fmt.Sprintf(`{%s}`, expires):                                  false,
		`{}`:                                                          false, `{"version":2}`: false, `[]`: false, `<html>`: false,
	} {
		l, client, _ := newLiar(t, say(201, body))
		proposed, err := client.Propose(t.Context(), "team", enroll.Submission{Note: []byte(note)})
		if l.posts.Load() != 1 {
			t.Errorf("sent %d times", l.posts.Load())
		}
		if !ok {
			undecided(t, err)
		} else if err != nil || proposed.Code != code || proposed.Expires.IsZero() {
			t.Errorf("%s: %+v (%v)", body, proposed, err)
		}
	}
	l, client, _ := newLiar(t, say(201, "{}"))
	if _, err := client.Propose(t.Context(), "team", enroll.Submission{Note: []byte("no keyset")}); err == nil || l.asked.Load() != 0 {
		t.Errorf("%v, and %d requests: what has no code is not sent", err, l.asked.Load())
	}
}

func TestProposalIsTheOneAskedFor(t *testing.T) {
	note, code := someKeyset(t)
	other, _ := someKeyset(t)
	const expires = `"2026-11-22T12:15:00Z"`
	shown := func(changes ...string) string {
		values := map[string]string{"note": quoted(t, note), "expires": expires}
		for i := 0; i+1 < len(changes); i += 2 {
			values[changes[i]] = changes[i+1]
		}
		var parts []string
		for name, value := range values {
			if value != "" {
				parts = append(parts, fmt.Sprintf("%q:%s", name, value))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	many := func(n int, text string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(text+",", n), ",") + "]"
	}
	for name, test := range map[string]struct {
		body string
		ok   bool
	}{
		"as it is":                  {shown(), true},
		"accepted":                  {shown("accepted", `{"note":`+quoted(t, note)+`}`), true},
		"outdated":                  {shown("outdated", "true"), true},
		"attested":                  {shown("attestation", many(2, many(8, `"AAAA"`))), true},
		"another":                   {shown("note", quoted(t, other)), false},
		"no keyset":                 {shown("note", `"hello\n"`), false},
		"a keyset to colour":        {shown("note", `"\u001b[31m"`), false},
		"nothing":                   {shown("note", ""), false},
		"without an end":            {shown("expires", ""), false},
		"accepted as another":       {shown("accepted", `{"note":`+quoted(t, other)+`}`), false},
		"accepted as nothing":       {shown("accepted", `{}`), false},
		"accepted in a word":        {shown("accepted", "true"), false},
		"attested three times":      {shown("attestation", many(3, `["AAAA"]`)), false},
		"attested by nine":          {shown("attestation", many(1, many(9, `"AAAA"`))), false},
		"attested by nobody":        {shown("attestation", "[[]]"), false},
		"attested by nothing":       {shown("attestation", `[[""]]`), false},
		"attested with line breaks": {shown("attestation", `[["AA\nAA"]]`), false},
		"attested loosely":          {shown("attestation", `[["AB=="]]`), false},
		"attested at length":        {shown("attestation", `[["`+strings.Repeat("AAAA", 1400)+`"]]`), false},
	} {
		t.Run(name, func(t *testing.T) {
			l, client, _ := newLiar(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" || r.URL.Path != "/api/accounts/team/proposals/"+code {
					t.Errorf("asked for %s with %q", r.URL.Path, r.Header.Get("Authorization"))
				}
				_, _ = io.WriteString(w, test.body)
			})
			client.options.Token = func(context.Context) (string, error) { return "", errors.New("no token is needed") }
			p, err := client.Proposal(t.Context(), "team", strings.ToUpper(code))
			if !test.ok {
				undecided(t, err)
				return
			}
			if err != nil || string(p.Note) != note || p.Accepted != nil && string(p.Accepted) != note || l.asked.Load() != 1 {
				t.Errorf("%+v (%v)", p, err)
			}
		})
	}
	l, client, _ := newLiar(t, say(200, shown()))
	for _, mistyped := range []string{"", "../keysets/latest", code[1:], code + "a"} {
		if _, err := client.Proposal(t.Context(), "team", mistyped); err == nil || l.asked.Load() != 0 {
			t.Errorf("%q: %v, after %d requests", mistyped, err, l.asked.Load())
		}
	}
}

func TestKeysetByCode(t *testing.T) {
	note, code := someKeyset(t)
	other, _ := someKeyset(t)
	for body, ok := range map[string]bool{
		fmt.Sprintf(`{"note":%s,"revocations":["a","b"]}`, quoted(t, note)): true,
		fmt.Sprintf(`{"note":%s,"revocations":[]}`, quoted(t, other)):       false,
		`{"note":""}`: false, `{}`: false, `{"note":7}`: false,
	} {
		_, client, _ := newLiar(t, say(200, body))
		shown, revocations, err := client.KeysetByCode(t.Context(), "team", code)
		if !ok {
			undecided(t, err)
		} else if err != nil || string(shown) != note || len(revocations) != 2 {
			t.Errorf("%s: %q, %d revocations (%v)", body, shown, len(revocations), err)
		}
	}
	_, client, _ := newLiar(t, say(404, `{"errors":[{"code":"keyset-unknown","detail":"no"}]}`))
	_, _, err := client.KeysetByCode(t.Context(), "team", code)
	if refused, ok := errors.AsType[*Error](err); !ok || refused.Code != "keyset-unknown" {
		t.Errorf("%v, want a refusal", err)
	}
}

// A list that never ends is cut, and one that says more than it shows is no list.
func TestEndlessLists(t *testing.T) {
	id, since := someKey(t), time.Date(2026, 11, 20, 1, 2, 3, 4, time.FixedZone("", 3600))
	const version = `{"name":"a\u001b[31m","vers":"1.0.0","cksum":"ab","at":"2026-11-22T12:00:00Z","yanked":true}`
	page := func(n int) string { return strings.TrimSuffix(strings.Repeat(version+",", n), ",") }
	for name, test := range map[string]struct {
		script http.HandlerFunc
		want   int
		more   bool
		asked  int32
	}{
		"endless": {say(200, `{"published":[`+page(999)+`],"more":true}`), 10_000, true, 11},
		"one":     {say(200, `{"published":[`+version+`],"more":false}`), 1, false, 1},
		"none":    {say(200, `{"published":[],"more":false}`), 0, false, 1},
		"nothing": {say(200, `{}`), 0, false, 1},
		"broken":  {say(200, `{"published":[],"more":true}`), -1, false, 1},
		"no time": {say(200, `{"published":[{"name":"a","vers":"1","at":"today"}]}`), -1, false, 1},
		"a text":  {say(200, `{"published":"none"}`), -1, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			skip := 0
			l, client, _ := newLiar(t, func(w http.ResponseWriter, r *http.Request) {
				query := r.URL.Query()
				if got := query.Get("skip"); got != strconv.Itoa(skip) || query.Get("since") != "2026-11-20T00:02:03Z" || r.URL.Path != "/api/keys/"+id.String()+"/published" {
					t.Errorf("asked for %s", r.URL)
				}
				skip += 999
				test.script(w, r)
			})
			found, more, err := client.Published(t.Context(), id, since)
			if l.asked.Load() != test.asked {
				t.Errorf("asked %d times, want %d", l.asked.Load(), test.asked)
			}
			if test.want < 0 {
				undecided(t, err)
				return
			}
			if err != nil || len(found) != test.want || more != test.more || len(found) > 0 && (found[0].Name != "a [31m" || !found[0].Yanked) {
				t.Errorf("%d versions, more %v (%v)", len(found), more, err)
			}
		})
	}
}
