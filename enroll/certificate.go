// Revocations signed in advance, for the day when the key is gone.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// certificatePath is where a key's revocation certificate goes if the user names no place: on the
// same disk as the key, which is why `regkey status` keeps asking to move it.
func (l *Lifecycle) certificatePath(key string) (string, error) {
	s := l.State()
	return filepath.Join(l.Home, "revocations", key+"-"+s.folder()[:8]+".revocation"), s.fault
}

// certify has the key with that name sign its own revocation, writes that to path ("" meaning
// [Lifecycle.certificatePath]), and notes the place in e. A good certificate of this key that is
// there already is kept; anything else at the path is left untouched, and is an error.
func (l *Lifecycle) certify(ctx context.Context, e *Enrolment, name string, signer keys.Signer, path string) error {
	id := signer.Public().ID()
	if path == "" {
		var err error
		if path, err = l.certificatePath(name); err != nil {
			return err
		}
		if err := atomicfile.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("placing the revocation certificate: %w", err)
	}
	r, err := SignRevocation(ctx, &Revocation{Registry: l.Index, Key: id, Reason: Unspecified}, signer)
	if err != nil {
		return err
	}
	if err := atomicfile.Tidy(path); err != nil { // the user's own place may be one that nobody looks after
		return fmt.Errorf("writing the revocation certificate: %w", err)
	}
	err = atomicfile.Create(path, r.Note, 0o600)
	if errors.Is(err, fs.ErrExist) {
		err = l.sameCertificate(path, signer.Public(), err)
	}
	if err != nil {
		return fmt.Errorf("writing the revocation certificate: %w", err)
	}
	if e.Certificates == nil {
		e.Certificates = map[string]string{}
	}
	e.Certificates[id.String()] = path
	return nil
}

// recallCertificate notes in e where an earlier run has written the certificate of a key, which is as for
// [Lifecycle.certify], if that is not noted. Where there is none, none is noted.
func (l *Lifecycle) recallCertificate(e *Enrolment, key keys.Record, path string) (err error) {
	id := key.Public.ID().String()
	if e.Certificates[id] != "" {
		return nil
	}
	if path == "" {
		path, err = l.certificatePath(key.Name)
	} else {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return fmt.Errorf("looking for the revocation certificate: %w", err)
	}
	if l.sameCertificate(path, key.Public, fs.ErrExist) != nil {
		return nil
	}
	if e.Certificates == nil {
		e.Certificates = map[string]string{}
	}
	e.Certificates[id] = path
	return nil
}

// sameCertificate is nil if a good certificate of the key is at path, and exists otherwise.
func (l *Lifecycle) sameCertificate(path string, key keys.PublicKey, exists error) error {
	r, err := OpenCertificate(path)
	if err != nil || r.Registry != l.Index || r.Key != key.ID() || r.Signer() != key.ID() || r.Verify(key) != nil {
		return exists
	}
	return nil
}

// OpenCertificate reads the revocation certificate in the file path, of at most 60 KiB. It does not
// check the signature: see [SignedRevocation.Verify]. The error wraps [fs.ErrNotExist] if there is
// no such file.
func OpenCertificate(path string) (*SignedRevocation, error) {
	note, err := readFile(path, MaxNote)
	if err != nil {
		return nil, fmt.Errorf("reading revocation certificate: %w", err)
	}
	r, err := ParseSignedRevocation(note)
	if err != nil {
		return nil, fmt.Errorf("reading revocation certificate %q: %w", path, err)
	}
	return r, nil
}
