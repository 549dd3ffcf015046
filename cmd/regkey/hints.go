// What to do now: the one place that turns errors into advice.

package main

import (
	"cmp"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

// hints are lines of advice for an error; none where the error says all.
func hints(err error) []string {
	for _, find := range []func(error) []string{hintOwn, hintCargo, hintTrust, hintRegistry, hintKey, hintSSH, hintTwin, hintToken, hintLeft} {
		if lines := find(err); lines != nil {
			return lines
		}
	}
	return nil
}

// advice lets an error bring its own hint, where only its place knows one.
type advice struct {
	err   error
	lines []string
}

func (a *advice) Error() string { return a.err.Error() }
func (a *advice) Unwrap() error { return a.err }

func advised(err error, lines ...string) error { return &advice{err, lines} }

func hintOwn(err error) []string {
	var own *advice
	var missing *missingError
	var locked *lockedError
	var wrong *usageError
	switch {
	case errors.As(err, &own):
		return own.lines
	case errors.As(err, &missing):
		return []string{"give " + missing.flag}
	case errors.As(err, &locked):
		return []string{"wait for it, or end it, then run the same command again"}
	case errors.As(err, new(*severalError)):
		return []string{"give the id of the one that is meant"}
	case errors.As(err, &wrong):
		return []string{`"regkey COMMAND --help" shows what each command takes`}
	case errors.Is(err, errCancelled):
		return []string{"nothing was changed that the same command, run again, would not complete"}
	}
	return nil
}

func hintCargo(err error) []string {
	var unknown *cargo.UnknownRegistryError
	var project *cargo.ProjectOverrideError
	var stuck *cargo.NotEditableError
	switch {
	case errors.As(err, &unknown):
		return []string{"give the index URL instead: --registry sparse+https://…/index/ --name " + unknown.Name}
	case errors.As(err, &project):
		return []string{
			"a project's configuration may come from anybody, so it does not choose where you enrol",
			"if you trust this registry, give its index URL: --registry " + project.Index,
		}
	case errors.As(err, &stuck):
		lines := []string{"the file should hold these lines; put them in by hand:"}
		return append(lines, strings.Split(strings.TrimSuffix(stuck.Lines, "\n"), "\n")...)
	case errors.Is(err, cargo.ErrChanged):
		return []string{"run the same command again"}
	}
	return nil
}

func hintTrust(err error) []string {
	var distrust *enroll.DistrustError
	var index *registryclient.IndexError
	var rule *enroll.RuleError
	var stale *enroll.StaleProposalError
	switch {
	case errors.As(err, &index):
		return []string{
			"keys are trusted at one exact index URL, so nothing was signed",
			"if the registry has moved, or you trust the other URL, enrol there: --registry " + index.Said,
		}
	case errors.As(err, new(*registryclient.StrayError)):
		return []string{
			"that is not how a registry answers, so the answer was not used",
			"check the index URL, and what stands between here and there: a proxy, or a network that wants you to sign in",
			"if that is in order, ask the registry's operator, by another way than this registry",
		}
	case errors.As(err, &distrust):
		return []string{
			"the registry contradicts what this machine has verified before: nothing was signed",
			"ask its operator, by another way than this registry, whether it was restored from a backup, or the account reset",
			"a registry from a backup gets back what this machine holds: \"regkey sync\"",
			"after a reset, \"regkey enroll --registry " + cmp.Or(distrust.Registry, "R") + " --after-reset\" begins anew, with a new code",
		}
	case errors.As(err, &stale) && !stale.Own:
		return []string{"if it waits no more, run \"regkey enroll\" there again: it goes on with the same key"}
	case errors.As(err, &stale):
		return []string{`"regkey keyset show" prints it there; then run the same command here, with --keyset-code CODE`}
	case errors.As(err, &rule):
		lines := []string{"the registry's rules don't allow this change, so it was not sent"}
		if line, known := refusals[rule.Code]; known {
			lines = append(lines, line)
		}
		return lines
	case errors.As(err, new(*enroll.NoManagerError)):
		return []string{
			"run it on a machine that manages the account, or have a backup sign: --with-file PATH",
			"for a new key of this machine: \"regkey enroll --registry R --key NAME --join\" asks a machine that manages to let it in",
		}
	case errors.As(err, new(*enroll.PinError)):
		return []string{
			"bring the file back from a copy of regkey's folder",
			"without one: \"regkey keyset pins --reset --registry R\", then \"regkey enroll --registry R --account ACCOUNT\" with a key that is trusted there",
		}
	case errors.Is(err, enroll.ErrNotTrusted):
		return []string{`"regkey status" shows which keys each registry trusts`}
	case errors.Is(err, enroll.ErrManual):
		return []string{`"regkey export public --registry R" prints the key to paste there`}
	}
	return nil
}

// refusals say what to do about a registry's codes. Its own sentence has been shown already.
var refusals = map[string]string{
	"bootstrap-invalid":   "check the code and the account's name; a code serves once and expires: the operator makes a new one with \"regkey-registry invite ACCOUNT\"",
	"account-exists":      "the account has keys already: one of them has to let this one in: \"regkey enroll --join\", then \"regkey approve\" on a machine that manages",
	"key-unknown":         "\"regkey status\" shows which keys each registry trusts",
	"account-unknown":     "check the account's name, and that this key is still enrolled: \"regkey status --online\"",
	"keyset-conflict":     "another machine changed the keyset meanwhile: run the same command again",
	"proposal-unknown":    "a code serves for 15 minutes, and for the account that it was made for: look at the other machine for the code that it shows now",
	"proposal-limit":      "too many machines ask to be let in at once: wait some minutes",
	"key-in-use":          "every account has keys of its own: make another one with \"regkey init NAME\"",
	"key-revoked":         "a revoked key never comes back: make another one with \"regkey init NAME\"; \"regkey enroll\" replaces one that only reads",
	"token-expired":       "check this machine's clock",
	"token-not-yet-valid": "check this machine's clock",
	"keyset-wrong-time":   "check this machine's clock",
}

func hintRegistry(err error) []string {
	var refused *registryclient.Error
	var status *registryclient.StatusError
	var network *registryclient.NetworkError
	switch {
	case errors.As(err, &refused):
		if line, known := refusals[refused.Code]; known {
			return []string{line}
		}
	case errors.Is(err, registryclient.ErrNoKeyAPI):
		return []string{
			"if the registry takes keys on its website, enrol by hand: add --manual",
			"if it should have a key API, check the index URL",
		}
	case errors.Is(err, registryclient.ErrPlainHTTP):
		return []string{"anyone on the way can read and change plain http: use https, or, if you know better, add --insecure-http"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return []string{"nothing listens there: is the registry running, and is the index URL right?"}
	case errors.As(err, &network), errors.As(err, &status):
		return []string{again}
	}
	return nil
}

// again is what to do where something is left.
const again = "run the same command again later: it completes what was begun"

func hintLeft(err error) []string {
	switch {
	case errors.As(err, new(*enroll.LeftError)):
		return []string{again}
	case errors.As(err, new(*noSignerError)):
		return []string{`"regkey status" says how another key is enrolled`}
	}
	return nil
}

func hintKey(err error) []string {
	switch {
	case errors.Is(err, keys.ErrWrongPassphrase):
		return []string{"check " + envPassphraseFile + ", or run this on a terminal and type it"}
	case errors.Is(err, keys.ErrNoPassphrase):
		return []string{"run this on a terminal, or set " + envPassphraseFile + " to a file that holds the passphrase"}
	case errors.Is(err, keys.ErrNoItem):
		return []string{"if its item was deleted from the keychain, or its file came from another machine, nothing opens the key any more: revoke it, and make another with \"regkey init NAME\""}
	case keychainTrouble(err) != nil:
		return []string{
			"the key's wrapping key is in the keychain of your desktop session: log in there, or unlock the keychain, and run the same command again",
			"where there is no desktop, protect keys with a passphrase: \"regkey protect NAME --passphrase\", while the keychain works",
		}
	case errors.Is(err, keys.ErrElsewhere):
		return []string{"bring its file: --with-file PATH has it sign as the managing key"}
	case errors.Is(err, fs.ErrPermission):
		return []string{"the file belongs to somebody else, or the folder may not be written"}
	}
	return nil
}
