// Which keys of this machine may be given the right to manage.

package enroll

import (
	"fmt"

	"github.com/cargo-regkey/regkey/keys"
)

// checkManaging refuses to give a key the right to manage that was imported or lives in an
// ssh-agent: it is, or was, in other hands than regkey's. Of a key that is not in this machine's
// store nobody here can tell.
func checkManaging(record keys.Record, can Can) error {
	if !can.Has(Manage) || record.MayManage() {
		return nil
	}
	return fmt.Errorf("key %s was imported or is in an ssh-agent, and such a key never manages an account: choose what else it may do, or take a key that regkey made", record.Name)
}
