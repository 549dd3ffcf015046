// Whoever holds the token, as far as the agent can answer for that person: with a PIN that is kept.

package keeper

import (
	"context"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/internal/lockedmemory"
	"github.com/cargo-regkey/regkey/keys"
)

// errWiped says that a secret was dropped under a request's hands.
var errWiped = lockedmemory.ErrWiped

// A holder answers for one signature.
type holder struct {
	*keeper
	record keys.Record
	tell   func(agent.Answer)
	sent   *holding // the PIN that was given out
}

var _ Person = (*holder)(nil)

// PIN gives the one that is kept, once: what the token refuses is not sent a second time.
func (h *holder) PIN(_ context.Context, policy string, tries int) (keys.Secret, error) {
	locked := &agent.LockedError{Serial: h.record.Token.Serial}
	if !keepsPIN(policy) || tries <= fewTries || h.sent != nil {
		return keys.Secret{}, locked
	}
	kept := h.vault.use(slot{serial: h.record.Token.Serial})
	if kept == nil {
		return keys.Secret{}, locked
	}
	var pin keys.Secret
	if err := kept.secret.Use(func(secret []byte) error { pin = keys.NewSecret(secret); return nil }); err != nil {
		return keys.Secret{}, locked
	}
	h.sent = kept
	return pin, nil
}

// Touch is told to the client, who can show it.
func (h *holder) Touch() func() {
	h.tell(agent.Answer{Kind: agent.SayTouch, Serial: h.record.Token.Serial})
	return func() { h.tell(agent.Answer{Kind: agent.SayTouched}) }
}
