// What this machine knows of its keys and registries, gathered for status.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// A survey is the result of status, in JSON.
type survey struct {
	Keys       []keyFacts        `json:"keys"`
	Registries []*registrySurvey `json:"registries"`
	Unfinished []string          `json:"unfinished"` // what was begun and is not complete, a line each
	Attention  bool              `json:"attention"`  // something wants to be done soon: "regkey status --check" fails then
	err        error             // what could not be read
}

type registrySurvey struct {
	Name      string        `json:"name"` // cargo's; may be empty
	Index     string        `json:"index"`
	Account   string        `json:"account,omitzero"`
	Manual    bool          `json:"manual"`
	Challenge bool          `json:"challenge"`
	Insecure  bool          `json:"insecure-http"`
	Key       string        `json:"key"` // which signs; empty: none does
	Subject   string        `json:"subject,omitzero"`
	Since     string        `json:"since"`
	Version   int           `json:"version,omitzero"` // of the pinned keyset
	Hash      string        `json:"hash,omitzero"`
	Issued    string        `json:"issued,omitzero"`
	Closed    bool          `json:"closed"`
	Pending   bool          `json:"pending"` // a change is signed and not yet accepted
	Keys      []*trustedKey `json:"keys"`
	Warnings  []string      `json:"warnings"`
	Notes     []string      `json:"notes,omitzero"` // what is worth a thought, and can wait

	InUse bool              `json:"in-use"`        // cargo signs for this account
	Uses  map[string]string `json:"uses,omitzero"` // keys that sign for one operation, in place of Key

	attention bool
	unused    bool   // cargo signs for no account there: the one that was chosen is gone
	place     string // the registry, and the account where this machine has several there
}

// The states of a key at a registry.
const (
	stateSigns   = "signs"       // trusted, and the one that this machine signs with
	stateTrusted = "trusted"     //
	stateEnded   = "ended"       // past its until
	stateRevoked = "revoked"     //
	stateAbsent  = "not trusted" // this machine signs with it, and the keyset does not list it
)

// A trustedKey is one key at one registry.
type trustedKey struct {
	Name        string   `json:"name"`           // empty: not on this machine
	Label       string   `json:"label,omitzero"` // what this machine calls it
	ID          string   `json:"id"`
	Public      string   `json:"public,omitzero"`
	State       string   `json:"state"`
	Can         []string `json:"can"`
	Crates      []string `json:"crates,omitzero"`
	Since       string   `json:"since,omitzero"`
	Until       string   `json:"until,omitzero"`
	Certificate string   `json:"certificate,omitzero"` // where its revocation certificate was written

	elsewhere bool // of this machine, and kept elsewhere, as a backup is
}

// survey reads everything and asks nobody. What can't be read is left out and said in err.
func (a *app) survey(home string) *survey {
	store := a.store(home)
	records, err := store.List()
	s := &survey{Keys: []keyFacts{}, Registries: []*registrySurvey{}, Unfinished: append([]string{}, a.leftLines(home, "status")...), err: err}
	for _, r := range records {
		s.Keys = append(s.Keys, factsOf(store, r))
	}
	enrolments, err := enroll.ListEnrolments(home)
	s.err = errors.Join(s.err, err)
	for _, e := range enrolments {
		r, err := a.surveyRegistry(home, e, records)
		s.err = errors.Join(s.err, err)
		r.place = where(e, enrolments)
		s.Registries = append(s.Registries, r)
		s.Attention = s.Attention || r.attention
	}
	s.Attention = s.Attention || len(s.Unfinished) > 0
	return s
}

func (a *app) surveyRegistry(home string, e *enroll.Enrolment, records []keys.Record) (*registrySurvey, error) {
	r := &registrySurvey{
		Name: e.Name, Index: e.Index, Account: e.Account, Manual: e.Manual, Challenge: e.Challenge, Insecure: e.Insecure,
		Key: e.Key, Subject: e.Subject, Since: moment(e.Since), Keys: []*trustedKey{}, Warnings: []string{},
	}
	r.uses(home, e)
	var err error
	if e.Manual {
		r.manual(e, records)
	} else {
		err = r.keyset(home, e, records, a.now())
	}
	if r.Pending {
		r.attend("a change is signed and not yet accepted: run the command that made it again")
	}
	if e.Key != "" && !slices.ContainsFunc(records, func(k keys.Record) bool { return k.Name == e.Key }) {
		r.attend("the key %s, which is to sign, is not on this machine any more: \"regkey enroll --registry %s --key NAME\" enrols another", e.Key, r.meant())
	}
	r.certificates(home, e)
	r.cargo(a)
	return r, err
}

func (r *registrySurvey) warn(format string, values ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, values...))
}

// attend is warn for what can't wait for ever.
func (r *registrySurvey) attend(format string, values ...any) {
	r.attention = true
	r.warn(format, values...)
}

// meant is the registry as a command line names it, with the account where another one is in use there.
func (r *registrySurvey) meant() string {
	if r.Manual || r.InUse {
		return r.label()
	}
	return r.label() + " --account " + r.Account
}

// uses says which account is in use, and which keys sign for one operation alone.
func (r *registrySurvey) uses(home string, e *enroll.Enrolment) {
	used, err := enroll.LookupEnrolment(home, e.Index)
	r.InUse = err == nil && used.Account == e.Account
	r.unused = errors.Is(err, fs.ErrNotExist)
	for _, op := range operations {
		if name := e.KeyFor(op); name != e.Key {
			if r.Uses == nil {
				r.Uses = map[string]string{}
			}
			r.Uses[op] = name
		}
	}
}

// manual lists the one key that is known to be there.
func (r *registrySurvey) manual(e *enroll.Enrolment, records []keys.Record) {
	for _, k := range records {
		if k.Name == e.Key && !k.Public.IsZero() {
			r.Keys = append(r.Keys, &trustedKey{
				Name: k.Name, ID: k.Public.ID().String(), Public: k.Public.String(), State: stateSigns,
				Can: []string{}, Since: moment(e.Since),
			})
		}
	}
}

// keyset lists the keys of the pinned keyset, and those of this machine that were revoked.
func (r *registrySurvey) keyset(home string, e *enroll.Enrolment, records []keys.Record, now time.Time) error {
	state := enroll.OpenState(home, e.Index, e.Account)
	r.Pending = state.Pending()
	k, err := state.Keyset()
	if err != nil {
		return err
	}
	r.Version, r.Hash, r.Issued, r.Closed = k.Version, k.Hash().String(), moment(k.Issued), k.Closed
	revocations, err := state.Revocations()
	revoked := slices.Clone(k.Revoked)
	for _, revocation := range revocations {
		revoked = append(revoked, revocation.Key)
	}
	names := map[keys.ID]keys.Record{}
	for _, record := range records {
		names[record.Public.ID()] = record
	}
	for _, entry := range k.Keys {
		r.Keys = append(r.Keys, r.trusted(e, entry, names[entry.Key.ID()], revoked, now))
	}
	for _, record := range records {
		id := record.Public.ID()
		_, listed := k.Entry(id)
		switch {
		case listed || id.IsZero():
		case slices.Contains(revoked, id):
			r.Keys = append(r.Keys, &trustedKey{Name: record.Name, ID: id.String(), Public: record.Public.String(), State: stateRevoked, Can: []string{}})
		case record.Name == e.Key:
			r.Keys = append(r.Keys, &trustedKey{Name: record.Name, ID: id.String(), Public: record.Public.String(), State: stateAbsent, Can: []string{}})
			r.attend("the key %s, which is to sign, is not in the keyset: \"regkey enroll --registry %s --key %s\"", record.Name, r.meant(), record.Name)
		}
	}
	r.warnOfKey(e)
	r.ends(e, state, now)
	if only := onlyManager(state); only != "" {
		r.Notes = append(r.Notes, backupAdvice(e.Account, only, records))
	}
	return err
}

func (r *registrySurvey) trusted(e *enroll.Enrolment, entry enroll.Entry, record keys.Record, revoked []keys.ID, now time.Time) *trustedKey {
	id := entry.Key.ID()
	k := &trustedKey{
		Name: record.Name, ID: id.String(), Public: entry.Key.String(), State: stateTrusted, Can: entry.Can.Names(),
		Crates: entry.Crates, Until: moment(entry.Until), Certificate: e.Certificates[id.String()], Label: e.Labels[id.String()],
		elsewhere: record.Protection == keys.Elsewhere,
	}
	if record.Name != "" {
		// Trust can't be older than the key or the enrolment; the registry knows more, with
		// --online.
		k.Since = moment(later(record.Created, e.Since))
	}
	switch {
	case slices.Contains(revoked, id):
		k.State = stateRevoked
	case !entry.Alive(now):
		k.State = stateEnded
	case record.Name != "" && record.Name == e.Key:
		k.State = stateSigns
	}
	return k
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// certificates finds those that would be lost together with their keys.
func (r *registrySurvey) certificates(home string, e *enroll.Enrolment) {
	for _, k := range r.Keys {
		path := e.Certificates[k.ID]
		if path == "" || k.State == stateRevoked {
			continue
		}
		if _, err := atomicfile.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue // moved away, as it should be
		}
		if sameDisk(path, home) {
			r.warn("the revocation certificate of %s still lies on this disk: move %s to another place", k.shown(), path)
		}
	}
}

// cargo finds what stands against, or leaks beside, the line that enrolling wrote.
func (r *registrySurvey) cargo(a *app) {
	if r.Name == "" {
		return
	}
	config, err := a.cargoConfig()
	if err != nil {
		r.warn("%v", err)
		return
	}
	provider, err := a.provider()
	if err != nil {
		r.warn("%v", err)
		return
	}
	for _, warning := range config.Warnings(r.Name, r.Index, []string{provider}) {
		r.warn("%v", warning)
	}
}

// since is what a registry says of one key.
type since struct {
	index, id string
	at        time.Time
}

// askRegistries moves every pin to what the registries have, and fetches since when keys are
// trusted.
func (a *app) askRegistries(ctx context.Context, home string) ([]since, error) {
	enrolments, err := enroll.ListEnrolments(home)
	if err != nil {
		return nil, err
	}
	var answers []since
	for _, e := range enrolments {
		if e.Manual {
			continue
		}
		life, client := a.lifecycleOf(home, e)
		k, syncErr := life.Sync(ctx)
		if syncErr != nil {
			err = errors.Join(err, fmt.Errorf("asking %s: %w", label(e), syncErr))
			continue
		}
		for _, entry := range k.Keys {
			state, keyErr := client.Key(ctx, entry.Key.ID())
			if keyErr != nil {
				err = errors.Join(err, fmt.Errorf("asking %s: %w", label(e), keyErr))
				break
			}
			answers = append(answers, since{e.Index, entry.Key.ID().String(), state.Since})
		}
	}
	return answers, err
}

// add puts in what the registries said.
func (s *survey) add(answers []since) {
	for _, answer := range answers {
		for _, r := range s.Registries {
			for _, k := range r.Keys {
				if r.Index == answer.index && k.ID == answer.id {
					k.Since = moment(answer.at)
				}
			}
		}
	}
}
