// Approvals that are overtaken: by another change of the account, and by another machine's approval of the same.

package enroll

import (
	"context"
	"errors"
	"testing"
)

// approvers are two machines that manage an account, before which a third one waits, and its code.
func approvers(t *testing.T) (a, b, asker *machine, code string) {
	t.Helper()
	a = enrolled(t)
	for n, name := range []string{"ci", "desk", "other"} {
		a.key(name, ed(byte(2+n)))
	}
	a.must(a.enrol("desk", CanEverything))
	b = a.copy(false)
	b.With = "desk"
	asker = a.elsewhere()
	asker.key("ci", ed(2))
	w, err := asker.Propose(context.Background(), asker.asking("ci"))
	asker.must(err)
	return a, b, asker, w.Code
}

func TestApprovalIsOvertaken(t *testing.T) {
	a, b, asker, code := approvers(t)
	plan, err := b.FetchProposal(context.Background(), code)
	b.must(err)
	a.must(a.enrol("other", Read))
	var stale *StaleProposalError
	if _, err := plan.Run(context.Background()); !errors.As(err, &stale) || stale.Built != 3 || stale.Stands != 3 {
		t.Fatalf("the slower one: %v", err)
	}
	if b.State().Pending() {
		t.Error("what was refused still waits")
	}
	w, err := asker.Propose(context.Background(), asker.asking("ci"))
	asker.must(err)
	b.must(b.approve(w.Code))
	b.wants(4, "laptop", []string{"ci", "desk", "laptop", "other"}, nil)
}

// Both have signed the very same version: whoever comes second finds it done, and goes on with it as it stands.
func TestTwoApproveTheSame(t *testing.T) {
	a, b, _, code := approvers(t)
	plan, err := b.FetchProposal(context.Background(), code)
	b.must(err)
	a.must(a.approve(code))
	if approved, err := plan.Run(context.Background()); err != nil || approved.Version != 3 {
		t.Fatalf("%+v, %v", approved, err)
	}
	for _, m := range []*machine{a, b} {
		m.must(m.approve(code)) // it is done
		m.must(second(m.Sync(context.Background())))
		m.must(m.enrol("other", Read))
		m.wants(4, "laptop", []string{"ci", "desk", "laptop", "other"}, nil)
	}
}
