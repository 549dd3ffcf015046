// A registry that lies, seen from outside: every command against every lie. It is found out, in a sentence that
// says what was expected and what came; nothing is signed, and nothing is changed.

package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/keys"
)

// distrusted is the exit code where a registry contradicts what a machine has verified.
const distrusted = 7

// A lie is what one registry does, and what a sentence about it says.
type lie struct {
	name           string
	tell           func(l *liar)
	expected, came string
	// about are the commands that meet the lie; nil: all that ask for the keyset.
	about []string
}

// commands are what the user of a machine runs. A name of several words is the command itself.
func (s *scene) commands(machine string) map[string][]string {
	switch machine {
	case "six": // the laptop that has seen version 6
		return map[string][]string{"approve": {"approve", s.code, "--registry", "lab", "--yes"}}
	case "laptop":
		return map[string][]string{
			"enroll":           {"enroll", "--registry", "lab", "--key", "new", "--yes"},
			"approve":          {"approve", s.code, "--registry", "lab", "--yes"},
			"rotate":           {"rotate", "--registry", "lab", "--key", "laptop", "--yes", "--none"},
			"rotate --all":     {"rotate", "--all", "--key", "laptop", "--yes", "--none"},
			"rotate --dry-run": {"rotate", "--all", "--key", "laptop", "--dry-run"},
			"revoke another":   {"revoke", "ci", "--registry", "lab", "--yes"},
			"revoke itself":    {"revoke", "laptop", "--registry", "lab", "--yes", "--force-last"},
			"sync":             {"sync", "--registry", "lab"},
			"renew":            {"renew", "ci", "--registry", "lab", "--until", "60d", "--yes"},
			"keyset show":      {"keyset", "show", "--registry", "lab"},
			"keyset edit":      {"keyset", "edit", "ci", "--registry", "lab", "--can", "publish", "--yes"},
			"keyset retire":    {"keyset", "edit", "ci", "--registry", "lab", "--retire", "--yes"},
			"keyset verify":    {"keyset", "verify", "--registry", "lab"},
			"history":          {"history", "--registry", "lab"},
			"history --key":    {"history", "--registry", "lab", "--key", "ci"},
			"status --online":  {"status", "--online"},
			"status --check":   {"status", "--online", "--check", "--json"},
			"doctor --online":  {"doctor", "--online"},
			"enroll as":        {"enroll", "--registry", "lab", "--key", "new", "--account", "crates-team", "--yes"},
			"init --backup":    {"init", "safe", "--backup", "--registry", "lab", "--file", filepath.Join(s.machines["laptop"].Dir, "safe.age"), "--yes"},
		}
	case "rotating":
		return map[string][]string{
			"rotate --resume":  {"rotate", "--resume", "--yes"},
			"rotate --abandon": {"rotate", "--abandon", "--yes"},
			"rotate again":     {"rotate", "--registry", "lab", "--key", "laptop", "--yes", "--none"},
			"sync":             {"sync", "--registry", "lab"},
			"revoke":           {"revoke", "ci", "--registry", "lab", "--yes"},
		}
	case "asking":
		return map[string][]string{
			"enroll --join":    {"enroll", "--registry", "lab", "--account", "crates-team", "--join", "--insecure-http"},
			"enroll --no-wait": {"enroll", "--registry", "lab", "--account", "crates-team", "--join", "--no-wait", "--insecure-http"},
		}
	case "tablet":
		return map[string][]string{
			"enroll --join": {"enroll", "--registry", "lab", "--account", "crates-team", "--join", "--insecure-http"},
			"enroll --keyset-code": {
				"enroll", "--registry", "lab", "--account", "crates-team", "--insecure-http",
				"--keyset-code", enroll.ProposalCode(s.chain[5].Text),
			},
		}
	case "newcomer":
		return map[string][]string{
			"enroll --code-stdin": {"enroll", "--registry", "lab", "--account", "newcomers", "--code-stdin", "--insecure-http"},
		}
	case "restored":
		return map[string][]string{
			"enroll --join": {"enroll", "--registry", "lab", "--account", "crates-team", "--key", "laptop", "--join", "--insecure-http"},
		}
	}
	return nil
}

// TestLyingRegistry is the matrix for a machine that has pinned a keyset.
func TestLyingRegistry(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	t.Run("asking nobody", s.askingNobody)
	for _, lie := range s.lies() {
		t.Run(lie.name, func(t *testing.T) {
			t.Parallel()
			s.liedTo(t, "laptop", lie)
		})
	}
}

// askingNobody runs what needs no registry, and so can't be lied to.
func (s *scene) askingNobody(t *testing.T) {
	l := newLiar(t, s.address)
	m := s.victim(t, "laptop", l)
	for _, args := range [][]string{
		{"status"}, {"doctor"}, {"keyset", "pins"}, {"keyset", "show", "--registry", "lab", "--offline"},
		{"use", "ci", "--registry", "lab", "--for", "yank"}, {"use", "--registry", "lab", "--for", "yank", "--reset"},
		{"export", "cargo", "--registry", "lab"},
	} {
		ends(t, m, 0, "", "", "regkey", args...)
	}
	if requests, _ := l.forget(); len(requests) > 0 {
		t.Errorf("asked %+v", requests)
	}
}

// liedTo runs every command of a machine that meets the lie.
func (s *scene) liedTo(t *testing.T, machine string, lie lie) {
	l := newLiar(t, s.address)
	lie.tell(l)
	m := s.victim(t, machine, l)
	before := tree(t, m)
	for name, args := range s.commands(machine) {
		if lie.about != nil && !mentions(lie.about, name) {
			continue
		}
		result, err := m.Run(t.Context(), "", s.invite, "regkey", args...)
		if err != nil {
			t.Fatal(err)
		}
		requests, strayed := l.forget()
		said := result.Stderr
		if strings.HasPrefix(name, "doctor") {
			said += result.Stdout
		}
		if result.Exit != distrusted {
			t.Errorf("%s: exit %d\n%s%s", name, result.Exit, result.Stdout, result.Stderr)
		}
		for _, part := range []string{lie.expected, lie.came, s.index} {
			if !oneSentence(said, lie.expected, part) {
				t.Errorf("%s: no sentence says %q:\n%s", name, part, said)
			}
		}
		if changed := differences(before, tree(t, m)); changed != "" {
			// That a rotation is being given up is written down before anything else.
			if name != "rotate --abandon" || strings.Contains(changed, " ") || !strings.Contains(changed, "/journal/") {
				t.Errorf("%s changed %s", name, changed)
			}
			m = s.victim(t, machine, l)
			before = tree(t, m)
		}
		s.sentNothing(t, name, requests)
		if len(strayed) > 0 {
			t.Errorf("%s went elsewhere: %q", name, strayed)
		}
	}
}

// oneSentence reports whether a line of the text has both parts.
func oneSentence(text, a, b string) bool {
	for line := range strings.Lines(text) {
		if strings.Contains(line, a) && strings.Contains(line, b) {
			return true
		}
	}
	return false
}

func mentions(all []string, name string) bool {
	for _, prefix := range all {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// sentNothing fails if a document was sent that did not stand before.
func (s *scene) sentNothing(t *testing.T, name string, requests []lab.Captured) {
	t.Helper()
	for _, r := range requests {
		if r.Method != http.MethodPost {
			continue
		}
		known := strings.Contains(string(r.Body), strings.ReplaceAll(s.revoked[0], "\n", `\n`)) || string(r.Body) == s.waiting
		for _, k := range s.chain {
			// JSON has the note with its line breaks written out.
			known = known || strings.Contains(string(r.Body), strings.ReplaceAll(string(k.Note), "\n", `\n`))
		}
		if !known {
			t.Errorf("%s sent %s %.200s", name, r.Path, r.Body)
		}
	}
}

// victim is a copy of the machine that is lied to and can't sign.
func (s *scene) victim(t *testing.T, machine string, by *liar) *lab.Lab {
	t.Helper()
	at := *s
	at.t = t
	m := at.copied(s.machines[machine])
	spoil(t, m)
	m.Env = by.env()
	return m
}

// latest tells another keyset as the one that stands, and beyond it what shows after a version.
func latest(k *enroll.SignedKeyset, batch ...*enroll.SignedKeyset) func(l *liar) {
	return func(l *liar) {
		l.lie = func(r *http.Request, honest told) told {
			switch {
			case asksLatest(r):
				return honest.with(func(m map[string]any) { m["note"] = string(k.Note) })
			case asksKeysets(r) && len(batch) > 0 && r.URL.Query().Get("from") != "1":
				notes := []any{}
				for _, k := range batch {
					notes = append(notes, string(k.Note))
				}
				return honest.with(func(m map[string]any) { m["notes"], m["more"] = notes, false })
			}
			return honest
		}
	}
}

// answering changes the answers to some questions.
func answering(asks func(*http.Request) bool, change func(map[string]any)) func(l *liar) {
	return func(l *liar) {
		l.lie = func(r *http.Request, honest told) told {
			if !asks(r) {
				return honest
			}
			return honest.with(change)
		}
	}
}

// lies are all that the laptop can meet, which has pinned version 4 where version 6 stands.
func (s *scene) lies() []lie {
	laptop, stranger := openKey(s.t, s.machines["laptop"], "laptop"), strangersKey(s.t)
	same := func(*enroll.Keyset) {}
	slipped := func(k *enroll.Keyset) {
		k.Keys = append(k.Keys, enroll.Entry{Key: stranger.Public(), Can: enroll.CanEverything})
	}
	pinned, stands := s.chain[3], s.chain[5]
	forked := s.after(s.chain[2], func(k *enroll.Keyset) { k.Keys[0].Crates = []string{"bar-*"} }, laptop)
	beyond := s.after(forked, same, laptop)
	unknown := s.after(pinned, same, laptop, stranger)
	theft := s.after(pinned, slipped, stranger)
	unasked := s.after(pinned, slipped, laptop)
	named := func(k *enroll.SignedKeyset) string { return k.Hash().String() }
	fork := s.after(s.chain[4], func(k *enroll.Keyset) { k.Keys[0].Crates = []string{"bar-*"} }, laptop)
	return []lie{
		{name: "rolled back", tell: latest(s.chain[2]), expected: "expected was version 4 (" + named(pinned), came: "version 3 (" + named(s.chain[2])},
		{name: "rolled back to the first", tell: latest(s.chain[0]), expected: "expected was version 4 (" + named(pinned), came: "version 1 (" + named(s.chain[0])},
		{name: "another version 4", tell: latest(forked), expected: "expected was version 4 (" + named(pinned), came: "version 4 (" + named(forked)},
		{name: "a forked history", tell: latest(beyond, beyond), expected: "expected was version 5", came: "the hash " + named(forked)},
		{name: "a key slipped in", tell: latest(theft, theft), expected: "expected was version 5", came: "no key that may manage"},
		{name: "a key that never signed", tell: latest(unasked, unasked), expected: "expected was version 5", came: "has not signed it"},
		{name: "an unknown signer", tell: latest(unknown, unknown), expected: "expected was version 5", came: "a signature by " + stranger.Public().ID().String()},
		{name: "latest and batch differ", tell: latest(stands, s.chain[4], fork), expected: "expected was version 6 (" + named(stands), came: "version 6 (" + named(fork)},
		{name: "a hole", tell: latest(stands, stands), expected: "expected was version 5", came: "version 6"},
		{name: "nothing before it", tell: answering(asksKeysets, func(m map[string]any) { m["notes"] = []any{} }), expected: "expected was version", came: "nothing came"},
		{
			name: "a hidden revocation", tell: answering(asksLatest, func(m map[string]any) { m["revocations"] = []any{} }),
			expected: "expected was that of k4.pid.", came: "a list of 0",
		},
		{name: "an account swapped", tell: answering(asksLatest, func(m map[string]any) { m["note"] = s.other }), expected: "the account crates-team at", came: "that of friend"},
		{
			name: "an account gone", tell: func(l *liar) {
				l.lie = func(r *http.Request, honest told) told {
					if asksLatest(r) || asksKeysets(r) {
						return told{http.StatusNotFound, honest.header, []byte(`{"errors":[{"detail":"there is no such account","code":"account-unknown"}]}`)}
					}
					return honest
				}
			},
			expected: "expected was version 4 (" + named(pinned), came: "no such account",
		},
		{name: "rubbish", tell: answering(asksLatest, func(m map[string]any) { m["note"] = "rubbish" }), expected: "the signed keyset of crates-team", came: "something else"},
		{
			name: "another index", tell: answering(asksDiscovery, func(m map[string]any) { m["regkey"].(map[string]any)["index"] = "sparse+http://evil.test/index/" }),
			expected: s.index, came: "sparse+http://evil.test/index/",
		},
		{
			name: "a move", tell: answering(asksDiscovery, func(m map[string]any) {
				d := m["regkey"].(map[string]any)
				d["index"], d["former"] = "sparse+http://evil.test/index/", []any{s.index}
			}),
			expected: s.index, came: "sparse+http://evil.test/index/",
		},
		{
			name: "the history's middle replaced", tell: func(l *liar) {
				l.lie = func(r *http.Request, honest told) told {
					if !asksKeysets(r) || r.URL.Query().Get("from") != "1" {
						return honest
					}
					return honest.with(func(m map[string]any) { m["notes"].([]any)[3] = string(forked.Note) })
				}
			},
			expected: "expected was version 5", came: "the hash " + named(pinned), about: []string{"history", "keyset verify"},
		},
		{name: "redirects elsewhere", tell: redirecting("http://evil.test", asksAPI), expected: "http://" + liedAbout, came: "http://evil.test"},
		{name: "redirects at once", tell: redirecting("http://evil.test", func(*http.Request) bool { return true }), expected: "http://" + liedAbout, came: "http://evil.test"},
		{name: "redirects to https", tell: redirecting("https://"+liedAbout, asksAPI), expected: "http://" + liedAbout, came: "https://" + liedAbout},
		{name: "endless", tell: endless(asksLatest), expected: "16777216 bytes", came: "more"},
		{name: "endless from the start", tell: endless(asksDiscovery), expected: "1048576 bytes", came: "more"},
	}
}

func strangersKey(t *testing.T) *keys.SoftwareKey {
	t.Helper()
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// redirecting sends whoever asks elsewhere, with all that they brought.
func redirecting(origin string, asks func(*http.Request) bool) func(l *liar) {
	return func(l *liar) {
		l.instead = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Host != liedAbout || !asks(r) {
				return false
			}
			w.Header().Set("Location", origin+r.URL.RequestURI())
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}
	}
}

// endless begins to answer and does not end.
func endless(asks func(*http.Request) bool) func(l *liar) {
	return func(l *liar) {
		l.instead = func(w http.ResponseWriter, r *http.Request) bool {
			if !asks(r) {
				return false
			}
			chunk := []byte(`{"note":"` + strings.Repeat("A", 1<<16))
			for err := error(nil); err == nil; {
				_, err = w.Write(chunk)
			}
			return true
		}
	}
}
