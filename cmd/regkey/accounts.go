// Several accounts at one registry: which one a command is about.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// enrolmentOf is enrolmentAs, where the key that a command names says which account is meant, if
// nothing else does: a key belongs to one account of a registry. An account that is said and is not
// the key's is an error, since what would then be judged, such as which key is the last that manages, is not
// what the command changes.
func (a *app) enrolmentOf(ctx context.Context, home, registry, account, key string) (*enroll.Enrolment, error) {
	if registry == "" && account == "" {
		of, err := a.accountsOf(home, "", key)
		switch {
		case err != nil:
			return nil, err
		case len(of) == 0:
			return a.enrolmentAs(ctx, home, "", "")
		case len(of) == 1:
			return of[0], nil
		}
		return a.chooseEnrolment(ctx, of)
	}
	e, err := a.enrolmentAs(ctx, home, registry, account)
	if err != nil {
		return nil, err
	}
	if account != "" && len(a.meant(home, e, key)) > 0 {
		return e, nil // whatever is called the same in another account
	}
	of, err := a.accountsOf(home, e.Index, key)
	switch {
	case err != nil:
		return nil, err
	case len(of) == 0:
		return e, nil
	case account == "":
		return of[0], nil
	}
	return nil, usage("%s is a key of the account %s at %s, not of %s", key, of[0].Account, label(e), account)
}

// accountsOf are the accounts that know the key, as far as this machine has verified their keysets: of one registry,
// or of all. The key is given by its name, label or id. A label of several keys is refused, as the
// accounts would be mistaken for those of one.
func (a *app) accountsOf(home, index, key string) ([]*enroll.Enrolment, error) {
	all, err := enroll.ListEnrolments(home)
	if err != nil || key == "" {
		return nil, err
	}
	var of []*enroll.Enrolment
	var called []keys.ID
	for _, e := range all {
		if e.Manual || index != "" && e.Index != index {
			continue
		}
		found := a.meant(home, e, key)
		for _, id := range found {
			if !slices.Contains(called, id) {
				called = append(called, id)
			}
		}
		if len(found) > 0 {
			of = append(of, e)
		}
	}
	if slices.SortFunc(called, keys.ID.Compare); len(called) > 1 {
		return nil, &severalError{key, called}
	}
	return of, nil
}

// meant are the keys that the account knows by that name, label or id: more than one where a label was given
// twice.
func (a *app) meant(home string, e *enroll.Enrolment, key string) []keys.ID {
	var several *severalError
	id, err := namesIn(a.store(home), e).find(key)
	found := []keys.ID{id}
	switch {
	case errors.As(err, &several):
		found = several.ids
	case err != nil:
		return nil
	}
	state := enroll.OpenState(home, e.Index, e.Account)
	return slices.DeleteFunc(found, func(id keys.ID) bool { return !knows(state, id) })
}

// keyHere is the name of the key of this machine that is given by its name, label or id. A label of several keys is
// refused. What is in the journal keeps its name, also where the key is gone by now; "" stays "".
func (a *app) keyHere(home, key string) (string, error) {
	store := a.store(home)
	if record, err := store.Lookup(key); key == "" || err == nil {
		return cmp.Or(record.Name, key), nil
	} else if keys.CheckName(key) == nil && !errors.Is(err, fs.ErrNotExist) {
		return key, nil // whoever needs it says what is wrong with it
	}
	ids, err := a.called(home, key)
	switch {
	case err != nil:
		return "", err
	case len(ids) > 1:
		return "", &severalError{key, ids}
	case len(ids) == 1:
		record, err := store.Find(ids[0])
		if err != nil {
			return "", advised(fmt.Errorf("key %s is not on this machine: %w", key, err), `"regkey status" lists the keys that are`)
		}
		return record.Name, nil
	}
	begun, _ := a.rotations(home)
	if slices.ContainsFunc(begun, func(i *enroll.Intent) bool { return i.Old == key }) {
		return key, nil
	}
	return "", advised(fmt.Errorf("there is no key %s: %w", key, fs.ErrNotExist), `"regkey status" lists the keys that there are`)
}

// called are the keys with that id, or that label at any account.
func (a *app) called(home, key string) (ids []keys.ID, err error) {
	if id, err := keys.ParseID(key); err == nil {
		return []keys.ID{id}, nil
	}
	all, err := enroll.ListEnrolments(home)
	for _, e := range all {
		for _, id := range (keyNames{labels: e.Labels}).labelled(key) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	slices.SortFunc(ids, keys.ID.Compare)
	return ids, err
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
