// Revocations that are sent from a machine which is behind: what the key had signed until then stands.

package enroll

import (
	"context"
	"errors"
	"testing"
)

// behind is a machine of an account whose keys "laptop" and "desk" manage, and another machine, on which
// laptop has let "ci" in meanwhile: version 3, which the first has not seen.
func behind(t *testing.T) (m, ahead *machine) {
	t.Helper()
	m = enrolled(t)
	m.key("desk", ed(2))
	m.must(m.enrol("desk", CanEverything))
	ahead = m.copy(false)
	m.key("ci", ed(3))
	ahead.key("ci", ed(3))
	return m, ahead
}

// sent has the registry take the key's own revocation, and m remember that, as a certificate does.
func (m *machine) sent(t *testing.T) *SignedRevocation {
	t.Helper()
	r := mustRevoke(t, ed(1).Public().ID(), Lost, ed(1))
	m.must(m.book.Revoke(context.Background(), r.Note))
	m.must(RecordRevocation(m.Home, r))
	if known, err := m.State().revoked(); err != nil || len(known) != 1 {
		t.Fatalf("known are %v, %v", known, err)
	}
	return r
}

func TestCertificateFromAMachineThatIsBehind(t *testing.T) {
	m, ahead := behind(t)
	ahead.must(ahead.enrol("ci", 0)) // signed by laptop
	m.sent(t)
	m.must(second(m.Sync(context.Background())))
	if m.pinned() != 3 {
		t.Errorf("pinned is version %d", m.pinned())
	}
	m.must(m.revoke("laptop")) // desk takes it out of the keyset
	m.wants(4, "desk", []string{"ci", "desk"}, []string{"laptop"})
}

// Between the look at what stands and the yes, the key signs once more: a thief may, in that very minute.
func TestRevokedKeySignsBeforeTheYes(t *testing.T) {
	m, ahead := behind(t)
	plan, err := m.PlanRevocation(context.Background(), "laptop", Compromised)
	m.must(err)
	ahead.must(ahead.enrol("ci", CanEverything))
	if _, err := plan.Run(context.Background()); !refusedAs(err, "keyset-conflict") {
		t.Errorf("over a version that was not shown: %v", err)
	}
	m.must(m.revoke("laptop")) // the same command again
	m.must(m.revoke(ed(3).Public().ID().String()))
	m.wants(5, "desk", []string{"desk"}, []string{"ci", "laptop"})
}

// Once a sync has shown what had been accepted before the revocation, nothing by that key can come any more.
func TestNothingFollowsARevocation(t *testing.T) {
	for _, synced := range []bool{false, true} {
		m, ahead := behind(t)
		m.sent(t)
		if synced {
			m.must(second(m.Sync(context.Background())))
		}
		m.book.revoked = nil // the registry lets the key sign again
		ahead.must(ahead.enrol("ci", 0))
		r := mustRevoke(t, ed(1).Public().ID(), Lost, ed(1))
		m.must(m.book.Revoke(context.Background(), r.Note))
		_, err := m.Sync(context.Background())
		if errors.As(err, new(*DistrustError)) != synced {
			t.Errorf("synced before %v: %v", synced, err)
		}
	}
}

// A refusal that has nothing to do with an older state is no reason to send an account's versions again.
func TestPushOnlyWhatIsMissing(t *testing.T) {
	for code, sends := range map[string]bool{
		codeAccountUnknown: true, "key-unknown": true, "key-not-allowed": true, "key-expired": true,
		"key-revoked": false, "rate-limited": false, "internal-error": false, "token-wrong-registry": false,
	} {
		m := enrolled(t)
		m.Registry = &liar{Registry: m.Registry, shut: no(code)}
		m.line.sent = nil
		_, err := m.Push(context.Background())
		if err == nil || len(m.line.sent) > 0 != sends {
			t.Errorf("refused with %s: %d sent, %v", code, len(m.line.sent), err)
		}
		if !sends && !refusedAs(err, code) {
			t.Errorf("refused with %s, and said is %v", code, err)
		}
	}
}
