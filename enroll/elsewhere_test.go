// Tests of a managing key that is kept elsewhere, and of labels.

package enroll

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

// keptElsewhere makes a record of the key in m's store, without its secret.
func (m *machine) keptElsewhere(name string, key *keys.SoftwareKey) {
	m.t.Helper()
	_, err := m.Keys.CreateElsewhere(keys.Record{Name: name, Public: key.Public(), Created: m.clock})
	m.must(err)
	open := m.Unlock
	m.Unlock = func(ctx context.Context, asked string) (keys.Signer, error) {
		if asked == name {
			return key, nil
		}
		return open(ctx, asked)
	}
}

func TestElsewhereSignsOnlyWhereNamed(t *testing.T) {
	m := enrolled(t)
	m.key("ci", ed(2))
	m.must(m.enrol("ci", 0))
	m.keptElsewhere("a-safe", ed(3))
	m.must(m.enrol("a-safe", Manage))
	pin := m.book.latest()
	for with, want := range map[string]string{"": "laptop", "a-safe": "a-safe"} {
		m.With = with
		plan, err := m.PlanEdit(context.Background(), EditOptions{Key: "ci", Can: Publish})
		if err != nil || plan.With != want {
			t.Errorf("with %q: %s signs, %v", with, plan.With, err)
		}
		revoke, err := m.PlanRevocation(context.Background(), "laptop", Lost)
		m.must(err)
		if revoke.heir == "a-safe" {
			t.Errorf("with %q: %s would sign tokens", with, revoke.heir)
		}
	}
	m.With = "ci"
	if _, err := m.PlanEdit(context.Background(), EditOptions{Key: "laptop", Can: CanByDefault}); !errors.Is(err, ErrNotTrusted) {
		t.Errorf("a key that may not manage: %v", err)
	}
	if m.book.latest().Hash() != pin.Hash() {
		t.Error("something was signed")
	}

	fresh := m.copy(false)
	fresh.must(fresh.State().SetAside(m.clock))
	fresh.Keys = keys.OpenStore(t.TempDir())
	fresh.keptElsewhere("safe", ed(3))
	record, err := fresh.Keys.Lookup("safe")
	fresh.must(err)
	joined, err := fresh.Join(context.Background(), JoinOptions{Account: "crates-team", Key: record})
	fresh.must(err)
	e, err := LookupEnrolment(fresh.Home, fresh.Index)
	fresh.must(err)
	if e.Key != "" || !joined.Entry.Can.Has(Manage) {
		t.Errorf("a machine that joined with a key from elsewhere signs with %q", e.Key)
	}
}

func TestLabel(t *testing.T) {
	m := enrolled(t)
	id := ed(9).Public().ID()
	m.must(m.Label(id, "the desk at home"))
	e, err := LookupEnrolment(m.Home, m.Index)
	m.must(err)
	if e.Labels[id.String()] != "the desk at home" {
		t.Errorf("labels: %v", e.Labels)
	}
	m.must(m.Label(id, ""))
	if e, err = LookupEnrolment(m.Home, m.Index); err != nil || len(e.Labels) != 0 {
		t.Errorf("labels after it was taken away: %v, %v", e.Labels, err)
	}
	for _, bad := range []string{strings.Repeat("x", maxLabel+1), "a\nb", "é"} {
		if m.Label(id, bad) == nil {
			t.Errorf("label %q was taken", bad)
		}
	}
	m.Index = "sparse+https://nowhere.example.com/"
	if err := m.Label(id, "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where this machine is not enrolled: %v", err)
	}
}
