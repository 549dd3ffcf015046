// The credential provider, under the real cargo, where the registry lies.

package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/lab"
)

// TestLyingToCargo publishes and yanks where the registry wants a challenge in each token, and lies about it: no
// token is made. Where it lies to cargo alone, tokens are good at the index URL that was enrolled, and nowhere
// else.
func TestLyingToCargo(t *testing.T) {
	needCargo(t)
	t.Parallel()
	s := newScene(t, "--challenge")
	asksChallenge := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/challenge") }
	challenge := func(text string) func(l *liar) {
		return answering(asksChallenge, func(m map[string]any) { m["challenge"] = text })
	}
	for _, lie := range []lie{
		{name: "no challenge", tell: challenge(""), expected: "the registry sent none"},
		{name: "one that steers a terminal", tell: challenge("\x1b[31mred"), expected: "the registry sent none"},
		{name: "one that is too long", tell: challenge(strings.Repeat("A", 2000)), expected: "the registry sent none"},
		{name: "redirects", tell: redirecting("http://evil.test", asksChallenge), expected: "expected was an answer of http://" + liedAbout, came: "http://evil.test"},
		{name: "endless", tell: endless(asksChallenge), expected: "expected was an answer of at most 1048576 bytes", came: "more came"},
		{
			name: "another index", tell: answering(asksDiscovery, func(m map[string]any) { m["regkey"].(map[string]any)["index"] = "sparse+http://evil.test/index/" }),
			expected: "expected was the index " + s.index, came: "sparse+http://evil.test/index/ came",
		},
	} {
		t.Run(lie.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t, s.address)
			lie.tell(l)
			m := s.cargoUser(t, l)
			before := tree(t, m)
			crate := sample(t, m, "one", "0.1.0")
			for _, args := range [][]string{
				{"publish", "--registry", "lab", "--no-verify"}, {"yank", "--registry", "lab", "--version", "0.1.0", "one"},
			} {
				result := ends(t, m, 101, crate, "", "cargo", args...)
				if !oneSentence(strings.Join(strings.Fields(result.Stderr), " "), lie.expected, lie.came) {
					t.Errorf("%s: no sentence says %q and %q:\n%s", args[0], lie.expected, lie.came, result.Stderr)
				}
			}
			requests, strayed := l.forget()
			for _, r := range requests {
				if r.Token != "" {
					t.Errorf("a token was made for %s %s", r.Method, r.Path)
				}
			}
			if len(strayed) > 0 {
				t.Errorf("went to %q", strayed)
			}
			if changed := differences(before, tree(t, m)); changed != "" {
				t.Errorf("changed %s", changed)
			}
		})
	}
	t.Run("leading cargo elsewhere", func(t *testing.T) {
		l := newLiar(t, s.address)
		l.lie = func(r *http.Request, honest told) told {
			if !asksDiscovery(r) {
				return honest
			}
			return honest.with(func(m map[string]any) { m["api"] = "http://evil.test" })
		}
		m := s.cargoUser(t, l)
		crate := sample(t, m, "two", "0.1.0")
		// The registry that is meant takes what was signed for it, whoever has passed it on.
		_, err := m.Run(t.Context(), crate, "", "cargo", "publish", "--registry", "lab", "--no-verify")
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		requests, _ := l.forget()
		for _, r := range requests {
			if r.Token == "" {
				continue
			}
			seen++
			if url := footerURL(t, r.Token); url != s.index {
				t.Errorf("a token for %s", url)
			}
		}
		if seen == 0 {
			t.Error("no token was seen")
		}
	})
}

// cargoUser is the laptop with keys that sign, whose cargo goes through the liar.
func (s *scene) cargoUser(t *testing.T, by *liar) *lab.Lab {
	t.Helper()
	at := *s
	at.t = t
	m := at.copied(s.machines["six"])
	m.Env = append(by.env(), "CARGO_NET_RETRY=0")
	// cargo's own caches lie elsewhere, so that the home shows what regkey changes.
	config := filepath.Join(m.CargoHome(), "config.toml")
	m.Env = append(m.Env, "CARGO_HOME="+filepath.Join(m.Dir, "cargo"))
	if err := m.WriteFile(filepath.Join("cargo", "config.toml"), read(t, config)); err != nil {
		t.Fatal(err)
	}
	return m
}

// footerURL is the registry that a token names.
func footerURL(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 4 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	_, rest, found := strings.Cut(string(decode64(t, parts[3])), `"url":"`)
	url, _, ends := strings.Cut(rest, `"`)
	if !found || !ends {
		t.Fatal("a token that names no registry")
	}
	return url
}

// TestRedirectedReader lets a registry that wants a token for reading send its readers elsewhere.
func TestRedirectedReader(t *testing.T) {
	t.Parallel()
	s := &scene{t: t, machines: map[string]*lab.Lab{}}
	s.open("--auth-required")
	m := s.honest("laptop")
	s.name(m)
	s.run(m, "", "init", "laptop", "--none")
	s.run(m, s.inviteFor("crates-team"), "enroll", "--registry", "lab", "--key", "laptop", "--account", "crates-team", "--code-stdin", "--insecure-http")
	for _, origin := range []string{"http://evil.test", "http://" + liedAbout + ":81", "https://" + liedAbout} {
		l := newLiar(t, s.address)
		redirecting(origin, func(r *http.Request) bool { return asksAPI(r) && r.Header.Get("Authorization") != "" })(l)
		m.Env = l.env()
		before := tree(t, m)
		for _, args := range [][]string{{"sync", "--registry", "lab"}, {"history", "--registry", "lab"}, {"rotate", "--registry", "lab", "--yes", "--none"}} {
			result := ends(t, m, distrusted, "", "", "regkey", args...)
			contains(t, "the sentence", result.Stderr, "expected was an answer of http://"+liedAbout+", and a redirect to \""+origin+"\" came")
		}
		requests, strayed := l.forget()
		if len(strayed) > 0 {
			t.Errorf("went to %q", strayed)
		}
		if len(requests) == 0 {
			t.Error("nothing was asked")
		}
		if changed := differences(before, tree(t, m)); changed != "" {
			t.Errorf("changed %s", changed)
		}
	}
}
