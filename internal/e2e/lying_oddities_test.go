//go:build linux

// What a hostile registry can do besides lying about keysets: draw on a terminal, answer without end or not at
// all, claim another one's accounts, and lead cargo's requests astray.

package e2e

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/cargo-regkey/regkey/enroll"
)

// hostileText colours, names the window, turns the direction of writing, and does not end.
const hostileText = "\x1b[31mred\x1b]0;title\x07\u202egnitirw\u200b\u2028next\r\nregkey: all is well\u009b2J"

// TestHostileTexts shows what a registry says, as text that can do nothing else.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	long := hostileText + strings.Repeat("A very long sentence. ", 40_000)
	for name, tell := range map[string]func(l *liar){
		"refusals": func(l *liar) {
			l.lie = func(r *http.Request, honest told) told {
				if !asksAPI(r) {
					return honest
				}
				return says(http.StatusForbidden, map[string]any{"errors": []any{map[string]any{"code": "some-code", "detail": long}}})
			}
		},
		"failures": func(l *liar) {
			l.lie = func(r *http.Request, honest told) told {
				return says(http.StatusTeapot, map[string]any{"errors": []any{map[string]any{"code": hostileText, "detail": long}}})
			}
		},
		"a discovery": answering(asksDiscovery, func(m map[string]any) { m["regkey"].(map[string]any)["index"] = hostileText }),
		"members": func(l *liar) {
			l.lie = func(r *http.Request, honest told) told {
				name := string(says(http.StatusOK, long).body)
				return told{http.StatusOK, nil, []byte(`{` + name + `:1,` + name + `:2}`)}
			}
		},
		"keys": answering(asksKey, func(m map[string]any) {
			if _, ok := m["published"]; ok {
				m["published"] = []any{map[string]any{"name": hostileText, "vers": hostileText, "at": "2026-01-01T00:00:00Z"}}
				return
			}
			m["account"], m["can"], m["reason"] = hostileText, []any{hostileText}, long
		}),
		"proposals": answering(asksProposal, func(m map[string]any) {
			m["attestation"] = []any{[]any{hostileText}}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t, s.address)
			tell(l)
			m := s.victim(t, "six", l)
			commands := s.commands("laptop")
			commands["history --json"] = []string{"history", "--registry", "lab", "--key", "ci", "--json"}
			commands["status --json"] = []string{"status", "--online", "--json"}
			commands["doctor --json"] = []string{"doctor", "--online", "--json"}
			shown := false
			for command, args := range commands {
				result, err := m.Run(t.Context(), "", "", "regkey", args...)
				if err != nil {
					t.Fatal(err)
				}
				shown = shown || strings.Contains(result.Stdout+result.Stderr, "gnitirw")
				for _, out := range []string{result.Stdout, result.Stderr} {
					unfit := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) || r == unicode.ReplacementChar }
					if i := strings.IndexFunc(out, unfit); i >= 0 {
						t.Errorf("%s prints %q", command, out[max(0, i-40):min(len(out), i+40)])
					}
					if strings.Contains(out, "\nregkey: all is well") || len(out) > 20_000 {
						t.Errorf("%s prints %d bytes: %.300q", command, len(out), out)
					}
				}
			}
			if !shown && name != "proposals" && name != "members" { // which show less of it
				t.Error("no command shows anything of the text: nothing was tested")
			}
		})
	}
}

// TestEndlessAnswers keeps memory bounded.
func TestEndlessAnswers(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for name, tell := range map[string]func(l *liar){
		"plain": endless(asksAPI),
		"a compression bomb": func(l *liar) {
			l.instead = func(w http.ResponseWriter, r *http.Request) bool {
				if !asksAPI(r) {
					return false
				}
				w.Header().Set("Content-Encoding", "gzip")
				zip := gzip.NewWriter(w)
				chunk := []byte(`{"note":"` + strings.Repeat("A", 1<<16))
				for err := error(nil); err == nil; {
					_, err = zip.Write(chunk)
				}
				return true
			}
		},
		"in headers": func(l *liar) {
			l.instead = func(w http.ResponseWriter, r *http.Request) bool {
				if asksAPI(r) {
					for i := range 64 {
						w.Header().Add("X-Filler-"+strings.Repeat("x", i), strings.Repeat("A", 1<<16))
					}
					w.WriteHeader(http.StatusOK)
				}
				return asksAPI(r)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t, s.address)
			tell(l)
			m := s.victim(t, "laptop", l)
			before := tree(t, m)
			// 16 MiB of answer, and what Go needs to read and drop them; beyond that it would crash.
			c := m.Command(t.Context(), "", "prlimit", "--data="+strconv.Itoa(160<<20), filepath.Join(m.Bin, "regkey"), "sync", "--registry", "lab")
			var said bytes.Buffer
			c.Stderr = &said
			if err := c.Run(); err == nil || !strings.HasPrefix(said.String(), "regkey: ") || strings.Contains(said.String(), "out of memory") {
				t.Errorf("%v, and it said\n%.2000s", err, said.String())
			}
			if changed := differences(before, tree(t, m)); changed != "" {
				t.Errorf("it changed %s:\n%s", changed, said.String())
			}
		})
	}
}

// TestSlowAnswers waits once for all as long as a client does: half a minute for one answer.
func TestSlowAnswers(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for half a minute")
	}
	t.Parallel()
	s := newScene(t)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	drip := func(w http.ResponseWriter, r *http.Request) bool {
		if !asksLatest(r) {
			return false
		}
		for range 100 {
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Second):
			case <-done:
				return true
			case <-r.Context().Done():
				return true
			}
		}
		return true
	}
	for name, args := range map[string][]string{
		"sync": {"sync", "--registry", "lab"}, "rotate": {"rotate", "--registry", "lab", "--key", "laptop", "--yes", "--none"}, "verify": {"keyset", "verify", "--registry", "lab"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t, s.address)
			l.instead = drip
			m := s.victim(t, "laptop", l)
			before := tree(t, m)
			begun := time.Now()
			result, err := m.Run(t.Context(), "", "", "regkey", args...)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took > 90*time.Second || result.Exit != 1 {
				t.Errorf("it took %v, and ended with %d", took, result.Exit)
			}
			contains(t, "the sentence", result.Stderr, "/keysets/latest: expected was a whole answer in time, within 30s at most, and none came")
			if changed := differences(before, tree(t, m)); changed != "" {
				t.Errorf("it changed %s", changed)
			}
		})
	}
}

// TestClaimedAccounts lets a stranger's registry claim to continue one where the machine is enrolled, with a
// copy of its public keysets.
func TestClaimedAccounts(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	l := newLiar(t, s.address)
	l.lie = func(r *http.Request, honest told) told {
		if !asksDiscovery(r) || r.URL.Host == liedAbout {
			return honest
		}
		return honest.with(func(m map[string]any) {
			d := m["regkey"].(map[string]any)
			d["index"], d["former"], d["api"] = "sparse+http://evil.test/index/", []any{s.index}, "http://evil.test/api/regkey/v1"
		})
	}
	m := s.victim(t, "laptop", l)
	before := tree(t, m)
	for _, way := range [][]string{{"--yes"}, {"--join"}, {"--account", "crates-team", "--yes"}} {
		args := append([]string{"enroll", "--registry", "sparse+http://evil.test/index/", "--name", "evil", "--key", "laptop", "--insecure-http"}, way...)
		result := ends(t, m, distrusted, "", "", "regkey", args...)
		if !oneSentence(result.Stderr, "claims to continue "+s.index, "and the answer that it is still itself came") {
			t.Errorf("%q: %s", way, result.Stderr)
		}
		if changed := differences(before, tree(t, m)); changed != "" {
			t.Errorf("%q changed %s", way, changed)
		}
	}
}

// TestCertificateAgainstLies ends a key by its certificate: no lie sends it elsewhere, and no registry can hide
// it afterwards.
func TestCertificateAgainstLies(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	certificates, err := filepath.Glob(filepath.Join(s.machines["laptop"].RegkeyHome(), "revocations", "ci-*.revocation"))
	if err != nil || len(certificates) != 1 {
		t.Fatalf("%q (%v)", certificates, err)
	}
	args := []string{"revoke", "--certificate", certificates[0], "--insecure-http", "--yes"}
	for name, tell := range map[string]func(l *liar){
		"another index": answering(asksDiscovery, func(m map[string]any) { m["regkey"].(map[string]any)["index"] = "sparse+http://evil.test/index/" }),
		"redirects":     redirecting("http://evil.test", func(*http.Request) bool { return true }),
		"documents":     redirecting("http://evil.test", sends),
		"endless":       endless(asksDiscovery),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLiar(t, s.address)
			tell(l)
			m := s.victim(t, "laptop", l)
			before := tree(t, m)
			result := ends(t, m, distrusted, "", "", "regkey", args...)
			contains(t, "the sentence", result.Stderr, "expected was", "came", s.index)
			if _, strayed := l.forget(); len(strayed) > 0 {
				t.Errorf("went to %q", strayed)
			}
			if changed := differences(before, tree(t, m)); changed != "" {
				t.Errorf("it changed %s", changed)
			}
		})
	}
	t.Run("hidden", func(t *testing.T) {
		m := s.victim(t, "laptop", newLiar(t, s.address))
		ends(t, m, 0, "", "", "regkey", args...)
		l := newLiar(t, s.address)
		l.lie = func(r *http.Request, honest told) told {
			if !asksLatest(r) {
				return honest
			}
			return honest.with(func(m map[string]any) { m["revocations"] = []any{s.revoked[0]} })
		}
		m.Env = l.env()
		before := tree(t, m)
		result := ends(t, m, distrusted, "", "", "regkey", "status", "--online")
		contains(t, "the sentence", result.Stderr, "no longer shows a revocation that this machine knows", "a list of 1 without it")
		if changed := differences(before, tree(t, m)); changed != "" {
			t.Errorf("it changed %s", changed)
		}
	})
}

// TestYesToSomethingElse has a registry accept another version than it was sent.
func TestYesToSomethingElse(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	l := newLiar(t, s.address)
	l.instead = func(w http.ResponseWriter, r *http.Request) bool {
		if sends(r) {
			_, _ = w.Write([]byte(`{"version":99}`))
		}
		return sends(r)
	}
	m := s.copied(s.machines["six"])
	m.Env = l.env()
	result := ends(t, m, 6, "", "", "regkey", "keyset", "edit", "ci", "--registry", "lab", "--can", "publish", "--yes")
	contains(t, "the sentence", result.Stderr, "expected was a yes to the version that was sent", "version 99 came")
	m.Env = newLiar(t, s.address).env() // the truth, again: what waits is sent
	must(t, m, "", "", "regkey", "sync", "--registry", "lab")
	pinned, err := enroll.OpenState(m.RegkeyHome(), s.index, "").Keyset()
	if err != nil || pinned.Version != 7 {
		t.Errorf("%+v (%v)", pinned, err)
	}
}
