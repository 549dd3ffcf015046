// What status says of keys that end, or can't sign any more.

package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// ends warns of keys of this machine that end soon, and of those that have ended and are to sign. A key
// that another one has replaced ends because somebody wants it to.
func (r *registrySurvey) ends(e *enroll.Enrolment, state *enroll.State, now time.Time) {
	for _, k := range r.Keys {
		until, err := time.Parse(time.RFC3339, k.Until)
		if err != nil || k.State == stateRevoked || k.Name == "" {
			continue
		}
		signs := signsFor(e, k.Name)
		switch {
		case k.State == stateEnded && signs && k.Name != e.Key: // of that one warnOfKey speaks
			r.attend("the key %s, which is to sign here, ended on %s: \"regkey renew %s\" has it go on, \"regkey use\" chooses another", k.Name, k.Until, k.Name)
		case k.State == stateEnded || until.After(now.Add(renewWithin)):
		case signs:
			r.attend("the key %s ends on %s: \"regkey renew\" has it go on", k.Name, k.Until)
		default:
			if id, err := keys.ParseID(k.ID); err == nil && !state.Replaced(id) {
				r.attend("the key %s ends on %s: \"regkey renew %s\" has it go on", k.Name, k.Until, k.Name)
			}
		}
	}
}

// warnOfKey looks at the keys that are to sign.
func (r *registrySurvey) warnOfKey(e *enroll.Enrolment) {
	switch {
	case e.Key == "":
		r.attend("no key of this machine signs for this registry: %s", r.another("enrols one"))
	case r.isLocked() && slices.ContainsFunc(r.Keys, func(k *trustedKey) bool { return k.State == stateSigns }):
		r.attend("no key manages the account %s any more, so none can be added or revoked by another: %s", e.Account, r.another("begins anew"))
	}
	for _, k := range r.Keys {
		switch {
		case k.Name != e.Key:
		case k.State == stateRevoked:
			r.attend("the key %s, which is to sign, is revoked: %s", k.Name, r.another("enrols another"))
		case k.State == stateEnded:
			r.attend("the key %s, which is to sign, ended on %s: \"regkey renew %s\" has it go on, %s", k.Name, k.Until, k.Name, r.another("enrols another"))
		}
	}
	for _, op := range operations {
		for _, k := range r.Keys {
			if k.Name == "" || k.Name != e.Uses[op] || k.State == stateRevoked || slices.Contains(k.Can, op) {
				continue
			}
			r.attend("the key %s, which is to %s here, may not: \"regkey use KEY --registry %s --for %s\" has another key do it", k.Name, operationWords[op], label(e), op)
		}
	}
}

// another says how a further key is enrolled here: that it does what. Where no key manages the account any more, only
// its operator can open it again.
func (r *registrySurvey) another(what string) string {
	command := "regkey enroll --registry " + r.meant() + " --key NAME"
	switch {
	case r.isLocked():
		return fmt.Sprintf("the registry's operator has to reset the account, as no key manages it; then \"%s --after-reset\" %s", command, what)
	case !r.managed(false):
		command += " --join"
	case !r.managed(true):
		command += " --with-file PATH"
	}
	return fmt.Sprintf("\"%s\" %s", command, what)
}

// isLocked reports whether no key manages the account any more, here or elsewhere. A keyset with no key in it was
// closed by a reset.
func (r *registrySurvey) isLocked() bool {
	return !slices.ContainsFunc(r.Keys, func(k *trustedKey) bool {
		return k.State != stateRevoked && k.State != stateEnded && slices.Contains(k.Can, enroll.Manage.String())
	})
}

// managed reports whether a key of this machine manages the account; with present, one that is not kept elsewhere.
func (r *registrySurvey) managed(present bool) bool {
	return slices.ContainsFunc(r.Keys, func(k *trustedKey) bool {
		return k.Name != "" && k.State != stateRevoked && slices.Contains(k.Can, enroll.Manage.String()) && !(present && k.elsewhere)
	})
}
