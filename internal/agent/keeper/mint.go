// Minting: what may be signed, and with which key, follows from the user's files at that moment.

package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

// fewTries is the number of tries of a PIN from which only a person may spend one: where it is left
// and the next is wrong too, only the last remains.
const fewTries = 2

// confirmLimit is how long a person has to say yes.
const confirmLimit = time.Minute

// A plan is a token that is to be minted: for which registry, and with which key.
type plan struct {
	registry string // what the user calls it
	record   keys.Record
	request  token.Request
}

// refuse is the answer to what won't be done, in words.
func refuse(format string, values ...any) error {
	return &agent.RefusedError{Detail: fmt.Sprintf(format, values...)}
}

// deny is the answer to what a person did not confirm.
func deny(format string, values ...any) error {
	return &agent.DeniedError{Detail: fmt.Sprintf(format, values...)}
}

// plan looks up which key signs.
func (k *keeper) plan(r agent.TokenRequest) (*plan, error) {
	operation, err := token.ParseOperation(r.Operation)
	if err != nil {
		return nil, refuse("%v", err)
	}
	if err := checkCrate(r.Name, r.Version); err != nil {
		return nil, err
	}
	e, err := enroll.LookupEnrolment(k.Home, r.Index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuse("nobody has enrolled at %q", r.Index)
	}
	if err != nil {
		return nil, refuse("%v", err)
	}
	p := &plan{registry: cmp.Or(e.Name, e.Index), request: token.Request{
		Index: e.Index, Subject: e.Subject, Operation: operation,
		Name: r.Name, Version: r.Version, Checksum: r.Checksum, Challenge: r.Challenge,
	}}
	name := e.KeyFor(string(operation))
	switch {
	case name == "":
		return nil, refuse("no key of this machine signs for %s any more", p.registry)
	case e.Challenge && operation.IsMutation() && r.Challenge == "":
		return nil, refuse("%s wants a challenge in each token, and there is none in the request", p.registry)
	}
	if p.record, err = k.store.Lookup(name); err != nil {
		return nil, refuse("%v", err)
	}
	return p, nil
}

// checkCrate refuses what cargo would not take for a crate's name or version. Whoever asks here may be no
// cargo, and a registry may look less closely.
func checkCrate(name, version string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if len(name) > 64 || strings.Trim(name, letters+"-_") != "" {
		return refuse("%.80q is no crate's name", name)
	}
	if version != "" && !semver.IsValid("v"+version) {
		return refuse("%.80q is no version", version)
	}
	return nil
}

// mint signs the token that is asked for. tell is for what happens meanwhile.
func (k *keeper) mint(ctx context.Context, r agent.TokenRequest, by string, tell func(agent.Answer)) (string, error) {
	p, err := k.plan(r)
	if err != nil {
		return "", err
	}
	if err := k.ready(p); err != nil {
		return "", err
	}
	if k.Settings.Confirm && p.request.Operation.IsMutation() {
		if err := k.confirm(ctx, p, by); err != nil {
			return "", err
		}
		// A person takes a while: the files may say something else by now.
		again, err := k.plan(r)
		if err != nil {
			return "", err
		}
		if !again.record.Equal(p.record) || again.request != p.request {
			return "", refuse("the key that signs for %s has changed while it was confirmed", p.registry)
		}
	}
	if p.record.Token != nil {
		return k.mintOnToken(ctx, p, tell)
	}
	return k.mintInMemory(ctx, p)
}

// ready says what a person has to be asked for first, if anything, before it is confirmed.
func (k *keeper) ready(p *plan) error {
	t := p.record.Token
	switch {
	case t == nil:
		_, err := k.key(p.record)
		return err
	case p.request.Operation == token.Read && t.Touch != "never":
		return refuse("the key that reads from %s wants a touch for each signature, and cargo reads without asking anybody", p.registry)
	case t.PIN == "never":
		return nil
	case t.Serial == 0:
		return refuse("key %q is in a token without a serial number, whose PIN can't be kept", p.record.Name)
	case !keepsPIN(t.PIN), k.vault.use(slot{serial: t.Serial}) == nil:
		return &agent.LockedError{Serial: t.Serial}
	}
	return nil
}

// keepsPIN reports whether a key of that PIN policy may be served with a kept PIN: "always" means that
// a person is there each time, and a policy that is unknown may mean that.
func keepsPIN(policy string) bool { return policy == "once" || policy == "match-once" }

// key is the software key that is held under the record's name. One that is not the record's own is
// dropped: the key was replaced since.
func (k *keeper) key(r keys.Record) (*holding, error) {
	at := slot{key: r.Name}
	h := k.vault.use(at)
	if h == nil || r.Public.IsZero() {
		return nil, &agent.LockedError{Key: r.Name}
	}
	if h.public != r.Public {
		k.vault.drop(at, h)
		k.Log.Warn("dropped a key", "key", r.Name, "because", "the store holds another one of that name now")
		return nil, &agent.LockedError{Key: r.Name}
	}
	return h, nil
}

func (k *keeper) mintInMemory(ctx context.Context, p *plan) (text string, err error) {
	h, err := k.key(p.record)
	if err != nil {
		return "", err
	}
	err = h.secret.Use(func(secret []byte) error {
		held := keys.NewSecret(secret)
		defer clear(held.Reveal())
		key, err := keys.ParseSoftwareKey(held)
		if err != nil {
			return err
		}
		text, err = token.Mint(ctx, key, p.request, k.Now())
		clear(key.Secret().Reveal()) // it is this call's alone
		return err
	})
	return text, failure(err, &agent.LockedError{Key: p.record.Name})
}

// mintOnToken has the hardware token sign.
func (k *keeper) mintOnToken(ctx context.Context, p *plan, tell func(agent.Answer)) (text string, err error) {
	leave, err := k.join()
	if err != nil {
		return "", err
	}
	defer leave()
	h := &holder{keeper: k, record: p.record, tell: tell}
	err = k.sessions.use(ctx, p.record, h, func(signer keys.Signer) (err error) {
		if signer.Public() != p.record.Public {
			return refuse("the token signs with another key than the record of %q says", p.record.Name)
		}
		text, err = token.Mint(ctx, signer, p.request, k.Now())
		return err
	})
	at := slot{serial: p.record.Token.Serial}
	if errors.Is(err, ErrWrongPIN) {
		k.vault.drop(at, h.sent)
	}
	if errors.Is(err, ErrGone) {
		k.vault.drop(at, k.vault.use(at))
	}
	return text, failure(err, &agent.LockedError{Serial: p.record.Token.Serial})
}

// failure is err as an answer can say it. locked is for what was dropped under a request's hands.
func failure(err error, locked *agent.LockedError) error {
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*agent.LockedError)), errors.As(err, new(*agent.RefusedError)):
		return err
	case errors.Is(err, errLocked), errors.Is(err, errWiped), errors.Is(err, ErrWrongPIN):
		return locked
	}
	return refuse("%v", err)
}

// join is for a request that waits for a person or a card. They are counted, so that one program
// that asks without end does not fill the memory; what waits for nobody goes on beside them.
func (k *keeper) join() (leave func(), err error) {
	select {
	case k.crowd <- struct{}{}:
		return func() { <-k.crowd }, nil
	default:
		return nil, refuse("%d requests are waiting already", maxCrowd)
	}
}

// confirm asks a person, one thing at a time. Nobody to ask is a no.
func (k *keeper) confirm(ctx context.Context, p *plan, by string) error {
	if k.Confirm == nil {
		return deny("it was to be confirmed, and the agent can ask nobody")
	}
	leave, err := k.join()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, confirmLimit)
	defer cancel()
	select {
	case k.asking <- struct{}{}:
		defer func() { <-k.asking }()
	case <-ctx.Done():
		return deny("it was not confirmed within %v", confirmLimit)
	}
	if err := k.Confirm(ctx, p.describe(by)); err != nil {
		return deny("it was not confirmed: %v", err)
	}
	return nil
}

// describe says what is to be signed, for whom, with what, and who asks. The crate's name and version
// are what somebody's project says, and push nothing else off the screen.
func (p *plan) describe(by string) string {
	crate := fmt.Sprintf("%.64q", p.request.Name)
	if p.request.Version != "" {
		crate += fmt.Sprintf(" %.64q", p.request.Version)
	}
	if p.request.Checksum != "" {
		crate += fmt.Sprintf(" (sha256 %.8s…)", p.request.Checksum)
	}
	what := map[token.Operation]string{
		token.Publish: "publish " + crate + " to ",
		token.Yank:    "yank " + crate + " at ",
		token.Unyank:  "take back the yank of " + crate + " at ",
		token.Owners:  "see or change who owns " + crate + " at ",
	}[p.request.Operation]
	return cargo.Printable(fmt.Sprintf("%s%.200s, with key %s? %s asks.", what, p.registry, p.record.Name, by))
}
