// Revocations signed in advance, for the day when the key is gone.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// CertificatePath is where the revocation certificate of a key goes if the user names no place: on the
// same disk as the key, which is why `regkey status` keeps asking to move it.
func (l *Lifecycle) CertificatePath(key string) string {
	return filepath.Join(l.Home, "revocations", key+"-"+l.State().folder()[:8]+".revocation")
}

// certify signs the own revocation of the key with that name, writes it to path ("" meaning
// [Lifecycle.CertificatePath]), and notes the place in e. A good certificate of this key that is
// there already is kept; anything else at the path is left untouched, and an error.
func (l *Lifecycle) certify(ctx context.Context, e *Enrolment, name string, signer keys.Signer, path string) error {
	id := signer.Public().ID()
	if path == "" {
		path = l.CertificatePath(name)
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

func (l *Lifecycle) sameCertificate(path string, key keys.PublicKey, exists error) error {
	r, err := OpenCertificate(path)
	if err != nil || r.Registry != l.Index || r.Key != key.ID() || r.Signer() != key.ID() || r.Verify(key) != nil {
		return exists
	}
	return nil
}

// OpenCertificate reads a revocation certificate. Its signature is not checked.
func OpenCertificate(path string) (*SignedRevocation, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxNote {
		return nil, fmt.Errorf("reading revocation certificate %s: larger than %d bytes", path, maxNote)
	}
	note, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading revocation certificate: %w", err)
	}
	return ParseSignedRevocation(note)
}
