// The versions of a keyset that this machine has verified or made, as far back as it saw them.

package enroll

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

func historyName(version int) string {
	return filepath.Join("keysets", strconv.Itoa(version)+".note")
}

// keep writes k into the history. It does so before the pin moves, so that whatever was pinned is
// there.
func (s *State) keep(k *SignedKeyset) error {
	if before, err := s.read(historyName(k.Version)); err == nil && bytes.Equal(before, k.Note) {
		return nil
	}
	return s.write(historyName(k.Version), k.Note)
}

// Version is the version of the keyset with that number, if this machine has verified or made it;
// else the error wraps [fs.ErrNotExist]. What it saw before it kept a history is missing.
func (s *State) Version(number int) (*SignedKeyset, error) {
	pinned, err := s.Keyset()
	if err != nil {
		return nil, err
	}
	return s.version(number, pinned)
}

func (s *State) version(number int, pinned *SignedKeyset) (*SignedKeyset, error) {
	if number == pinned.Version {
		return pinned, nil
	}
	if number > pinned.Version {
		return nil, fmt.Errorf("reading version %d of the keyset: version %d is pinned: %w", number, pinned.Version, fs.ErrNotExist)
	}
	note, err := s.read(historyName(number))
	if err != nil {
		return nil, err
	}
	k, err := ParseSignedKeyset(note)
	if err != nil {
		return nil, fmt.Errorf("reading version %d of the keyset: %w", number, err)
	}
	if k.Version != number || k.Account != pinned.Account {
		return nil, fmt.Errorf("reading version %d of the keyset: %q holds version %d of %s", number, filepath.Join(s.dir, historyName(number)), k.Version, k.Account)
	}
	return k, nil
}

// History is every version that this machine has verified or made, up to the pin, oldest first.
// Versions may be missing in it.
func (s *State) History() ([]*SignedKeyset, error) {
	pinned, err := s.Keyset()
	if err != nil {
		return nil, err
	}
	files, err := atomicfile.ReadDir(filepath.Join(s.dir, "keysets"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing keysets: %w", err)
	}
	all := []*SignedKeyset{pinned}
	for _, file := range files {
		text, isNote := strings.CutSuffix(file.Name(), ".note")
		number, err := strconv.Atoi(text)
		if !isNote || err != nil || number >= pinned.Version {
			continue // what an interrupted write left, or what was kept and never pinned
		}
		k, err := s.version(number, pinned)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *SignedKeyset) int { return cmp.Compare(a.Version, b.Version) })
	return all, nil
}

// untrusted is why an account does not trust a key, as far as this machine knows. It wraps [ErrNotTrusted].
func (l *Lifecycle) untrusted(k *SignedKeyset, key keys.ID) error {
	revoked, err := l.State().revoked()
	if err == nil && (slices.Contains(revoked, key) || slices.Contains(k.Revoked, key)) {
		return fmt.Errorf("it is revoked, so the account %s does not trust it: %w", k.Account, ErrNotTrusted)
	}
	for went := k; ; {
		before, err := l.State().version(went.Version-1, k)
		if err != nil { // version 0, or a hole
			return fmt.Errorf("the account %s does not trust it: %w", k.Account, ErrNotTrusted)
		}
		if _, listed := before.Entry(key); listed {
			return fmt.Errorf("version %d of the keyset took it out, so the account %s does not trust it: %w", went.Version, k.Account, ErrNotTrusted)
		}
		went = before
	}
}
