// What keys are called, and which one is meant by that.

package main

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// A label may be given twice, or be the name of a key here: no command takes one of two by chance.
func TestNamesMeanOneKey(t *testing.T) {
	store := keys.OpenStore(t.TempDir())
	ids := map[string]string{}
	for _, name := range []string{"laptop", "other laptop", "lost desk", "desk", "safe"} {
		key, err := keys.Generate(keys.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = key.Public().ID().String()
		if name == "laptop" {
			if _, err := store.Create(t.Context(), keys.Record{Name: name, Created: time.Now()}, key, keys.NoLock()); err != nil {
				t.Fatal(err)
			}
		}
	}
	e := &enroll.Enrolment{Labels: map[string]string{
		ids["laptop"]: "mine", ids["other laptop"]: "laptop", ids["lost desk"]: "desk", ids["desk"]: "desk", ids["safe"]: "safe",
	}}
	for range 50 { // a map is in another order each time
		names := namesIn(store, e)
		for _, name := range []string{"laptop", "safe"} {
			if id, err := names.find(name); err != nil || id.String() != ids[name] {
				t.Fatalf("%s is taken for %v: %v", name, id, err)
			}
		}
		if got := names.full(ids["other laptop"]); got != ids["other laptop"] {
			t.Fatalf("two keys are called laptop: %s", got)
		}
		if id, err := names.find("desk"); err == nil || !strings.Contains(err.Error(), ids["desk"]) || !strings.Contains(err.Error(), ids["lost desk"]) {
			t.Fatalf("a label of two is taken for %v: %v", id, err)
		}
		if id, err := names.find(ids["desk"]); err != nil || id.String() != ids["desk"] {
			t.Fatalf("an id is taken for %v: %v", id, err)
		}
		if _, err := names.find("nobody"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}
