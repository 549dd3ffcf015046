// Claims: what a token says, and which claims belong to which operation.

package token

import (
	"errors"
	"fmt"
	"time"
)

// An Operation is what a token is for, in the words of cargo's credential-provider protocol.
type Operation string

// The operations. Read is the only one that does not change anything and the only one whose token
// serves more than once.
const (
	Read    Operation = "read"
	Publish Operation = "publish"
	Yank    Operation = "yank"
	Unyank  Operation = "unyank"
	Owners  Operation = "owners"
)

// ParseOperation accepts exactly the five names above.
func ParseOperation(text string) (Operation, error) {
	switch op := Operation(text); op {
	case Read, Publish, Yank, Unyank, Owners:
		return op, nil
	}
	return "", fmt.Errorf("unknown operation %.20q: known are read, publish, yank, unyank and owners", text)
}

// IsMutation reports whether op is one of the four that change something.
func (op Operation) IsMutation() bool {
	switch op {
	case Publish, Yank, Unyank, Owners:
		return true
	}
	return false
}

// Claims is what a token says, apart from its footer. "" is a claim that is absent: no claim is
// present and empty.
type Claims struct {
	IssuedAt  time.Time // iat, in UTC
	Subject   string    // sub
	Operation Operation // mutation; Read where that is absent
	Name      string    // name
	Version   string    // vers
	Checksum  string    // cksum: 64 lower-case hex digits
	Challenge string    // challenge
	JTI       string    // custom.jti, if custom is an object with such a text
}

// checkCombination enforces which of name, version and checksum an operation has.
func checkCombination(op Operation, name, version, checksum string) error {
	if _, err := ParseOperation(string(op)); err != nil {
		return err
	}
	wantVersion := op == Publish || op == Yank || op == Unyank
	for _, claim := range []struct {
		name    string
		present bool
		want    bool
	}{
		{"name", name != "", op.IsMutation()},
		{"vers", version != "", wantVersion},
		{"cksum", checksum != "", op == Publish},
	} {
		if claim.present && !claim.want {
			return fmt.Errorf("a token for %s has no %s", op, claim.name)
		}
		if !claim.present && claim.want {
			return fmt.Errorf("a token for %s needs %s", op, claim.name)
		}
	}
	if checksum != "" && !isChecksum(checksum) {
		return errors.New("cksum is not a SHA-256 of 64 lower-case hex digits")
	}
	return nil
}

func isChecksum(text string) bool {
	if len(text) != 64 {
		return false
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
