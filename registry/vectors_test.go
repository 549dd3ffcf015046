// The vectors of package enroll, as a registry answers them over HTTP.

package registry_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/storage"
)

// vectors are enroll/testdata/vectors.json, as far as a registry needs them.
type vectors struct {
	Index   string `json:"index"`
	Account string `json:"account"`
	Invites []struct {
		Public string `json:"public"`
	} `json:"invites"`
	Chain []struct {
		Note string `json:"note"`
	} `json:"chain"`
	Revocation string       `json:"revocation"`
	Cases      []vectorCase `json:"cases"`
}

type vectorCase struct {
	vectorScene `json:",inline"`

	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Note    string `json:"note"`
	Refused string `json:"refused"`
}

// A vectorScene is what stands where a case comes.
type vectorScene struct {
	After   int       `json:"after"`
	Revoked bool      `json:"revoked"`
	Now     time.Time `json:"now"`
}

// vectorLab is a registry at the vectors' URL, where as much stands as the scene says.
func vectorLab(t *testing.T, v *vectors, c vectorScene) *lab {
	t.Helper()
	l := newLab(t, func(config *registry.Config) { config.URL = "https://crates.example.com" })
	if l.server.Index() != v.Index {
		t.Fatalf("the index is %s", l.server.Index())
	}
	key, err := keys.ParsePublicKey(v.Invites[0].Public)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.operator.Invite(t.Context(), v.Account, time.Hour); err != nil { // makes the account
		t.Fatal(err)
	}
	err = l.db.Update(t.Context(), func(tx *storage.Tx) error {
		return tx.SaveInvite(t.Context(), storage.Invite{Account: v.Account, Public: key, Expires: c.Now.AddDate(1, 0, 0)})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range v.Chain[:c.After] {
		k, err := enroll.ParseSignedKeyset([]byte(version.Note))
		if err != nil {
			t.Fatal(err)
		}
		l.clock.time = k.Issued
		l.want(l.postNote("/accounts/"+v.Account+"/keysets", []byte(version.Note)), 201, "")
	}
	if c.Revoked {
		l.want(l.postNote("/revocations", []byte(v.Revocation)), 201, "")
	}
	l.clock.time = c.Now
	return l
}

// Every document is answered with the code that the vectors name, and taken where they name none. What was
// refused has changed nothing, so the next case may come to the same registry.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "enroll", "testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	v := &vectors{}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
	if len(v.Cases) == 0 || len(v.Chain) == 0 || len(v.Invites) == 0 {
		t.Fatal("there are no vectors")
	}
	var l *lab
	var scene vectorScene
	refused := 0 // by that registry, which bears so many from one address
	for _, c := range v.Cases {
		if l == nil || scene != c.vectorScene || refused == 50 {
			l, scene, refused = vectorLab(t, v, c.vectorScene), c.vectorScene, 0
		}
		path := map[string]string{
			"keyset": "/accounts/" + v.Account + "/keysets", "proposal": "/accounts/" + v.Account + "/proposals", "revocation": "/revocations",
		}[c.Kind]
		got := l.postNote(path, []byte(c.Note))
		if taken := got.status == 200 || got.status == 201; got.code != c.Refused || taken != (c.Refused == "") {
			t.Errorf("%s %q: %v, want %q", c.Kind, c.Name, got, c.Refused)
		}
		if refused++; c.Refused == "" {
			l = nil
		}
	}
}
