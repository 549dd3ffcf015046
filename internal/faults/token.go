// The hardware token of a run.

package faults

import (
	"fmt"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// tokenSigns is what is called the command with which a key of a token is used.
const tokenSigns = "sign"

// The status words of a token that will not, and of one that no finger touched in time (ISO/IEC 7816-4,
// section 5.6).
const (
	statusNoDiagnosis uint16 = 0x6f00
	statusSecurity    uint16 = 0x6982
)

// Token has every command to the card go through the run, until end is called. Where one fails the token is
// pulled out, before it was executed or after; [Refused] and [Timeout] are its own answers. Whoever
// crashes is cut off from it.
func (r *Run) Token(card *virtualpiv.Card) (end func()) {
	card.SetAround(func(c virtualpiv.Command, do func()) (status uint16, pulled bool) {
		mode, err := r.meet(Call{Token, commandName(c), fmt.Sprintf("%02x", c.P2)})
		if err != nil {
			return 0, true
		}
		switch mode {
		case Refused:
			return statusNoDiagnosis, false
		case Timeout:
			return statusSecurity, false
		case CrashAfter, PowerCut, ErrorAfter:
			do()
		case "":
			do()
			return 0, false
		}
		return 0, true
	})
	return func() { card.SetAround(nil) }
}

// commandName is what a command does, as far as it is told apart here (SP 800-73-4, part 2; Yubico's extensions).
func commandName(c virtualpiv.Command) string {
	const management = 0x9b
	switch c.Instruction {
	case 0x87:
		if c.P2 == management {
			return "admit the manager"
		}
		return tokenSigns
	case 0x20:
		return "verify the PIN"
	case 0x47:
		return "generate"
	case 0xf9:
		return "attest"
	case 0xa4:
		return "select"
	}
	return fmt.Sprintf("command %02x", c.Instruction)
}
