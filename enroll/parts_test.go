// What the tests are made of: keys that are the same in every run, keysets over them, one clock.

package enroll

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

const (
	testIndex   = "sparse+https://crates.example.com/index/"
	testAccount = "crates-team"
)

// noon is when everything here happens.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

type testKeyName struct {
	algorithm keys.Algorithm
	n         byte
}

var testKeys sync.Map // testKeyName → *keys.SoftwareKey

// ed is the n-th Ed25519 key: the one with the seed n, n, n, ….
func ed(n byte) *keys.SoftwareKey { return testKey(keys.Ed25519, n) }

// p384 is the n-th P-384 key: the one with the scalar n.
func p384(n byte) *keys.SoftwareKey { return testKey(keys.P384, n) }

func testKey(a keys.Algorithm, n byte) *keys.SoftwareKey {
	name := testKeyName{a, n}
	if key, found := testKeys.Load(name); found {
		return key.(*keys.SoftwareKey)
	}
	var key *keys.SoftwareKey
	var err error
	if a == keys.Ed25519 {
		seed := make([]byte, 32)
		for i := range seed {
			seed[i] = n
		}
		key, err = keys.NewEd25519Key(keys.NewSecret(seed))
	} else {
		scalar := make([]byte, 48)
		scalar[47] = n
		key, err = keys.ParseSoftwareKey(keys.NewSecret([]byte("k3.secret." + base64.RawURLEncoding.EncodeToString(scalar))))
	}
	if err != nil {
		panic(err)
	}
	testKeys.Store(name, key)
	return key
}

func entry(key *keys.SoftwareKey, can Can) Entry { return Entry{Key: key.Public(), Can: can} }

// mustSign sorts, encodes and signs.
func mustSign(t testing.TB, k *Keyset, signers ...keys.Signer) *SignedKeyset {
	t.Helper()
	k.Sort()
	signed, err := SignKeyset(context.Background(), k, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func mustRevoke(t testing.TB, key keys.ID, reason Reason, signer keys.Signer) *SignedRevocation {
	t.Helper()
	r, err := SignRevocation(context.Background(), &Revocation{testIndex, key, reason}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// firstVersion is version 1 with three keys: ed(1) manages and does everything, p384(2) manages,
// ed(3) publishes.
func firstVersion(t testing.TB) *SignedKeyset {
	t.Helper()
	return mustSign(t, &Keyset{
		Registry: testIndex, Account: testAccount, Version: 1, Issued: noon.Add(-time.Hour),
		Keys: []Entry{entry(ed(1), CanEverything), entry(p384(2), Manage), entry(ed(3), CanByDefault)},
	}, ed(1), p384(2), ed(3))
}

// follow is a draft of the version after base, with the same keys.
func follow(base *SignedKeyset) *Keyset {
	return &Keyset{
		Registry: base.Registry, Account: base.Account, Version: base.Version + 1, Previous: base.Hash(), Issued: noon,
		Keys: append([]Entry(nil), base.Keys...), Revoked: append([]keys.ID(nil), base.Revoked...),
	}
}

// codeOf is the code of a RuleError, "" for nil, and a word that is no code for any other error.
func codeOf(err error) string {
	var rule *RuleError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &rule):
		return rule.Code
	}
	return "no rule: " + err.Error()
}
