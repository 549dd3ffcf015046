// The journal's files: what is written, what is refused, and in which order they are read.

package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

const pinnedIntent = `id = '20261122T120000Z-0123456789abcdef'
kind = 'rotate'
begun = 2026-11-22T12:00:00Z
old = 'laptop'
new = 'laptop-2'
new-key = '%s'
made = ['laptop-2', 'laptop-2-read']
overlap = 86400000000000
all = true
abandoned = true

[slots]
laptop-2 = '4711/82'

[given]
slot = '82'
to-hardware = 'true'

[[step]]
index = 'sparse+https://crates.example.com/index/'
account = 'crates-team'
state = 'sent'
base = 3
version = 4

[[step]]
index = 'sparse+https://other.example.com/'
account = 'crates-team'
state = 'planned'
`

func fullText() string { return fmt.Sprintf(pinnedIntent, ed(2).Public()) }

func fullIntent() *Intent {
	return &Intent{
		ID: "20261122T120000Z-0123456789abcdef", Kind: KindRotate, Begun: noon, Old: "laptop", New: "laptop-2",
		NewKey: ed(2).Public().String(), Made: []string{"laptop-2", "laptop-2-read"}, Overlap: 24 * time.Hour, All: true, Abandoned: true,
		Slots: map[string]string{"laptop-2": "4711/82"},
		Given: map[string]string{"to-hardware": "true", "slot": "82"},
		Steps: []Step{
			{Index: testIndex, Account: testAccount, State: StepSent, Base: 3, Version: 4},
			{Index: "sparse+https://other.example.com/", Account: testAccount, State: StepPlanned},
		},
	}
}

func TestIntentOnDisk(t *testing.T) {
	text, err := fullIntent().Encode()
	if err != nil || string(text) != fullText() {
		t.Fatalf("written is\n%s(%v)", text, err)
	}
	got, err := ParseIntent(text)
	if err != nil || !reflect.DeepEqual(got, fullIntent()) {
		t.Errorf("read back is %+v, %v", got, err)
	}
}

func TestIntentRefused(t *testing.T) {
	replace := func(old, new string) string {
		text := strings.Replace(fullText(), old, new, 1)
		if text == fullText() {
			t.Fatalf("%q is not in the text", old)
		}
		return text
	}
	for name, text := range map[string]string{
		"empty":               "",
		"no TOML":             "=",
		"an unknown field":    "token = 'x'\n" + fullText(),
		"a field twice":       "kind = 'rotate'\n" + fullText(),
		"a path as id":        replace("20261122T120000Z-0123456789abcdef", "../20261122T120000Z"),
		"a time that is none": replace("20261122T120000Z-", "20261322T120000Z-"),
		"an unknown kind":     replace("'rotate'", "'delete'"),
		"no beginning":        replace("begun = 2026-11-22T12:00:00Z\n", ""),
		"half a second":       replace("12:00:00Z", "12:00:00.5Z"),
		"a path as key":       replace("'laptop-2'", "'../x'"),
		"the same key":        replace("new = 'laptop-2'", "new = 'laptop'"),
		"no key":              replace("old = 'laptop'\n", ""),
		"a key that is none":  replace("new-key = 'k4.public.", "new-key = 'k4.public.A"),
		"a path as made":      replace("['laptop-2',", "['a/b',"),
		"a time backwards":    replace("overlap = 8", "overlap = -8"),
		"a long overlap":      replace("86400000000000", "9000000000000000000"),
		"a flag that is none": replace("slot =", "'s lot' ="),
		"a value of lines":    replace("'82'", `"8\n2"`),
		"an index of lines":   replace("'sparse+https://crates.example.com/index/'", `"sparse+https://x/\n"`),
		"a strange account":   replace("'crates-team'", "'Crates'"),
		"an unknown state":    replace("'sent'", "'lost'"),
		"a version below 0":   replace("version = 4", "version = -4"),
		"a place twice":       replace("https://other.example.com/", "https://crates.example.com/index/"),
		"no step":             fullText()[:strings.Index(fullText(), "[[step]]")],
		"too large":           fullText() + "#" + strings.Repeat("x", maxIntent),
	} {
		if i, err := ParseIntent([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, i)
		}
	}
	if _, err := (&Intent{}).Encode(); err == nil {
		t.Error("an empty intent is written")
	}
}

func TestJournalInOrder(t *testing.T) {
	j := OpenJournal(filepath.Join(t.TempDir(), "home"))
	if all, err := j.Intents(); err != nil || len(all) != 0 {
		t.Errorf("no journal: %v, %v", all, err)
	}
	for _, hours := range []int{3, 1, 2} {
		i := fullIntent()
		i.Begun, i.Old = noon.Add(time.Duration(hours)*time.Hour).Add(time.Millisecond), fmt.Sprint("key", hours)
		if err := j.Begin(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(j.dir, ".x.toml.1.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := j.Intents()
	if err != nil || len(all) != 3 || all[0].Old != "key1" || all[1].Old != "key2" || all[2].Old != "key3" {
		t.Fatalf("%+v, %v", all, err)
	}
	if info, err := os.Stat(j.path(all[0].ID)); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// One that is complete goes; one that was moved to another name, or is broken, is told of.
	all[0].Abandoned = false
	for n := range all[0].Steps {
		all[0].Steps[n].State = StepDone
	}
	if err := j.Save(all[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := j.open(all[0].ID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a complete intent stays: %v", err)
	}
	if err := os.Rename(j.path(all[1].ID), j.path("20200101T000000Z-0123456789abcdef")); err != nil {
		t.Fatal(err)
	}
	rest, err := j.Intents()
	if err == nil || len(rest) != 1 || rest[0].Old != "key3" {
		t.Errorf("%+v, %v", rest, err)
	}
}

func FuzzParseIntent(f *testing.F) {
	f.Add([]byte(fullText()))
	f.Add([]byte(strings.ReplaceAll(fullText(), "\n", "\r\n")))
	f.Add([]byte(strings.Replace(fullText(), "12:00:00Z", "14:00:00+02:00", 1)))
	f.Fuzz(func(t *testing.T, text []byte) {
		i, err := ParseIntent(text)
		if err != nil {
			return
		}
		again, err := i.Encode()
		if err != nil {
			t.Fatalf("%q is read and not written: %v", text, err)
		}
		same, err := ParseIntent(again)
		if err != nil || !reflect.DeepEqual(same, i) {
			t.Fatalf("%+v is read again as %+v (%v)", i, same, err)
		}
	})
}
