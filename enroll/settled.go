// Which of the known revocations count against what a key has signed.

package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// addSent keeps a revocation that the registry has just taken. The mark beside it lasts until a sync has
// shown what the registry had accepted before: see [State.settled].
func (s *State) addSent(r *SignedRevocation) error {
	if err := s.write(sentMark(r.Key), []byte("sent, and not synced since\n")); err != nil {
		return err
	}
	return s.addRevocation(r)
}

func sentMark(id keys.ID) string { return filepath.Join("revocations", id.String()+".sent") }

// settled are the revoked keys that can have signed no version which this machine has not seen. A machine
// that sends a revocation may be behind: what the key had signed until then stands, and is yet to be
// fetched. After that, or once the pin names the key as revoked, a version by it is a lie.
func (s *State) settled() ([]keys.ID, error) {
	ids, err := s.revoked()
	if err != nil {
		return nil, err
	}
	open, err := s.unsettled()
	if err != nil || len(open) == 0 {
		return ids, err
	}
	pinned, err := s.Keyset()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(ids, func(id keys.ID) bool {
		return slices.Contains(open, id) && !slices.Contains(pinned.Revoked, id)
	}), nil
}

// unsettled are the keys with a mark.
func (s *State) unsettled() ([]keys.ID, error) {
	files, err := atomicfile.ReadDir(filepath.Join(s.dir, "revocations"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing revocations: %w", err)
	}
	var ids []keys.ID
	for _, file := range files {
		name, marked := strings.CutSuffix(file.Name(), ".sent")
		if id, err := keys.ParseID(name); marked && err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// settle takes the marks of those keys away: all that came before their revocations is pinned.
func (s *State) settle(past func(keys.ID) bool) error {
	ids, err := s.unsettled()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !past(id) {
			continue
		}
		if err := s.remove(sentMark(id)); err != nil {
			return err
		}
	}
	return nil
}
