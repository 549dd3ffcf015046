// Labels: what the user of this machine calls the account's keys.

package enroll

import (
	"fmt"

	"github.com/cargo-regkey/regkey/keys"
)

const maxLabel = 64

// CheckLabel refuses labels that are longer than 64 bytes, or not printable ASCII.
func CheckLabel(label string) error {
	if len(label) > maxLabel {
		return fmt.Errorf("the label has %d bytes: at most %d are allowed", len(label), maxLabel)
	}
	for _, c := range []byte(label) {
		if c < ' ' || c > '~' {
			return fmt.Errorf("the label %q: allowed are printable ASCII characters", label)
		}
	}
	return nil
}

// Label has this machine call a key of the account so from now on; "" takes a label away. It is kept
// here alone: no registry hears of it.
func (l *Lifecycle) Label(id keys.ID, label string) error {
	if err := CheckLabel(label); err != nil {
		return err
	}
	e, err := l.State().enrolment()
	if err != nil {
		return err
	}
	after := e.clone()
	switch {
	case label == "":
		delete(after.Labels, id.String())
	case after.Labels == nil:
		after.Labels = map[string]string{id.String(): label}
	default:
		after.Labels[id.String()] = label
	}
	return l.State().saveEnrolment(&after)
}
