// Lies to machines that are on their way: in the middle of a rotation, about to be let in, or meeting the
// account for the first time.

package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/enroll"
)

// TestLyingOnTheWay is the matrix for them.
func TestLyingOnTheWay(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for machine, lies := range map[string][]lie{
		"newcomer": s.liesBeforeTheCode(), "rotating": s.liesInRotation(), "asking": s.liesAboutProposals(), "tablet": s.liesAtFirstContact(), "restored": s.liesAtFirstContact(),
	} {
		for _, lie := range lies {
			t.Run(machine+"/"+lie.name, func(t *testing.T) {
				t.Parallel()
				s.liedTo(t, machine, lie)
			})
		}
	}
	t.Run("laptop/approving", s.approving)
}

// taking has the registry refuse what it is sent, with a keyset that it says stands instead, and shows as the
// next version; nil: none.
func taking(k *enroll.SignedKeyset) func(l *liar) {
	return func(l *liar) {
		note, notes := "", []any{}
		if k != nil {
			note, notes = string(k.Note), []any{string(k.Note)}
		}
		l.lie = func(r *http.Request, honest told) told {
			if asksKeysets(r) {
				return honest.with(func(m map[string]any) { m["notes"], m["more"] = notes, false })
			}
			return honest
		}
		l.instead = func(w http.ResponseWriter, r *http.Request) bool {
			if !sends(r) {
				return false
			}
			answer := says(http.StatusConflict, map[string]any{
				"errors": []any{map[string]any{"code": "keyset-conflict", "detail": "another one stands"}}, "note": note,
			})
			w.WriteHeader(answer.status)
			_, _ = w.Write(answer.body)
			return true
		}
	}
}

// deaf drops what is sent, so that what waits goes on waiting.
func deaf(tell func(l *liar)) func(l *liar) {
	return func(l *liar) {
		tell(l)
		before := l.instead
		l.instead = func(w http.ResponseWriter, r *http.Request) bool {
			if sends(r) {
				w.WriteHeader(http.StatusInternalServerError)
				return true
			}
			return before != nil && before(w, r)
		}
	}
}

// liesInRotation are told to a machine that has pinned version 6, and whose version 7 has left it.
func (s *scene) liesInRotation() []lie {
	stands, stranger := s.chain[5], strangersKey(s.t)
	laptop := openKey(s.t, s.machines["laptop"], "laptop")
	theft := s.after(stands, func(k *enroll.Keyset) {
		k.Keys = append(k.Keys, enroll.Entry{Key: stranger.Public(), Can: enroll.CanEverything})
	}, stranger)
	forked := s.after(s.chain[4], func(k *enroll.Keyset) { k.Keys[0].Crates = []string{"bar-*"} }, laptop)
	return []lie{
		{name: "a theft in its place", tell: taking(theft), expected: "expected was version 7", came: "no key that may manage", about: []string{"rotate --resume", "rotate again", "sync", "revoke"}},
		{name: "rolled back", tell: deaf(latest(s.chain[4])), expected: "expected was version 6", came: "version 5 (", about: []string{"rotate --abandon"}},
		{name: "another version 6", tell: deaf(latest(forked)), expected: "expected was version 6", came: forked.Hash().String(), about: []string{"rotate --abandon"}},
		{
			name: "another index", tell: answering(asksDiscovery, func(m map[string]any) { m["regkey"].(map[string]any)["index"] = "sparse+http://evil.test/index/" }),
			expected: s.index, came: "sparse+http://evil.test/index/",
		},
		{name: "redirects", tell: redirecting("http://evil.test", func(*http.Request) bool { return true }), expected: "http://" + liedAbout, came: "http://evil.test"},
		{name: "redirects documents", tell: redirecting("http://evil.test", sends), expected: "http://" + liedAbout, came: "http://evil.test", about: []string{"rotate --resume", "rotate again", "sync", "revoke"}},
		{name: "endless", tell: endless(asksAPI), expected: "bytes", came: "more", about: []string{"rotate", "sync", "revoke"}},
	}
}

// liesAboutProposals are told to a machine that waits to be let in.
func (s *scene) liesAboutProposals() []lie {
	laptop, stranger := openKey(s.t, s.machines["laptop"], "laptop"), strangersKey(s.t)
	theft := s.after(s.chain[5], func(k *enroll.Keyset) {
		k.Keys = append(k.Keys, enroll.Entry{Key: stranger.Public(), Can: enroll.CanByDefault})
	}, stranger)
	vouched := s.after(s.chain[5], func(k *enroll.Keyset) { k.Keys[0].Crates = []string{"bar-*"} }, laptop)
	proposal := func(change func(map[string]any)) func(l *liar) { return answering(asksProposal, change) }
	accepted := func(note func(own string) string) func(l *liar) {
		return proposal(func(m map[string]any) { m["accepted"] = map[string]any{"note": note(m["note"].(string))} })
	}
	unknown := func(l *liar, instead told) func(r *http.Request, honest told) told {
		return func(r *http.Request, honest told) told {
			switch {
			case asksProposal(r):
				return says(http.StatusNotFound, map[string]any{"errors": []any{map[string]any{"code": "proposal-unknown", "detail": "unknown"}}})
			case asksKeysets(r):
				return instead
			}
			return honest
		}
	}
	return []lie{
		{name: "another proposal", tell: proposal(func(m map[string]any) { m["note"] = string(theft.Note) }), expected: "the one with the code " + s.code, came: "one with the code " + enroll.ProposalCode(theft.Text)},
		{name: "no proposal", tell: proposal(func(m map[string]any) { m["note"] = "rubbish" }), expected: "the one with the code " + s.code, came: "something else"},
		{name: "accepted by nobody", tell: accepted(func(own string) string { return own }), expected: "expected was version 7", came: "no key that may manage"},
		{name: "another one accepted", tell: accepted(func(string) string { return string(vouched.Note) }), expected: "the one with the code " + s.code, came: "one with the code " + enroll.ProposalCode(vouched.Text)},
		{name: "overtaken by nothing", tell: proposal(func(m map[string]any) { m["outdated"] = true }), expected: "expected was version 7 of another text", came: "version 6 ("},
		{
			name: "overtaken by a theft", tell: func(l *liar) {
				l.lie = unknown(l, says(http.StatusOK, map[string]any{"notes": []any{string(theft.Note)}, "more": false}))
			},
			expected: "expected was version 7", came: "no key that may manage",
		},
		{
			name: "another index", tell: answering(asksDiscovery, func(m map[string]any) { m["regkey"].(map[string]any)["index"] = "sparse+http://evil.test/index/" }),
			expected: s.index, came: "sparse+http://evil.test/index/",
		},
		{name: "redirects", tell: redirecting("http://evil.test", asksAPI), expected: "http://" + liedAbout, came: "http://evil.test"},
		{name: "endless", tell: endless(asksProposal), expected: "16777216 bytes", came: "more"},
	}
}

// liesBeforeTheCode are told to somebody who has an invite code, and has not used it.
func (s *scene) liesBeforeTheCode() []lie {
	return []lie{
		{
			name: "another index", tell: answering(asksDiscovery, func(m map[string]any) { m["regkey"].(map[string]any)["index"] = "sparse+http://evil.test/index/" }),
			expected: s.index, came: "sparse+http://evil.test/index/",
		},
		{name: "redirects", tell: redirecting("http://evil.test", func(*http.Request) bool { return true }), expected: "http://" + liedAbout, came: "http://evil.test"},
		{name: "endless", tell: endless(asksDiscovery), expected: "1048576 bytes", came: "more"},
	}
}

// liesAtFirstContact are told to a machine that knows nothing yet: it can tell what contradicts itself.
func (s *scene) liesAtFirstContact() []lie {
	stranger := strangersKey(s.t)
	theft := s.after(s.chain[5], func(k *enroll.Keyset) {
		k.Keys = append(k.Keys, enroll.Entry{Key: stranger.Public(), Can: enroll.CanEverything})
	}, stranger)
	both := func(change func(map[string]any)) func(l *liar) {
		return answering(func(r *http.Request) bool { return asksLatest(r) || asksByCode(r) }, change)
	}
	return []lie{
		{name: "an account swapped", tell: both(func(m map[string]any) { m["note"] = s.other }), expected: "expected was th", came: "came"},
		{name: "rubbish", tell: both(func(m map[string]any) { m["note"] = "\x1b[31mred\u202e" }), expected: "expected was the", came: "something else"},
		{name: "a theft", tell: both(func(m map[string]any) { m["note"] = string(theft.Note) }), expected: "expected was ", came: "came"},
		{name: "no version 1", tell: answering(asksKeysets, func(m map[string]any) { m["notes"] = m["notes"].([]any)[1:] }), expected: "version 1 of the account's keyset", came: "version 2", about: []string{"enroll --join"}},
		{name: "a revocation that is none", tell: both(func(m map[string]any) { m["revocations"] = []any{"rubbish"} }), expected: "a signed revocation", came: "something else"},
		{name: "redirects", tell: redirecting("http://evil.test", asksAPI), expected: "http://" + liedAbout, came: "http://evil.test"},
		{name: "endless", tell: endless(asksAPI), expected: "16777216 bytes", came: "more"},
		{
			name: "another index", tell: answering(asksDiscovery, func(m map[string]any) { m["regkey"].(map[string]any)["index"] = "sparse+http://evil.test/index/" }),
			expected: s.index, came: "sparse+http://evil.test/index/",
		},
	}
}

func asksByCode(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/keysets/") && !asksLatest(r)
}

// approving is told another proposal than was asked for.
func (s *scene) approving(t *testing.T) {
	stranger := strangersKey(t)
	theft := s.after(s.chain[5], func(k *enroll.Keyset) {
		k.Keys = append(k.Keys, enroll.Entry{Key: stranger.Public(), Can: enroll.CanByDefault | enroll.Manage})
	}, stranger)
	for name, note := range map[string]string{"widened": string(theft.Note), "rubbish": "rubbish\x1b[31m"} {
		lie := lie{
			name: name, about: []string{"approve"}, expected: "the one with the code " + s.code, came: "came",
			tell: answering(asksProposal, func(m map[string]any) { m["note"] = note }),
		}
		t.Run(name, func(t *testing.T) { s.liedTo(t, "six", lie) })
	}
}
