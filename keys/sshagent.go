// Keys whose secret is in an ssh-agent: the store holds only their record.

package keys

import "errors"

// SSHAgent keys live in a running ssh-agent, which finds them by their public key.
const SSHAgent Protection = "ssh-agent"

// ErrSSHAgent says that a key's secret is in an ssh-agent, so that there is nothing to unlock here.
var ErrSSHAgent = errors.New("the key is in an ssh-agent")

// CreateSSHAgent stores the record of a key that lives in an ssh-agent: its name, public key and time
// (in whole seconds). If anything of that name is there it changes nothing, and the error wraps
// [io/fs.ErrExist].
func (s *Store) CreateSSHAgent(r Record) (Record, error) {
	r.Created, r.Protection = wholeSeconds(r.Created), SSHAgent
	return s.createRecord(r)
}
