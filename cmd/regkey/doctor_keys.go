// What doctor looks at around keys: what guards them at rest, and who keeps them unlocked.

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
)

// agentPatience is how long an agent may take to say how it is: it takes a millisecond.
const agentPatience = 2 * time.Second

// checkKeys looks at what this machine has of keys, and at what others may do with the files.
func (a *app) checkKeys(d *diagnosis, home string) []keys.Record {
	store := a.store(home)
	records, err := store.List()
	if err != nil {
		d.problem("key", "", strings.ReplaceAll(err.Error(), "\n", "; "), "repair the file, or move it away: the others go on without it")
	}
	if err == nil && len(records) == 0 {
		d.skip("key", "", "there is no key yet", `"regkey init NAME" makes one`)
	}
	for _, r := range records {
		checkKey(d, factsOf(store, r))
	}
	if open := openTo(filepath.Join(home, "keys")); open != "" {
		d.problem("key", "", open, "chmod 700 "+filepath.Join(home, "keys"))
	}
	return records
}

// checkKey looks at one key's files. That a key is unprotected its user has chosen: it is said, and
// not counted as a problem.
func checkKey(d *diagnosis, f keyFacts) {
	if open := openTo(f.File); open != "" {
		d.problem("key", f.Name, open, fmt.Sprintf("chmod 600 %s; who could read an unprotected key has it: \"regkey rotate\"", f.File))
		return
	}
	if f.Leftover != "" {
		d.problem("key", f.Name, "an interrupted change of its protection left "+f.Leftover,
			fmt.Sprintf("\"regkey protect %s --%s\" removes it", f.Name, f.Protection))
		return
	}
	detail := f.Algorithm + ", " + f.guard()
	if origin := f.origin(); origin != "" {
		detail += ", " + origin
	}
	d.ok("key", f.Name, "%s", detail)
	if f.Protection == string(keys.Unprotected) {
		last := &d.checks[len(d.checks)-1]
		last.Remedy = []string{fmt.Sprintf("anyone who can read %s can publish as you: \"regkey protect %s\" protects it", f.File, f.Name)}
	}
}

// checkKeychain tries the keychain, where a key needs it.
func (a *app) checkKeychain(ctx context.Context, d *diagnosis, records []keys.Record) {
	names := namesOf(records, keys.Keychain)
	if len(names) == 0 || a.keychain == nil {
		return
	}
	if err := a.keychain.Available(ctx); err != nil {
		d.problem("keychain", "", err.Error(), strings.Join(names, ", ")+" can't be opened without it: log in to the desktop session whose keychain it is, or unlock it")
		return
	}
	d.ok("keychain", "", "keeps, and gives back, what opens %s", strings.Join(names, ", "))
}

// checkAgent says how the agent is.
func (a *app) checkAgent(ctx context.Context, d *diagnosis, home string) {
	if agent.Off() {
		d.skip("agent", "", "REGKEY_AGENT=off: none is used, so passphrases and PINs are asked for each time")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	client, err := agent.Dial(ctx, home)
	var status agent.Status
	if err == nil {
		status, err = client.Status(ctx)
	}
	switch {
	case errors.Is(err, agent.ErrNoAgent):
		d.ok("agent", "", "none runs; the first passphrase or PIN that is typed starts it")
	case err != nil:
		d.problem("agent", "", err.Error(), "\"regkey agent stop\" ends it, and the next one will do")
	case status.Weakness != "":
		d.problem("agent", "", "what it holds may be swapped to disk: "+status.Weakness, "raise the limit of locked memory (ulimit -l), then \"regkey agent stop\"")
	default:
		d.ok("agent", "", "runs (process %d), and holds %s", status.PID, holds(status))
	}
}

// holds says what an agent holds.
func holds(s agent.Status) string {
	var held []string
	for _, k := range s.Keys {
		held = append(held, k.Name)
	}
	for _, t := range s.Tokens {
		if !t.Idle.IsZero() {
			held = append(held, fmt.Sprintf("the PIN of YubiKey %d", t.Serial))
		}
	}
	if len(held) == 0 {
		return "nothing"
	}
	return strings.Join(held, ", ")
}

// namesOf are the names of the keys that have that protection.
func namesOf(records []keys.Record, p keys.Protection) (names []string) {
	for _, r := range records {
		if r.Protection == p {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}
