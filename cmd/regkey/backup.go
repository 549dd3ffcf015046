// regkey init --backup: a key that may only manage, and that is kept elsewhere.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// A backup is a key on its way out of this machine.
type backup struct {
	record keys.Record
	key    *keys.SoftwareKey
	sealed []byte // none where it was in its file already
	at     []*backupPlace
}

// A backupPlace is an account that is to trust it.
type backupPlace struct {
	e    *enroll.Enrolment
	life *enroll.Lifecycle
	can  enroll.Can
	done *enroll.Enrolled
}

// runBackup makes the key in memory, writes or prints it encrypted, and enrols it where this machine
// manages. Of the key itself nothing stays here but what is public. Interrupted, it is completed by
// the same command with the same --file.
func (a *app) runBackup(ctx context.Context, o initOptions) error {
	if o.file != "" {
		var err error
		if o.file, err = filepath.Abs(o.file); err != nil {
			return err
		}
	}
	return a.locked(ctx, func(ctx context.Context, home string) error {
		b := &backup{}
		var err error
		if o.file != "" {
			_ = atomicfile.Tidy(o.file) // what an interrupted run left; writing the file says what is wrong there
		}
		if b.at, err = a.backupPlaces(ctx, home, o); err != nil {
			return err
		}
		found, err := a.findBackup(ctx, a.store(home), b, o)
		if err != nil {
			return err
		}
		if !found {
			if err := a.confirmBackup(ctx, b, o); err != nil {
				return err
			}
			if err := a.makeBackup(ctx, a.store(home), b, o); err != nil {
				return err
			}
		}
		return a.enrollBackup(ctx, b, o)
	})
}

// backupPlaces are the accounts that this machine manages.
func (a *app) backupPlaces(ctx context.Context, home string, o initOptions) ([]*backupPlace, error) {
	all, err := a.syncTargets(ctx, home, syncOptions{registry: o.registry})
	if err != nil {
		return nil, err
	}
	var places []*backupPlace
	strict := false
	for _, e := range all {
		life, client := a.lifecycleOf(home, e)
		k, err := life.Sync(ctx)
		if err != nil {
			return nil, fmt.Errorf("asking %s: %w", label(e), err)
		}
		d, err := client.Discover(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case !a.manages(life, k):
			a.say("regkey: left out %s: no key of this machine manages %s there", label(e), e.Account)
			continue
		case d.Hardware.Required:
			a.say("regkey: left out %s: it takes only keys %s; a key in a second token is the backup there: \"regkey init NAME --hardware\", then \"regkey enroll --registry %s --key NAME --can manage,publish\"", label(e), describePolicy(d.Hardware), label(e))
			strict = true
			continue
		}
		can := enroll.Manage
		if d.AuthRequired {
			can |= enroll.Read // whoever manages has to read keysets, which the registry shows to no other key
		}
		places = append(places, &backupPlace{e: e, life: life, can: can})
	}
	if len(places) == 0 && strict {
		return nil, advised(errors.New("there is no account that this machine could enrol a backup in a file for"), "see above for what to do instead")
	}
	if len(places) == 0 {
		return nil, advised(errors.New("there is no account that this machine could enrol a backup for"),
			"a key of this machine has to manage it: \"regkey status\" shows which do")
	}
	return places, nil
}

// manages reports whether a key whose secret is here manages the account.
func (a *app) manages(life *enroll.Lifecycle, k *enroll.SignedKeyset) bool {
	records, _ := life.Keys.List()
	return slices.ContainsFunc(records, func(r keys.Record) bool {
		e, listed := k.Entry(r.Public.ID())
		return listed && e.Can.Has(enroll.Manage) && r.Protection != keys.Elsewhere && !slices.Contains(k.Revoked, r.Public.ID())
	})
}

// findBackup goes on with a key of that name that an earlier run has made, if its file is here.
func (a *app) findBackup(ctx context.Context, store *keys.Store, b *backup, o initOptions) (found bool, err error) {
	b.record, err = store.Lookup(o.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, a.findBackupFile(ctx, store, b, o)
	}
	if err != nil {
		return false, err
	}
	if b.record.Protection != keys.Elsewhere || o.file == "" {
		return false, keyExists(store, o.name)
	}
	b.key, err = a.openBackup(ctx, o.file)
	switch {
	case errors.Is(err, fs.ErrNotExist): // whoever names another file means another key
		return false, keyExists(store, o.name)
	case err != nil:
		return false, err
	}
	if b.key.Public() != b.record.Public {
		return false, fmt.Errorf("%q holds another key than %s", o.file, o.name)
	}
	return true, nil
}

// findBackupFile takes up the key of a file that an earlier run has written, and was stopped before it noted the
// key: its passphrase opens it, and no key here is that one. Any other file is left alone.
func (a *app) findBackupFile(ctx context.Context, store *keys.Store, b *backup, o initOptions) error {
	if o.file == "" {
		return nil
	}
	if _, err := atomicfile.Lstat(o.file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	a.advise("regkey: %s is there already: if an interrupted run has made it, its passphrase opens it", o.file)
	key, err := a.openBackup(ctx, o.file)
	if err == nil {
		if _, err = store.Find(key.Public().ID()); errors.Is(err, fs.ErrNotExist) {
			b.key = key
			return nil
		}
	}
	if ctx.Err() != nil || errors.Is(err, errCancelled) {
		return errCancelled
	}
	return advised(fmt.Errorf("writing the backup to %q: %w", o.file, fs.ErrExist), "it is never overwritten: give another --file")
}

// openBackup opens a file that an earlier run of the same command has written: with the passphrase that it was given for
// that, or as any other.
func (a *app) openBackup(ctx context.Context, path string) (*keys.SoftwareKey, error) {
	if file := a.getenv(envNewPassphraseFile); file != "" {
		key, err := keys.OpenKeyFile(ctx, path, func(ctx context.Context, _ keys.Record) (keys.Secret, error) {
			return keys.PassphraseFromFile(ctx, file)
		})
		if !errors.Is(err, keys.ErrWrongPassphrase) {
			return key, err
		}
	}
	return a.openFile(ctx, path)
}

// confirmBackup shows all that is about to happen.
func (a *app) confirmBackup(ctx context.Context, b *backup, o initOptions) error {
	if o.yes {
		return nil
	}
	a.say("key       %s, which can change what your accounts trust, and nothing else", o.name)
	for _, p := range b.at {
		a.say("account   %s at %s, where it may %v", p.e.Account, label(p.e), p.can)
	}
	where := "printed here, to be kept on paper"
	if o.file != "" {
		where = "written to " + o.file
	}
	a.say("kept      %s, encrypted with a passphrase; nothing secret of it stays on this machine", where)
	return a.confirm(ctx, "Make this backup?")
}

// makeBackup generates the key and puts it where it is to be kept, unless that is done; after that it is known here.
func (a *app) makeBackup(ctx context.Context, store *keys.Store, b *backup, o initOptions) (err error) {
	if b.key == nil {
		if err := a.writeBackup(ctx, b, o); err != nil {
			return err
		}
	}
	b.record, err = store.CreateElsewhere(keys.Record{Name: o.name, Public: b.key.Public(), Created: a.now()})
	return err
}

func (a *app) writeBackup(ctx context.Context, b *backup, o initOptions) (err error) {
	if b.key, err = keys.Generate(o.algorithm); err != nil {
		return err
	}
	passphrase, err := a.backupPassphrase(ctx, o.name)
	if err != nil {
		return err
	}
	if b.sealed, err = keys.EncodeKeyFile(b.key, passphrase); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return errCancelled
	}
	if o.file != "" {
		if err := atomicfile.Create(o.file, b.sealed, 0o600); err != nil {
			return fmt.Errorf("writing the backup: %w", err)
		}
		return nil
	}
	return a.printBackup(o.name, b.sealed)
}

// backupPassphrase is typed twice, or comes from a file.
func (a *app) backupPassphrase(ctx context.Context, name string) (keys.Secret, error) {
	w := lockWish{name: name, question: "Passphrase for the backup " + name + ":", file: envNewPassphraseFile}
	if !a.terminal && a.getenv(w.file) == "" {
		return keys.Secret{}, advised(&missingError{what: "a passphrase for the backup " + name}, "set "+w.file+" to a file that holds one")
	}
	passphrase, _, err := a.newPassphrase(ctx, w)
	return passphrase, err
}

// printBackup writes the encrypted key on stdout, on a terminal as a QR code too.
func (a *app) printBackup(name string, sealed []byte) error {
	if out, ok := a.stdout.(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		a.printQR(out, string(sealed))
	}
	_, err := a.stdout.Write(sealed)
	a.advise("regkey: print or photograph this, and keep it with care: with its passphrase it is the key %s", name)
	a.advise("        a file with the text from BEGIN to END opens it: --with-file PATH; so does \"age -d\"")
	return err
}

// enrollBackup has every account trust the key.
func (a *app) enrollBackup(ctx context.Context, b *backup, o initOptions) error {
	a.opened(b.record.Name, b.key)
	defer delete(a.unlocked, b.record.Name)
	var failures error
	for _, p := range b.at {
		a.purpose = "enrol " + b.record.Name + " at " + label(p.e)
		plan, err := p.life.PlanEnrolment(ctx, enroll.EnrolOptions{
			Account: p.e.Account, Key: b.record, Can: p.can,
			Challenge: p.e.Challenge, MaxAge: p.e.MaxAge, Insecure: p.e.Insecure,
		})
		if err == nil {
			p.done, err = plan.Run(ctx, keys.Secret{})
		}
		if err != nil {
			failures = errors.Join(failures, fmt.Errorf("enrolling %s at %s: %w", b.record.Name, label(p.e), err))
		}
	}
	if failures != nil {
		again := "run the same command again, with --file and the key's file, to enrol it where it is missing"
		failures = advised(failures, again)
	}
	return errors.Join(a.reportBackup(b, o), failures)
}

// backupFacts is the outcome in JSON.
type backupFacts struct {
	Name      string             `json:"name"`
	Algorithm string             `json:"algorithm"`
	Public    string             `json:"public"`
	ID        string             `json:"id"`
	File      string             `json:"file"`
	Accounts  []backupPlaceFacts `json:"accounts"`
}

type backupPlaceFacts struct {
	Registry    string   `json:"registry"`
	Index       string   `json:"index"`
	Account     string   `json:"account"`
	Can         []string `json:"can"`
	Version     int      `json:"version"`
	Certificate string   `json:"certificate,omitzero"`
}

func (a *app) reportBackup(b *backup, o initOptions) error {
	f := backupFacts{b.record.Name, b.record.Public.Algorithm().String(), b.record.Public.String(), b.record.Public.ID().String(), o.file, []backupPlaceFacts{}}
	facts := []fact{{"backup", f.Name + " (" + f.Algorithm + ")"}, {"id", f.ID}, {"file", f.File}}
	for _, p := range b.at {
		if p.done == nil {
			continue
		}
		f.Accounts = append(f.Accounts, backupPlaceFacts{p.e.Name, p.e.Index, p.e.Account, p.done.Can.Names(), p.done.Version, p.done.Certificate})
		facts = append(facts, fact{"enrolled", fmt.Sprintf("%s at %s, may %s, keyset version %d", p.e.Account, label(p.e), strings.Join(p.done.Can.Names(), ","), p.done.Version)})
	}
	if o.json {
		return a.printJSON(f)
	}
	out := a.stdout
	if o.file == "" {
		a.stdout = a.stderr // stdout is the backup itself
		defer func() { a.stdout = out }()
	}
	err := a.printFacts(facts...)
	if home, homeErr := a.home(); o.file != "" && homeErr == nil && sameDisk(o.file, home) {
		a.say("regkey: move %s away from this disk: it is for the day when this machine is gone", o.file)
	}
	return err
}

// suggestBackup speaks once, when the only key of an account has been enrolled, of what happens if it is
// lost.
func (a *app) suggestBackup(life *enroll.Lifecycle, done *enroll.Enrolled) {
	if only := onlyManager(life.State()); done.Step == enroll.EnrolFirst && only != "" {
		records, _ := life.Keys.List() // what can't be read is no key in a token
		a.advise("regkey: %s", backupAdvice(done.Account, only, records))
	}
}

// backupAdvice is what to do where the key with that id is the only one that manages. A registry that
// takes only keys in hardware takes no backup in a file; that is not known here, but the key tells.
func backupAdvice(account, only string, records []keys.Record) string {
	text := "only one key manages " + account + ": \"regkey init safe --backup\" makes another one to keep elsewhere"
	at := slices.IndexFunc(records, func(r keys.Record) bool { return !r.Public.IsZero() && r.Public.ID().String() == only })
	switch {
	case at < 0:
		return text + ", on the machine that has that key"
	case records[at].Protection == keys.Elsewhere:
		return "only the backup " + records[at].Name + " manages " + account + ": \"regkey keyset edit KEY --can manage,publish,yank,owners,read --with-file PATH\" has a key of a machine manage it too"
	case records[at].Protection == keys.Hardware:
		return text + ", and \"regkey enroll --key KEY --with " + records[at].Name + " --can manage,publish\" has one in a second token manage too"
	}
	return text
}

// onlyManager is the id of the only key that manages, as this machine knows; "" if there are several.
func onlyManager(state *enroll.State) string {
	k, err := state.Keyset()
	if err != nil || k.Closed {
		return ""
	}
	revocations, err := state.Revocations()
	if err != nil {
		return ""
	}
	var managing []string
	for _, e := range k.Keys {
		id := e.Key.ID()
		if e.Can.Has(enroll.Manage) && !slices.ContainsFunc(revocations, func(r *enroll.SignedRevocation) bool { return r.Key == id }) {
			managing = append(managing, id.String())
		}
	}
	if len(managing) != 1 {
		return ""
	}
	return managing[0]
}
