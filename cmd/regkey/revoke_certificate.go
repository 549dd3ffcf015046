// regkey revoke --certificate: ending a key by what was signed in advance.

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/registryclient"
)

// runRevokeByCertificate sends a revocation that was signed in advance. It needs no enrolment and
// no key.
func (a *app) runRevokeByCertificate(ctx context.Context, o revokeOptions) error {
	r, err := enroll.OpenCertificate(o.certificate)
	if err != nil {
		return err
	}
	if err := a.checkCertificate(r, o.registry); err != nil {
		return err
	}
	if !o.yes {
		a.say("index     %s", r.Registry)
		a.say("key       %v", r.Key)
		a.sayLast(r)
		if err := a.confirm(ctx, "End this key there, for ever?"); err != nil {
			return err
		}
	}
	client := registryclient.New(r.Registry, a.clientOptions(r.Registry, o.insecure))
	if _, err := client.Discover(ctx); err != nil {
		return fmt.Errorf("submitting the revocation of %v: %w", r.Key, err)
	}
	if err := client.Revoke(ctx, r.Note); err != nil {
		return mayHaveEnded(fmt.Errorf("submitting the revocation of %v: %w", r.Key, err))
	}
	return errors.Join(a.reportCertificate(r, o), a.remember(ctx, r))
}

// mayHaveEnded marks a failure after which nobody here knows whether the registry has ended the key.
func mayHaveEnded(err error) error {
	if refusal := enroll.Refusal(nil); errors.As(err, &refusal) {
		return err
	}
	return &enroll.LeftError{Err: err}
}

// remember keeps a revocation that was sent, where this machine is enrolled at the registry.
func (a *app) remember(ctx context.Context, r *enroll.SignedRevocation) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	if all, err := enroll.ListEnrolments(home); err != nil || len(all) == 0 {
		return err
	}
	return a.locked(ctx, func(_ context.Context, home string) error { return enroll.RecordRevocation(home, r) })
}

func (a *app) reportCertificate(r *enroll.SignedRevocation, o revokeOptions) error {
	if o.json {
		return a.printJSON(revocationFacts{Index: r.Registry, ID: r.Key.String(), Reason: string(r.Reason)})
	}
	return a.printFacts(fact{"revoked", r.Key.String()}, fact{"index", r.Registry}, fact{"reason", string(r.Reason)})
}

// checkCertificate refuses a certificate for another registry than the one that is named. What the name
// stands for may be unknown on this machine, which may have nothing at all: the certificate says where it goes.
func (a *app) checkCertificate(r *enroll.SignedRevocation, registry string) error {
	if registry == "" {
		return nil
	}
	t, err := a.target(registry, "")
	if errors.As(err, new(*cargo.UnknownRegistryError)) {
		a.say("regkey: cargo knows no registry %s here; the certificate is for %s", registry, r.Registry)
		return nil
	}
	if err != nil {
		return err
	}
	if t.index != r.Registry && !slices.Contains(a.formerOf(t.index), r.Registry) {
		return advised(fmt.Errorf("the certificate is for another registry than %s: for %s, and %s is %s", registry, r.Registry, registry, t.index),
			"leave --registry out, and it goes where it says")
	}
	return nil
}

// formerOf are the URLs that the registry had before, as far as this machine has heard.
func (a *app) formerOf(index string) []string {
	home, err := a.home()
	if err != nil {
		return nil
	}
	e, err := enroll.LookupEnrolment(home, index)
	if err != nil {
		return nil
	}
	return e.Former
}

// sayLast warns where this machine knows that no key would be left to manage the account.
func (a *app) sayLast(r *enroll.SignedRevocation) {
	home, err := a.home()
	if err != nil {
		return
	}
	all, _ := enroll.ListEnrolments(home) // what can't be read warns of nothing
	for _, e := range all {
		if e.Index == r.Registry && onlyManager(enroll.OpenState(home, e.Index, e.Account)) == r.Key.String() {
			a.say("regkey: it is the last key that manages the account %s: without it only the registry's operator can open the account again", e.Account)
		}
	}
}
