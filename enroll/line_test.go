// The line between a machine and its registry, which fails.

package enroll

import (
	"context"
	"errors"
)

// What happens to the call at which a line fails.
type failure string

const (
	lostBefore failure = "request lost"
	lostAfter  failure = "answer lost"
	refused    failure = "refused"
)

var errLine = errors.New("the line is dead")

// A line leads to a registry and fails once, at one call; or never.
type line struct {
	Registry
	calls, at int
	failure   failure
	kinds     []string     // of the calls
	sent      [][]byte     // keysets, whether or not they arrived
	attested  [][][][]byte // what went along with each
}

func (l *line) call(kind string, do func() error) error {
	l.calls++
	l.kinds = append(l.kinds, kind)
	if l.calls != l.at {
		return do()
	}
	switch l.failure {
	case refused:
		return no("not-now")
	case lostAfter:
		_ = do()
	}
	return errLine
}

func (l *line) Submit(ctx context.Context, account string, s Submission) error {
	l.sent, l.attested = append(l.sent, s.Note), append(l.attested, s.Attestations)
	return l.call("submit", func() error { return l.Registry.Submit(ctx, account, s) })
}

func (l *line) Revoke(ctx context.Context, note []byte) error {
	return l.call("revoke", func() error { return l.Registry.Revoke(ctx, note) })
}

func (l *line) Latest(ctx context.Context, account string) (note []byte, revocations [][]byte, err error) {
	err = l.call("latest", func() error {
		note, revocations, err = l.Registry.Latest(ctx, account)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return note, revocations, nil
}

func (l *line) Keysets(ctx context.Context, account string, from int) (notes [][]byte, more bool, err error) {
	err = l.call("keysets", func() error {
		notes, more, err = l.Registry.Keysets(ctx, account, from)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return notes, more, nil
}

func (l *line) Propose(ctx context.Context, account string, s Submission) (answer Proposed, err error) {
	err = l.call("propose", func() error {
		answer, err = l.Registry.Propose(ctx, account, s)
		return err
	})
	if err != nil {
		return Proposed{}, err
	}
	return answer, nil
}

func (l *line) Proposal(ctx context.Context, account, code string) (answer *Proposal, err error) {
	err = l.call("proposal", func() error {
		answer, err = l.Registry.Proposal(ctx, account, code)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (l *line) KeysetByCode(ctx context.Context, account, code string) (note []byte, revocations [][]byte, err error) {
	err = l.call("keyset by code", func() error {
		note, revocations, err = l.Registry.KeysetByCode(ctx, account, code)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return note, revocations, nil
}
