// What status says of keys that end, or can't sign any more.

package main

import (
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

// warnOfKey looks at the key that is to sign.
func (r *registrySurvey) warnOfKey(e *enroll.Enrolment) {
	again := "\"regkey enroll --registry " + r.meant() + " --key NAME\""
	if !r.managed() {
		again = "\"regkey enroll --registry " + r.meant() + " --key NAME --join\""
	}
	if e.Key == "" {
		r.attend("no key of this machine signs for this registry: %s enrols one", again)
	}
	for _, k := range r.Keys {
		switch {
		case k.Name != e.Key:
		case k.State == stateRevoked:
			r.attend("the key %s, which is to sign, is revoked: %s enrols another", k.Name, again)
		case k.State == stateEnded:
			r.attend("the key %s, which is to sign, ended on %s: \"regkey renew %s\" has it go on, %s enrols another", k.Name, k.Until, k.Name, again)
		}
	}
}

// managed reports whether a key of this machine manages the account.
func (r *registrySurvey) managed() bool {
	return slices.ContainsFunc(r.Keys, func(k *trustedKey) bool {
		return k.Name != "" && k.State != stateRevoked && slices.Contains(k.Can, enroll.Manage.String())
	})
}
