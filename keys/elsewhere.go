// Keys whose secret is not on this machine: the store holds only their record.

package keys

import "errors"

// Elsewhere keys were made to be kept away from this machine, as a backup: in a file on another disk,
// or on paper. Whoever wants one to sign brings its file.
const Elsewhere Protection = "elsewhere"

// ErrElsewhere says that a key's secret is not on this machine.
var ErrElsewhere = errors.New("the key is kept elsewhere, and only known here")

// CreateElsewhere stores the record of a key that is kept elsewhere: its name, public key and time (in
// whole seconds). If anything of that name is there it changes nothing, and the error wraps
// [io/fs.ErrExist].
func (s *Store) CreateElsewhere(r Record) (Record, error) {
	r.Created, r.Protection = wholeSeconds(r.Created), Elsewhere
	return s.createRecord(r)
}

// EncodeKeyFile is the content of a key file that opens with the passphrase: PASERK text, encrypted by age and
// armored. [OpenKeyFile] reads it, and so does "age -d". It takes about a second.
func EncodeKeyFile(key *SoftwareKey, passphrase Secret) ([]byte, error) {
	if passphrase.IsZero() {
		return nil, ErrNoPassphrase
	}
	recipient, err := passphraseRecipient(passphrase)
	if err != nil {
		return nil, err
	}
	return sealKey(key, recipient)
}
