// Several accounts at one registry: which one a command is about.

package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// enrolmentOf is enrolmentAs, where the key that a command names says which account is meant, if
// nothing else does: a key belongs to one account of a registry. An account that is said and is not
// the key's is an error, since what would then be judged, such as which key is the last that manages, is not
// what the command changes.
func (a *app) enrolmentOf(ctx context.Context, home, registry, account, key string) (*enroll.Enrolment, error) {
	of, err := a.accountsOf(home, key)
	if err != nil || len(of) == 0 {
		return a.enrolmentAs(ctx, home, registry, account)
	}
	if registry == "" && account == "" {
		if len(of) == 1 {
			return of[0], nil
		}
		return a.chooseEnrolment(ctx, of)
	}
	e, err := a.enrolmentAs(ctx, home, registry, account)
	if err != nil {
		return nil, err
	}
	for _, other := range of {
		if other.Index != e.Index {
			continue
		}
		if account == "" || other.Account == account {
			return other, nil
		}
		return nil, usage("%s is a key of the account %s at %s, not of %s", key, other.Account, label(e), account)
	}
	return e, nil
}

// accountsOf are the accounts that know the key, as far as this machine has verified their keysets.
// The key is given by its name, label or id.
func (a *app) accountsOf(home, key string) ([]*enroll.Enrolment, error) {
	all, err := enroll.ListEnrolments(home)
	if err != nil || key == "" {
		return nil, err
	}
	store := a.store(home)
	return slices.DeleteFunc(all, func(e *enroll.Enrolment) bool {
		id, err := namesIn(store, e).find(key)
		return err != nil || e.Manual || !knows(enroll.OpenState(home, e.Index, e.Account), id)
	}), nil
}

// lookBack is how many versions back a key is looked for that the newest one does not list.
const lookBack = 100

// knows reports whether the account's keyset lists the key, names it as revoked, or listed it not
// long ago, as before a rotation that is run again.
func knows(state *enroll.State, id keys.ID) bool {
	k, err := state.Keyset()
	if err != nil {
		return false
	}
	if slices.Contains(k.Revoked, id) {
		return true
	}
	for version := k.Version; version > 0 && version > k.Version-lookBack; version-- {
		if version < k.Version {
			if k, err = state.Version(version); err != nil {
				continue // a hole
			}
		}
		if _, listed := k.Entry(id); listed {
			return true
		}
	}
	return false
}

// where names an enrolment's registry, and the account where this machine is enrolled there as
// several.
func where(e *enroll.Enrolment, all []*enroll.Enrolment) string {
	for _, other := range all {
		if other.Index == e.Index && other.Account != e.Account {
			return fmt.Sprintf("%s as %s", label(e), e.Account)
		}
	}
	return label(e)
}
