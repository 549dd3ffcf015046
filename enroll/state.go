// The files of a state: the enrolment, the pins, and bytes that are signed but not yet accepted.

package enroll

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// SetAside moves the folder out of the way, to former/ in the home folder, so that an enrolment can
// begin anew; nothing is deleted. It is for the user who knows that the registry's operator has
// reset the account.
func (s *State) SetAside(now time.Time) error {
	_, err := s.setAside(now)
	return err
}

func (s *State) setAside(now time.Time) (target string, err error) {
	if s.fault != nil {
		return "", s.fault
	}
	if err := atomicfile.MkdirAll(filepath.Join(s.home(), "former"), 0o700); err != nil {
		return "", err
	}
	target = filepath.Join(s.home(), "former", filepath.Base(s.dir)+"-"+now.UTC().Format("20060102T150405.000Z"))
	if err := atomicfile.Rename(s.dir, target); err != nil {
		return "", fmt.Errorf("setting the old keyset aside: %w", err)
	}
	return target, nil
}

// maxStateFile bounds, in bytes, what is read of one file.
const maxStateFile = 1 << 20

// enrolment refuses a file that was moved here from another registry's folder, whose name is a hash
// of the index URL, and of the account where it is not the first.
func (s *State) enrolment() (*Enrolment, error) {
	e := &Enrolment{}
	if err := s.readTOML("enrolment.toml", e); err != nil {
		return nil, err
	}
	if f := s.folder(); f != folderOf(e.Index, "") && (e.Account == "" || f != folderOf(e.Index, e.Account)) {
		return nil, fmt.Errorf("reading %q: it is about %q, whose folder is another", filepath.Join(s.dir, "enrolment.toml"), e.Index)
	}
	return e, nil
}

// saveEnrolment makes e's account the one in use if there is no other at the registry.
func (s *State) saveEnrolment(e *Enrolment) error {
	if err := s.writeTOML("enrolment.toml", e); err != nil {
		return err
	}
	return s.claim(e)
}

// A PinError says that the pin of an account can't be read, though it is there, or should be.
type PinError struct {
	Err error // names the file
}

// Error says what is wrong with which file.
func (e *PinError) Error() string { return "reading the pinned keyset: " + e.Err.Error() }

// Unwrap is what is wrong with the file.
func (e *PinError) Unwrap() error { return e.Err }

// Keyset is the newest keyset that this machine has verified: the pin. Any error but that of a state
// which can't be opened is a [*PinError]; it wraps [fs.ErrNotExist] if there is no pin.
func (s *State) Keyset() (*SignedKeyset, error) {
	if s.fault != nil {
		return nil, s.fault
	}
	path := filepath.Join(s.dir, "keyset.note")
	note, err := readFile(path, maxStateFile)
	if err != nil {
		return nil, &PinError{err}
	}
	k, err := ParseSignedKeyset(note)
	if err != nil {
		return nil, &PinError{fmt.Errorf("%q: %w", path, err)}
	}
	return k, nil
}

// pin keeps k, then moves the pin to it.
func (s *State) pin(k *SignedKeyset) error {
	if err := s.keep(k); err != nil {
		return err
	}
	if err := s.write("keyset.note", k.Note); err != nil {
		return err
	}
	return s.settle(func(id keys.ID) bool { return slices.Contains(k.Revoked, id) })
}

// Revocations are those that this machine has made or verified, sorted by key id.
func (s *State) Revocations() ([]*SignedRevocation, error) {
	if s.fault != nil {
		return nil, s.fault
	}
	files, err := atomicfile.ReadDir(filepath.Join(s.dir, "revocations"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing revocations: %w", err)
	}
	var all []*SignedRevocation
	for _, file := range files {
		if filepath.Ext(file.Name()) != ".note" {
			continue // what an interrupted write left
		}
		note, err := s.read(filepath.Join("revocations", file.Name()))
		if err != nil {
			return nil, err
		}
		r, err := ParseSignedRevocation(note)
		if err != nil {
			return nil, fmt.Errorf("reading revocation %q: %w", filepath.Join(s.dir, "revocations", file.Name()), err)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *SignedRevocation) int { return a.Key.Compare(b.Key) })
	return all, nil
}

func (s *State) addRevocation(r *SignedRevocation) error {
	return s.write(filepath.Join("revocations", r.Key.String()+".note"), r.Note)
}

// revoked are the ids of [State.Revocations].
func (s *State) revoked() ([]keys.ID, error) {
	all, err := s.Revocations()
	if err != nil {
		return nil, err
	}
	ids := make([]keys.ID, len(all))
	for i, r := range all {
		ids[i] = r.Key
	}
	return ids, nil
}

// pending is a signed keyset that waits for an answer. These very bytes are sent again until the
// registry has answered, so that a lost answer costs no second touch or passphrase.
type pending struct {
	Note string `toml:"note,multiline"`
	// Attestations go along: chains of certificates in standard base64.
	Attestations [][]string `toml:"attestations,omitempty"`
	Enrolment    Enrolment  `toml:"enrolment"` // what becomes of the enrolment once the keyset stands
}

func (p *pending) keyset() (*SignedKeyset, error) { return ParseSignedKeyset([]byte(p.Note)) }

// pending is nil if nothing waits.
func (s *State) pending() (*pending, error) {
	p := &pending{}
	err := s.readTOML("pending.toml", p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return p, err
}

// Pending reports whether signed bytes wait for the registry's answer.
func (s *State) Pending() bool {
	_, err := atomicfile.Stat(filepath.Join(s.dir, "pending.toml"))
	return err == nil && s.fault == nil
}

func (s *State) setPending(p *pending) error { return s.writeTOML("pending.toml", p) }

func (s *State) clearPending() error { return s.remove("pending.toml") }

func (s *State) remove(name string) error {
	if s.fault != nil {
		return s.fault
	}
	return atomicfile.Remove(filepath.Join(s.dir, name))
}

func (s *State) read(name string) ([]byte, error) {
	if s.fault != nil {
		return nil, s.fault
	}
	data, err := readFile(filepath.Join(s.dir, name), maxStateFile)
	if err != nil {
		return nil, fmt.Errorf("reading registry state: %w", err)
	}
	return data, nil
}

// readFile reads a file of at most limit bytes. The error names the path.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := atomicfile.Stat(path)
	if err == nil && info.Size() > limit {
		return nil, fmt.Errorf("%q is larger than %d bytes", path, limit)
	}
	return atomicfile.ReadFile(path)
}

func (s *State) readTOML(name string, into any) error {
	data, err := s.read(name)
	if err != nil {
		return err
	}
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(into); err != nil {
		return fmt.Errorf("reading %q: %w", filepath.Join(s.dir, name), err)
	}
	return nil
}

func (s *State) write(name string, data []byte) error {
	if s.fault != nil {
		return s.fault
	}
	path := filepath.Join(s.dir, name)
	if err := atomicfile.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o600)
}

func (s *State) writeTOML(name string, value any) error {
	data, err := toml.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return s.write(name, data)
}
