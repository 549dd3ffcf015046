// Keys that live in a running ssh-agent: taking them up, and signing with them.

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cargo-regkey/regkey/internal/sshkeys"
	"github.com/cargo-regkey/regkey/keys"
)

// envSSHAgent says where the ssh-agent is.
const envSSHAgent = "SSH_AUTH_SOCK"

// runInitSSHAgent takes up a key of the agent. It signs once, to show that it can.
func (a *app) runInitSSHAgent(ctx context.Context, store *keys.Store, o initOptions) error {
	agent, err := sshkeys.Dial(ctx, a.getenv(envSSHAgent))
	if err != nil {
		return err
	}
	a.warnOfForwarding(ctx, agent)
	key, err := a.chooseSSHKey(ctx, agent, o.sshKey)
	if err != nil {
		return err
	}
	if same, err := store.Find(key.Public.ID()); err == nil {
		return sameKey(same)
	}
	if _, err := keys.Sign(ctx, agent.Signer(key.Public), proof); err != nil {
		return fmt.Errorf("trying the key: %w", err)
	}
	record, err := store.CreateSSHAgent(keys.Record{Name: o.name, Public: key.Public, Created: a.now()})
	if err != nil {
		return err
	}
	err = a.reportInit(factsOf(store, record), o)
	a.say("regkey: it never manages an account's keys: %s", elsewhere(record))
	return err
}

// warnOfForwarding speaks of an agent that an SSH connection has brought here.
func (a *app) warnOfForwarding(ctx context.Context, agent *sshkeys.Agent) {
	if forwarded, why := agent.Forwarded(ctx); forwarded {
		a.say("regkey: warning: the ssh-agent is forwarded from another machine (%s): whoever rules this one can publish", why)
		a.say("        with its keys while the connection stands; add them there with \"ssh-add -c\", to be asked each time")
	}
}

// chooseSSHKey finds the agent's key that wanted names by its fingerprint or comment; without that it
// is the only one, or a person chooses.
func (a *app) chooseSSHKey(ctx context.Context, agent *sshkeys.Agent, wanted string) (sshkeys.Key, error) {
	usable, others, err := agent.Keys(ctx)
	if err != nil {
		return sshkeys.Key{}, err
	}
	if others > 0 {
		a.say("regkey: the ssh-agent holds %s besides, which can't sign for registries: only plain Ed25519 and P-384 keys can", count(others, "key"))
	}
	if len(usable) == 0 {
		return sshkeys.Key{}, advised(errors.New("the ssh-agent holds no key that can sign for registries, or is locked"),
			"\"ssh-keygen -t ed25519\" makes one, \"ssh-add\" adds it, \"ssh-add -X\" unlocks the agent")
	}
	var found []sshkeys.Key
	for _, key := range usable {
		if wanted == "" || key.Fingerprint == wanted || key.Comment == wanted {
			found = append(found, key)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return sshkeys.Key{}, usage("--ssh-key %.200q: the ssh-agent holds none of that fingerprint or comment; it holds\n%s", wanted, strings.Join(shownKeys(usable), "\n"))
	}
	shown := shownKeys(found)
	answer, err := a.choose(ctx, "Which key of the ssh-agent?", "--ssh-key", shown)
	if err != nil {
		return sshkeys.Key{}, err
	}
	for i, text := range shown {
		if text == answer {
			return found[i], nil
		}
	}
	return sshkeys.Key{}, errCancelled
}

// shownKeys are lines for people: no two are the same, as fingerprints differ.
func shownKeys(all []sshkeys.Key) (lines []string) {
	for _, key := range all {
		lines = append(lines, strings.TrimSpace(key.Fingerprint+" "+strings.ToValidUTF8(key.Comment, "")))
	}
	return lines
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// unlockSSHAgent is the key in the agent that runs now. Whether that still holds it shows when it
// signs.
func (a *app) unlockSSHAgent(ctx context.Context, r keys.Record) (keys.Signer, error) {
	agent, err := sshkeys.Dial(ctx, a.getenv(envSSHAgent))
	if err != nil {
		return nil, fmt.Errorf("unlocking key %q, which is in an ssh-agent: %w", r.Name, err)
	}
	return agent.Signer(r.Public), nil
}

// checkSSHAgent looks whether the agent holds the keys that are in it.
func (a *app) checkSSHAgent(ctx context.Context, d *diagnosis, records []keys.Record) {
	if len(namesOf(records, keys.SSHAgent)) == 0 {
		return
	}
	agent, err := sshkeys.Dial(ctx, a.getenv(envSSHAgent))
	var held []sshkeys.Key
	if err == nil {
		held, _, err = agent.Keys(ctx)
	}
	if err != nil {
		d.fault("ssh-agent", "", err)
		return
	}
	if forwarded, why := agent.Forwarded(ctx); forwarded {
		d.problem("ssh-agent", "", "it is forwarded from another machine: "+why, "whoever rules this machine can publish with its keys while the connection stands: add them there with \"ssh-add -c\"")
	}
	for _, r := range records {
		if r.Protection != keys.SSHAgent {
			continue
		}
		if fingerprint := heldAs(held, r.Public); fingerprint != "" {
			d.ok("ssh-agent", r.Name, "holds it, as %s", fingerprint)
			continue
		}
		d.fault("ssh-agent", r.Name, sshkeys.ErrNotHeld)
	}
}

func heldAs(held []sshkeys.Key, public keys.PublicKey) string {
	for _, key := range held {
		if key.Public == public {
			return key.Fingerprint
		}
	}
	return ""
}

// hintSSH says how to get at an ssh-agent, or a key into it.
func hintSSH(err error) []string {
	switch {
	case errors.Is(err, sshkeys.ErrNoAgent):
		return []string{
			"start one and add the key: eval \"$(ssh-agent)\" && ssh-add; then run the same command again",
			"or, if one runs, set " + envSSHAgent + " to its socket",
		}
	case errors.Is(err, sshkeys.ErrNotHeld):
		return []string{"\"ssh-add FILE\" adds the key, \"ssh-add -X\" unlocks the agent, \"ssh-add -l\" shows what it holds"}
	}
	return nil
}
