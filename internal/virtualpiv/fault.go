// Faults to order: what goes wrong, at which command, how often.

package virtualpiv

// A FaultKind names something that goes wrong.
type FaultKind string

const (
	// PulledBefore pulls the token out when the command arrives: it is not executed, and no
	// answer comes.
	PulledBefore FaultKind = "pulled-before"
	// PulledAfter pulls the token out when the command is done, before its answer left.
	PulledAfter FaultKind = "pulled-after"
	// Answer answers [Fault.Status] and executes nothing.
	Answer FaultKind = "answer"
	// TouchTimeout lets a private key's use (or a management key with touch) end as without a
	// finger: 6982.
	TouchTimeout FaultKind = "touch-timeout"
	// BlockedPIN blocks the PIN, before the command is executed.
	BlockedPIN FaultKind = "blocked-pin"
	// EmptyMetadata answers GET METADATA with 9000 and nothing else.
	EmptyMetadata FaultKind = "empty-metadata"
	// WrongLength leaves out a signature's last byte.
	WrongLength FaultKind = "wrong-length"
	// TruncatedMessage signs the first 64 bytes of an Ed25519 message, or half of a digest, and
	// reports success.
	TruncatedMessage FaultKind = "truncated-message"
	// WrongSignature signs something else, and reports success.
	WrongSignature FaultKind = "wrong-signature"
)

// FaultKinds are all kinds.
var FaultKinds = []FaultKind{
	PulledBefore, PulledAfter, Answer, TouchTimeout, BlockedPIN, EmptyMetadata,
	WrongLength, TruncatedMessage, WrongSignature,
}

// A Fault says what goes wrong and when. It strikes at the Nth command, counted from the
// order, that it can strike at: every APDU for the pulls and Answer (parts of a chain and GET
// RESPONSE count too), GET METADATA for EmptyMetadata, a private key's use for the touch and
// the signatures, and every whole command of the PIV applet for BlockedPIN.
type Fault struct {
	Kind FaultKind
	// Instruction narrows it to commands with that instruction byte; 0 does not.
	Instruction byte
	// Nth counts from 1; 0 means 1.
	Nth int
	// Always strikes at the Nth command and at every one after it; otherwise it strikes once.
	Always bool
	// Status is the status word of [Answer].
	Status uint16
}

// An Around stands between a card and whoever commands it; do has the card execute one APDU. pulled
// pulls the token out, and no answer comes; else a status other than 0 is answered in place of the
// card's own answer. It must not call the card's methods.
type Around func(c Command, do func()) (status uint16, pulled bool)

// SetAround has every APDU go through around; nil ends that.
func (c *Card) SetAround(around Around) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.around = around
}

// ordered is a fault with what it has seen.
type ordered struct {
	Fault
	seen int
}

// Order orders a fault, beside those that are ordered already.
func (c *Card) Order(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, &ordered{Fault: f})
}

// Forgive cancels all faults that are ordered. A token that was pulled out stays out until it
// is reset.
func (c *Card) Forgive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = nil
}

// strike finds out which faults hit this command.
func (c *Card) strike(cmd command) {
	c.firing = make(map[FaultKind]*ordered)
	var left []*ordered
	for _, f := range c.faults {
		if f.concerns(cmd) {
			f.seen++
			if f.seen >= max(f.Nth, 1) {
				c.firing[f.Kind] = f
				if !f.Always {
					continue
				}
			}
		}
		left = append(left, f)
	}
	c.faults = left
}

// concerns says whether a fault can strike at a command.
func (f *ordered) concerns(cmd command) bool {
	if f.Instruction != 0 && f.Instruction != cmd.instruction {
		return false
	}
	whole := cmd.class&0x10 == 0 && cmd.instruction != insGetResponse
	switch f.Kind {
	case PulledBefore, PulledAfter, Answer:
		return true
	case EmptyMetadata:
		return whole && cmd.instruction == insMetadata
	case BlockedPIN:
		return whole && cmd.instruction != insSelect
	case TouchTimeout:
		return whole && cmd.instruction == insAuthenticate
	}
	return whole && cmd.instruction == insAuthenticate && cmd.p2 != slotManagement
}
