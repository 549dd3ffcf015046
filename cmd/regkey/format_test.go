// Keys whose tokens a registry does not take.

package main

import (
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		algorithm keys.Algorithm
		taken     string
		can       enroll.Can
		refused   bool
	}{
		{keys.Ed25519, "v4.public v3.public", 0, false}, {keys.P384, "v4.public v3.public", enroll.Read, false},
		{keys.Ed25519, "v3.public", 0, true}, {keys.P384, "v4.public", enroll.Read, true}, {keys.P384, "v9.public", enroll.Publish, true},
		{keys.Ed25519, "v3.public", enroll.Manage, false}, {keys.Ed25519, "v3.public", enroll.CanEverything, true}, {keys.P384, "", 0, false},
	} {
		key, err := keys.Generate(c.algorithm)
		if err != nil {
			t.Fatal(err)
		}
		err = checkFormat("lab", strings.Fields(c.taken), keys.Record{Name: "laptop", Public: key.Public()}, c.can)
		if refused := err != nil; refused != c.refused {
			t.Errorf("%v where %q is taken, for %v: %v", c.algorithm, c.taken, c.can, err)
		}
	}
}
