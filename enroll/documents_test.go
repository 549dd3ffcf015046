// Keysets and revocations as text: pinned bytes, one encoding in both directions, and every
// violation of the grammar refused.

package enroll

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// readDocument is a pinned signed note of testdata/documents.
func readDocument(t testing.TB, name string) []byte {
	t.Helper()
	note, err := os.ReadFile(filepath.Join("testdata", "documents", name+".note"))
	if err != nil {
		t.Fatal(err)
	}
	return note
}

// textOf is the part of a note that is signed.
func textOf(t testing.TB, note []byte) []byte {
	t.Helper()
	i := bytes.LastIndex(note, []byte("\n\n"))
	if i < 0 {
		t.Fatal("no signed note")
	}
	return note[:i+1]
}

// pinnedKeyset is what testdata/documents/keyset-3.note says.
func pinnedKeyset(t testing.TB) *Keyset {
	k := &Keyset{
		Registry: testIndex, Account: testAccount, Version: 3, Issued: noon,
		Previous: hashText(textOf(t, readDocument(t, "keyset-1"))),
		Keys: []Entry{
			{Key: p384(2).Public(), Can: Read, Until: noon.Add(240 * time.Hour), Crates: []string{"foo-*", "Bar_baz"}},
			entry(ed(1), CanEverything), entry(ed(4), Manage),
		},
		Revoked: []keys.ID{ed(5).Public().ID(), p384(6).Public().ID()},
	}
	k.Sort()
	return k
}

// The bytes of these files are what is stored and signed out in the world: a change here is another format.
func TestPinnedBytes(t *testing.T) {
	first := mustSign(t, &Keyset{
		Registry: testIndex, Account: testAccount, Version: 1, Issued: noon.Add(-time.Hour),
		Keys: []Entry{entry(ed(1), CanEverything)},
	}, ed(1))
	for name, made := range map[string][]byte{
		"keyset-1":   first.Note,
		"keyset-3":   mustSign(t, pinnedKeyset(t), ed(1), p384(2), ed(4)).Note,
		"revocation": mustRevoke(t, p384(2).Public().ID(), Lost, ed(1)).Note,
	} {
		if pinned := readDocument(t, name); !bytes.Equal(made, pinned) {
			t.Errorf("%s:\n%s\nwant\n%s", name, made, pinned)
		}
	}
	const text = "regkey revocation v1\n" +
		"registry: sparse+https://crates.example.com/index/\n" +
		"key: k3.pid.VSDUj2hGGj4mUfRuD14kWYfPvSKqpPV2HIfBM7O_CS8P\n" +
		"reason: lost\n"
	r, err := ParseRevocation([]byte(text))
	if err != nil || *r != (Revocation{testIndex, p384(2).Public().ID(), Lost}) {
		t.Errorf("revocation: %+v, %v", r, err)
	}
	k, err := ParseKeyset(textOf(t, readDocument(t, "keyset-3")))
	if err != nil || !reflect.DeepEqual(k, pinnedKeyset(t)) {
		t.Errorf("keyset: %+v, %v", k, err)
	}
}

// randomKeyset is some valid keyset.
func randomKeyset(r *rand.Rand) *Keyset {
	k := &Keyset{
		Registry: []string{testIndex, "https://a.b/", "sparse+http://127.0.0.1:8080/index/"}[r.IntN(3)],
		Account:  []string{testAccount, "a", "0-", strings.Repeat("z", 64)}[r.IntN(4)],
		Version:  1 + r.IntN(3)*r.IntN(maxVersion/2),
		Issued:   noon.Add(time.Duration(r.IntN(1e9)) * time.Second),
		Closed:   r.IntN(4) == 0,
	}
	if k.Version > 1 {
		for i := range k.Previous {
			k.Previous[i] = byte(r.Uint32())
		}
	}
	for _, n := range r.Perm(30)[:r.IntN(12)] {
		key := ed(byte(n + 1))
		if n%5 == 0 {
			key = p384(byte(n + 1))
		}
		if r.IntN(3) == 0 {
			k.Revoked = append(k.Revoked, key.Public().ID())
			continue
		}
		e := Entry{Key: key.Public(), Can: Can(1 + r.IntN(31))}
		if r.IntN(3) == 0 {
			e.Until = noon.Add(time.Duration(r.IntN(1e9)) * time.Second)
		}
		for _, pattern := range []string{"*", "foo-*", "Bar_baz", "x", strings.Repeat("y", 64) + "*"} {
			if r.IntN(6) == 0 {
				e.Crates = append(e.Crates, pattern)
			}
		}
		k.Keys = append(k.Keys, e)
	}
	k.Sort()
	return k
}

func TestOneEncoding(t *testing.T) {
	r := rand.New(rand.NewPCG(3231, 1))
	seen := map[string]int{}
	for range 500 {
		k := randomKeyset(r)
		text, err := k.Encode()
		if err != nil {
			t.Fatalf("%+v: %v", k, err)
		}
		parsed, err := ParseKeyset(text)
		if err != nil || !reflect.DeepEqual(parsed, k) {
			t.Fatalf("%s\nparses as %+v (%v), want %+v", text, parsed, err, k)
		}
		again, err := parsed.Encode()
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%s\nis encoded again as\n%s(%v)", text, again, err)
		}
		for _, e := range k.Keys {
			seen[e.Key.Algorithm().String()]++
		}
		seen["revoked"] += len(k.Revoked)
	}
	if seen["ed25519"] == 0 || seen["p384"] == 0 || seen["revoked"] == 0 {
		t.Errorf("the generator misses something: %v", seen)
	}
}

// What can't be written so that it reads back the same is refused before anybody signs it.
func TestEncodeRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Keyset){
		"fraction of a second":          func(k *Keyset) { k.Issued = k.Issued.Add(time.Millisecond) },
		"fraction in until":             func(k *Keyset) { k.Keys[0].Until = noon.Add(time.Nanosecond) },
		"previous in version 1":         func(k *Keyset) { k.Version = 1 },
		"year 10000":                    func(k *Keyset) { k.Issued = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"keys unsorted":                 func(k *Keyset) { slices.Reverse(k.Keys) },
		"a key twice":                   func(k *Keyset) { k.Keys = append(k.Keys, k.Keys[len(k.Keys)-1]) },
		"revoked unsorted":              func(k *Keyset) { slices.Reverse(k.Revoked) },
		"no key":                        func(k *Keyset) { k.Keys[0].Key = keys.PublicKey{} },
		"no can":                        func(k *Keyset) { k.Keys[0].Can = 0 },
		"unknown can":                   func(k *Keyset) { k.Keys[0].Can = 32 },
		"line break in account":         func(k *Keyset) { k.Account = "a\nversion: 9" },
		"line break in registry":        func(k *Keyset) { k.Registry = testIndex + "\naccount: b" },
		"quote in a pattern":            func(k *Keyset) { k.Keys[0].Crates = []string{`a" can=manage`} },
		"comma in a pattern":            func(k *Keyset) { k.Keys[0].Crates = []string{"a,b*"} }, // reads back as two
		"no id":                         func(k *Keyset) { k.Revoked[0] = keys.ID{} },
		"listed and revoked":            func(k *Keyset) { k.Revoked = []keys.ID{k.Keys[0].Key.ID()} },
		"an empty pattern":              func(k *Keyset) { k.Keys[0].Crates = []string{""} },
		"version 0":                     func(k *Keyset) { k.Version = 0 },
		"a version beyond all versions": func(k *Keyset) { k.Version = maxVersion + 1 },
	} {
		k := pinnedKeyset(t)
		spoil(k)
		if text, err := k.Encode(); err == nil {
			t.Errorf("%s: encoded as\n%s", name, text)
		}
	}
	k := pinnedKeyset(t)
	k.Issued = k.Issued.In(time.FixedZone("", 7200)) // the same moment, told elsewhere
	if _, err := k.Encode(); err != nil {
		t.Errorf("another time zone: %v", err)
	}
}

// A violation changes the first occurrence of old in a good text; message is part of the answer.
type violation struct{ name, old, new, message string }

func checkViolations(t *testing.T, good string, violations []violation, parse func([]byte) error) {
	t.Helper()
	if err := parse([]byte(good)); err != nil {
		t.Fatalf("the good text: %v", err)
	}
	for _, v := range violations {
		if !strings.Contains(good, v.old) {
			t.Errorf("%s: the good text holds no %q", v.name, v.old)
			continue
		}
		err := parse([]byte(strings.Replace(good, v.old, v.new, 1)))
		if err == nil || !strings.Contains(err.Error(), v.message) {
			t.Errorf("%s: error %v, want one with %q", v.name, err, v.message)
		}
	}
}

func keyLines(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("key: %v can=read\n", ed(byte(i+1)).Public()))
	}
	slices.SortFunc(all, func(a, b string) int { return parsedID(a).Compare(parsedID(b)) })
	return strings.Join(all, "")
}

func parsedID(line string) keys.ID {
	key, err := keys.ParsePublicKey(strings.Fields(line)[1])
	if err != nil {
		panic(err)
	}
	return key.ID()
}

func TestKeysetGrammar(t *testing.T) {
	good := string(textOf(t, readDocument(t, "keyset-3")))
	lines := strings.SplitAfter(good, "\n")
	firstKey, firstRevoked := lines[6], lines[9]
	everyKey := lines[6] + lines[7] + lines[8]
	const notOne, order = "not in its one encoding", "missing or out of order"
	checkViolations(t, good, []violation{
		{"empty", good, "", "the last line has no end"},
		{"only a line break", good, "\n", "the first line is not"},
		{"no last line break", lines[10], strings.TrimSuffix(lines[10], "\n"), "the last line has no end"},
		{"CRLF", "v1\n", "v1\r\n", "not printable ASCII"},
		{"BOM", "regkey", "\ufeffregkey", "not printable ASCII"},
		{"non-ASCII", "crates-team", "crates-tëam", "not printable ASCII"},
		{"NUL", "crates-team", "crates\x00team", "not printable ASCII"},
		{"tab", "version: 3", "version:\t3", "not printable ASCII"},
		{"invalid UTF-8", "crates-team", "crates\xffteam", "not printable ASCII"},
		{"trailing space at header", "v1\n", "v1 \n", "the first line is not"},
		{"another version", "keyset v1", "keyset v2", "the first line is not"},
		{"a revocation's header", "regkey keyset v1", "regkey revocation v1", "the first line is not"},
		{"too long", lines[10], lines[10] + strings.Repeat("x", maxText) + "\n", "longer than"},
		{"blank line before", good, "\n" + good, "the first line is not"},
		{"blank line inside", lines[6], "\n" + lines[6], "unknown or misplaced line"},
		{"blank line after", lines[10], lines[10] + "\n", "unknown or misplaced line"},
		{"no registry", lines[1], "", "registry line is " + order},
		{"registry twice", lines[1], lines[1] + lines[1], "account line is " + order},
		{"no space after the colon", "account: ", "account:", "account line is " + order},
		{"upper-case name", "account: ", "Account: ", "account line is " + order},
		{"two spaces", "account: ", "account:  ", "account name"},
		{"another scheme", "sparse+https:", "sparse+ftp:", "does not begin with"},
		{"space in the index", "/index/\n", "/in dex/\n", "belongs in no URL"},
		{"trailing space at registry", "/index/\n", "/index/ \n", "belongs in no URL"},
		{"quote in the index", "/index/\n", "/\"/\n", "belongs in no URL"},
		{"long index", "/index/\n", "/" + strings.Repeat("i", maxIndex) + "/\n", "at most 512"},
		{"empty account", "crates-team", "", "account name"},
		{"upper-case account", "crates-team", "Crates", "account name"},
		{"long account", "crates-team", strings.Repeat("a", 65), "account name"},
		{"trailing space at account", "team\n", "team \n", "account name"},
		{"version 0", "version: 3", "version: 0", "not a number between"},
		{"version -1", "version: 3", "version: -1", "not a number between"},
		{"version too large", "version: 3", "version: 1000000001", "not a number between"},
		{"version beyond all integers", "version: 3", "version: 99999999999999999999", "not a number between"},
		{"version in words", "version: 3", "version: three", "not a number between"},
		{"version 03", "version: 3", "version: 03", notOne},
		{"version +3", "version: 3", "version: +3", notOne},
		{"previous in version 1", "version: 3", "version: 1", "issued line is " + order},
		{"no previous", lines[4], "", "previous line is " + order},
		{"upper-case hash", "b18ccf", "B18CCF", notOne},
		{"short hash", "e86c\n", "e8\n", "not sha256: and 64"},
		{"odd hash", "e86c\n", "e86\n", "not sha256: and 64"},
		{"long hash", "e86c\n", "e86c00\n", notOne},
		{"another hash", "sha256:", "sha512:", "not sha256: and 64"},
		{"no issued", lines[5], "", "issued line is " + order},
		{"issued before previous", lines[4] + lines[5], lines[5] + lines[4], "previous line is " + order},
		{"offset", "12:00:00Z", "12:00:00+00:00", "not in whole seconds"},
		{"fraction", "12:00:00Z", "12:00:00.0Z", "not in whole seconds"},
		{"lower-case z", "12:00:00Z", "12:00:00z", "not in whole seconds"},
		{"leap second", "12:00:00Z", "12:00:60Z", "not in whole seconds"},
		{"30 February", "2026-11-22", "2026-02-30", "not in whole seconds"},
		{"one-digit hour", "T12:00", "T9:00", "not in whole seconds"},
		{"closed: no", firstKey, "closed: no\n" + firstKey, "something else than yes"},
		{"closed twice", firstKey, "closed: yes\nclosed: yes\n" + firstKey, "unknown or misplaced line"},
		{"closed after the keys", firstRevoked, "closed: yes\n" + firstRevoked, "unknown or misplaced line"},
		{"an unknown field", firstKey, "comment: laptop\n" + firstKey, "unknown or misplaced line"},
		{"not a key", "k3.public.Agj", "k3.public.!gj", "base64url"},
		{"a secret's prefix", "k3.public.", "k3.secret.", "parsing public key"},
		{"a short key", "k3.public.Agj", "k3.public.A", "parsing public key"},
		{"a point off the curve", "k3.public.Agj", "k3.public.BAj", "on the curve"},
		{"keys unsorted", lines[7] + lines[8], lines[8] + lines[7], "keys are not sorted"},
		{"a key twice", firstKey, firstKey + firstKey, "keys are not sorted"},
		{"no can", " can=manage\n", "\n", "without can="},
		{"empty can", " can=manage\n", " can=\n", "unknown operation"},
		{"unknown can", " can=manage\n", " can=admin\n", "unknown operation"},
		{"can out of order", "manage,publish,yank", "publish,manage,yank", "in the order"},
		{"an operation twice", " can=manage\n", " can=manage,manage\n", "listed once each"},
		{"can twice", " can=manage\n", " can=read can=manage\n", notOne},
		{"until before can", "can=read until=2026-12-02T12:00:00Z", "until=2026-12-02T12:00:00Z can=read", notOne},
		{"until with an offset", "12-02T12:00:00Z", "12-02T12:00:00+01:00", "not in whole seconds"},
		{"until that means none", "until=2026-12-02T12:00:00Z", "until=0001-01-01T00:00:00Z", notOne},
		{"two spaces on a key line", " can=manage\n", "  can=manage\n", "unknown word"},
		{"trailing space at a key", " can=manage\n", " can=manage \n", "unknown word"},
		{"unknown word", " can=manage\n", " can=manage label=x\n", "unknown word"},
		{"crates without quotes", `"foo-*,Bar_baz"`, `foo-*,Bar_baz`, "not a quoted list"},
		{"empty crates", `"foo-*,Bar_baz"`, `""`, "not a quoted list"},
		{"one quote", `"foo-*,Bar_baz"`, `"`, "not a quoted list"},
		{"an empty pattern", `"foo-*,Bar_baz"`, `"foo-*,"`, "crate pattern"},
		{"star in the middle", `"foo-*,`, `"f*o,`, "crate pattern"},
		{"two stars", `"foo-*,`, `"foo-**,`, "crate pattern"},
		{"backslash", `"foo-*,`, `"foo\x2d*,`, "crate pattern"},
		{"a long pattern", `"foo-*,`, `"` + strings.Repeat("f", 65) + `*,`, "crate pattern"},
		{"patterns that mean the same", `"foo-*,Bar_baz"`, `"bar-baz,Bar_baz"`, "stands twice"},
		{"101 patterns", `"foo-*,`, `"` + hundredPatterns(), "more than 100 crate"},
		{"101 keys", everyKey, keyLines(101), "more than 100 keys"},
		{"not an id", "revoked: k3.pid.", "revoked: k3.public.", "parsing key id"},
		{"revoked unsorted", lines[9] + lines[10], lines[10] + lines[9], "revoked keys are not sorted"},
		{"revoked twice", firstRevoked, firstRevoked + firstRevoked, "revoked keys are not sorted"},
		{"revoked before the keys", everyKey + firstRevoked, firstRevoked + everyKey, "unknown or misplaced line"},
		{"trailing space at revoked", firstRevoked, strings.Replace(firstRevoked, "\n", " \n", 1), "parsing key id"},
		{"listed and revoked", lines[10], "revoked: " + ed(1).Public().ID().String() + "\n", "both listed and revoked"},
	}, func(text []byte) error { _, err := ParseKeyset(text); return err })
	full := strings.SplitAfter(string(textOf(t, readDocument(t, "keyset-1"))), "key: ")[0]
	if _, err := ParseKeyset([]byte(strings.TrimSuffix(full, "key: ") + keyLines(100))); err != nil {
		t.Errorf("100 keys: %v", err)
	}
}

func hundredPatterns() string {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "c%d,", i)
	}
	return b.String()
}

func TestRevocationGrammar(t *testing.T) {
	good := string(textOf(t, readDocument(t, "revocation")))
	lines := strings.SplitAfter(good, "\n")
	checkViolations(t, good, []violation{
		{"empty", good, "", "the last line has no end"},
		{"no last line break", "lost\n", "lost", "the last line has no end"},
		{"CRLF", "lost\n", "lost\r\n", "not printable ASCII"},
		{"BOM", "regkey", "\ufeffregkey", "not printable ASCII"},
		{"another version", "v1", "v2", "the first line is not"},
		{"a keyset's header", "revocation", "keyset", "the first line is not"},
		{"no registry", lines[1], "", "registry line is missing"},
		{"registry after key", lines[1] + lines[2], lines[2] + lines[1], "registry line is missing"},
		{"no key", lines[2], "", "key line is missing"},
		{"two keys", lines[2], lines[2] + lines[2], "reason line is missing"},
		{"a public key", "k3.pid.", "k3.public.", "parsing key id"},
		{"slack in base64", "CS8P\n", "CS8P=\n", "parsing key id"},
		{"no reason", lines[3], "", "reason line is missing"},
		{"unknown reason", "lost", "stolen", "unknown reason"},
		{"upper-case reason", "lost", "Lost", "unknown reason"},
		{"empty reason", "lost", "", "unknown reason"},
		{"trailing space", "lost", "lost ", "unknown reason"},
		{"a line too many", "lost\n", "lost\nissued: 2026-11-22T12:00:00Z\n", "unknown or misplaced line"},
		{"a blank line too many", "lost\n", "lost\n\n", "unknown or misplaced line"},
	}, func(text []byte) error { _, err := ParseRevocation(text); return err })
	for _, reason := range []Reason{Lost, Compromised, Superseded, Unspecified} {
		r := &Revocation{testIndex, ed(1).Public().ID(), reason}
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if parsed, err := ParseRevocation(text); err != nil || *parsed != *r {
			t.Errorf("%s: %+v, %v", reason, parsed, err)
		}
	}
}

func TestAllows(t *testing.T) {
	for _, c := range []struct {
		patterns, crate string
		want            bool
	}{
		{"", "anything", true},
		{"foo", "foo", true}, {"foo", "food", false}, {"foo", "fo", false},
		{"foo-*", "foo-", true}, {"foo-*", "foo_bar", true}, {"foo_*", "FOO-bar", true}, {"foo-*", "foo", false},
		{"Bar_baz", "bar-BAZ", true}, {"*", "x", true}, {"a,b*", "b", true}, {"a,b*", "c", false},
	} {
		e := Entry{Can: Publish}
		if c.patterns != "" {
			e.Crates = strings.Split(c.patterns, ",")
		}
		if got := e.Allows(Publish, c.crate); got != c.want {
			t.Errorf("%q allows %q: %v", c.patterns, c.crate, got)
		}
		if e.Allows(Yank, c.crate) || e.Allows(Publish|Yank, c.crate) {
			t.Errorf("%q allows to yank %q", c.patterns, c.crate)
		}
	}
	limited := Entry{Can: Read, Until: noon}
	if !limited.Alive(noon.Add(-time.Second)) || limited.Alive(noon) || !(Entry{}).Alive(noon) {
		t.Error("until is the first moment at which a key is no more")
	}
}
