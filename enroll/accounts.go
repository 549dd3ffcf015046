// Several accounts at one registry: where the state of each is, and which one is in use.

package enroll

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// State is the folder of one account at one registry: enrolment.toml, keyset.note (the pin),
// keysets/VERSION.note (the versions that this machine has verified or made), revocations/*.note,
// pending.toml and proposal.toml. Whoever writes holds the lock of the home folder.
type State struct {
	dir   string
	fault error // why it can't be known which folder it is
}

// folderOf is the name of the folder of an account at the registry; "" stands for the first account,
// whichever that is.
func folderOf(index, account string) string {
	text := index
	if account != "" {
		text += "\n" + account
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

func stateAt(home, folder string) *State {
	return &State{dir: filepath.Join(home, "registries", folder)}
}

// OpenState names the folder of an account at the registry with that index URL; "" means the account
// in use. The folder need not exist. The first account of a registry has the folder that is named
// after the index URL alone, every other one a folder that is named after both.
func OpenState(home, index, account string) *State {
	first := stateAt(home, folderOf(index, ""))
	if account == "" {
		name, err := inUse(home, index)
		if err != nil {
			first.fault = err
			return first
		}
		if name == "" {
			return first
		}
		account = name
	}
	own := stateAt(home, folderOf(index, account))
	_, err := atomicfile.Stat(own.dir)
	if err == nil {
		return own
	}
	free := true
	if errors.Is(err, fs.ErrNotExist) {
		free, err = first.freeFor(account)
	}
	if unread(err) {
		// It may be another account's, which nothing of this one may be written to or taken from.
		first.fault = err
	}
	if free {
		return first
	}
	return own
}

// freeFor reports whether the folder is the account's, or nobody's. One that can't be read counts as
// the account's, so that its fault is told.
func (s *State) freeFor(account string) (bool, error) {
	e, err := s.enrolment()
	if errors.Is(err, fs.ErrNotExist) {
		var p *pending
		if p, err = s.pending(); err == nil && p != nil {
			e = &p.Enrolment
		}
	}
	return err != nil || e == nil || e.Account == account || e.Manual && e.Account == "", err
}

// folder is the last element of the folder's path.
func (s *State) folder() string { return filepath.Base(s.dir) }

// home is the folder that all of regkey's files are in.
func (s *State) home() string { return filepath.Dir(filepath.Dir(s.dir)) }

// inUseFile holds the name of the account that is in use at the registry. It lies beside the folders,
// so that none of them can take it along.
func inUseFile(home, index string) string {
	return filepath.Join(home, "registries", folderOf(index, "")+".in-use")
}

// inUse is the account that somebody chose; "" if nobody has: it is the first one then.
func inUse(home, index string) (string, error) {
	text, err := readFile(inUseFile(home, index), 100)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading which account is in use: %w", err)
	}
	name := strings.TrimSuffix(string(text), "\n")
	if err := CheckAccount(name); err != nil {
		return "", fmt.Errorf("reading which account is in use, in %q: %w", inUseFile(home, index), err)
	}
	return name, nil
}

// Use has tokens for the registry signed for that account from now on. The change is atomic: a
// provider that runs meanwhile takes the old account or the new one. The error wraps
// [fs.ErrNotExist] if this machine is not enrolled as the account.
func Use(home, index, account string) error {
	if err := CheckAccount(account); err != nil {
		return err
	}
	e, err := LookupAccount(home, index, account)
	if err != nil {
		return fmt.Errorf("using the account %s: %w", account, err)
	}
	if e.Account != account { // a record by hand, of no account
		return fmt.Errorf("using the account %s: this machine is not enrolled as it: %w", account, fs.ErrNotExist)
	}
	return atomicfile.Write(inUseFile(home, index), []byte(account+"\n"), 0o600)
}

// claim puts the account of a new enrolment in use if no other one is.
func (s *State) claim(e *Enrolment) error {
	if s.folder() == folderOf(e.Index, "") || e.Account == "" {
		return nil
	}
	if name, err := inUse(s.home(), e.Index); err != nil || name != "" {
		return err
	}
	if _, err := LookupEnrolment(s.home(), e.Index); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return Use(s.home(), e.Index, e.Account)
}

// LookupEnrolment reads the enrolment as the account in use at the registry with that index URL; the
// error wraps [fs.ErrNotExist] if there is none.
func LookupEnrolment(home, index string) (*Enrolment, error) {
	return LookupAccount(home, index, "")
}

// LookupAccount reads the enrolment as that account, "" meaning the one in use; the error wraps
// [fs.ErrNotExist] if there is none.
func LookupAccount(home, index, account string) (*Enrolment, error) {
	return OpenState(home, index, account).enrolment()
}

// ListEnrolments reads all enrolments, of all accounts, sorted by index URL and account.
func ListEnrolments(home string) ([]*Enrolment, error) {
	states, err := listStates(home)
	if err != nil {
		return nil, err
	}
	var all []*Enrolment
	for _, s := range states {
		e, err := s.enrolment()
		if errors.Is(err, fs.ErrNotExist) {
			continue // an enrolment that never got further than its signed bytes
		}
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *Enrolment) int {
		return strings.Compare(a.Index+"\n"+a.Account, b.Index+"\n"+b.Account)
	})
	return all, nil
}

func listStates(home string) ([]*State, error) {
	folders, err := atomicfile.ReadDir(filepath.Join(home, "registries"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing enrolments: %w", err)
	}
	var all []*State
	for _, folder := range folders {
		if folder.IsDir() { // else a choice of account, or a file manager's
			all = append(all, stateAt(home, folder.Name()))
		}
	}
	return all, nil
}
