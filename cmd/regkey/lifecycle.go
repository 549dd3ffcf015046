// Joining the lifecycle with this program's keys, clock and HTTP.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
	"github.com/cargo-regkey/regkey/token"
)

// lifecycle is that of the account in use at a registry, and the client that it speaks through.
func (a *app) lifecycle(home, index string, insecure bool) (*enroll.Lifecycle, *registryclient.Client) {
	return a.lifecycleAs(home, index, "", insecure)
}

// lifecycleOf is that of an enrolment, whose account need not be the one in use.
func (a *app) lifecycleOf(home string, e *enroll.Enrolment) (*enroll.Lifecycle, *registryclient.Client) {
	return a.lifecycleAs(home, e.Index, e.Account, e.Insecure)
}

// lifecycleAs is that of an account; "" is the one in use.
func (a *app) lifecycleAs(home, index, account string, insecure bool) (*enroll.Lifecycle, *registryclient.Client) {
	store := a.store(home)
	options := a.clientOptions(index, insecure)
	options.Token = func(ctx context.Context) (string, error) { return a.readToken(ctx, home, index, account) }
	client := registryclient.New(index, options)
	return &enroll.Lifecycle{
		Home: home, Index: index, Account: account, With: a.manager, Registry: client, Keys: store, Now: a.now,
		Unlock:  func(ctx context.Context, name string) (keys.Signer, error) { return a.unlock(ctx, store, name) },
		Noticed: func(changes []enroll.Change) { a.noticed(home, index, account, changes) },
	}, client
}

// A noSignerError says that this machine has no key left for a registry.
type noSignerError struct{ registry string }

func (e *noSignerError) Error() string {
	return fmt.Sprintf("no key of this machine signs for %s any more", e.registry)
}

// readToken signs with the key that is enrolled at that moment: a rotation may have changed it.
func (a *app) readToken(ctx context.Context, home, index, account string) (string, error) {
	e, err := enroll.LookupAccount(home, index, account)
	if errors.Is(err, fs.ErrNotExist) && a.joinsWith != "" {
		e, err = &enroll.Enrolment{Index: index, Key: a.joinsWith}, nil
	}
	if err != nil {
		return "", err
	}
	store := a.store(home)
	name := cmp.Or(e.KeyFor(string(token.Read)), a.manager)
	if _, err := atomicfile.Stat(store.Path(e.ReadKey)); e.Key != "" && (err != nil || a.readsItself) {
		name = e.Key // the key that reads is lost or has ended, and another is about to be made
	}
	if a.readsAs != "" {
		name = a.readsAs
	}
	if name == "" {
		return "", &noSignerError{label(e)}
	}
	// A read waits for no token: whoever only looks should not have to fetch it.
	before := a.hurry
	a.hurry = true
	key, err := a.unlock(ctx, store, name)
	a.hurry = before
	if err != nil {
		return "", err
	}
	return token.Mint(ctx, key, token.Request{Index: index, Subject: e.Subject, Operation: token.Read}, a.now())
}

// registryPatience is how long a command waits for one registry in all, between one question to a person and the next. An
// honest one needs seconds, for the some ten requests of a command and the ten batches of a thousand keysets, and each
// request has half a minute; so this is far beyond what is slow, and still what a person or a cron job may bear.
// Another registry of the same command has its own.
const registryPatience = 3 * time.Minute

func (a *app) clientOptions(index string, insecure bool) registryclient.Options {
	options := a.reach
	options.InsecureHTTP, options.UserAgent = insecure, userAgent()
	if a.patience[index] == nil {
		a.patience[index] = registryclient.NewPatience(registryPatience)
	}
	options.Patience = a.patience[index]
	return options
}

// asked begins every registry's patience anew: a person was asked, or is waited for.
func (a *app) asked() {
	for _, p := range a.patience {
		p.Renew()
	}
}

func userAgent() string { return "regkey/" + version() }
