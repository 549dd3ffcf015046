// Package virtualpiv is a PIV token in software, for tests alone: no production package
// imports it. A [Card] answers the commands of NIST SP 800-73-4 (part 2) and the extensions
// that YubiKeys add to them (https://developers.yubico.com/PIV/Introduction/Yubico_extensions.html),
// as the firmware that it is told to be would, and it fails when a test orders it to.
//
// It is reached as a real token is: package pcsc beside it stands in for the PC/SC daemon, so
// that an unmodified client library speaks to it, and package vpcd plugs it into a real daemon.
// Nothing in it protects a secret: every key lies open in memory, and its attestation chain
// ends in a root whose private key anybody can derive (see [Root]).
package virtualpiv

import (
	"bytes"
	"crypto/rand"
	"io"
	"sync"
	"time"
)

// TouchWait is how long a token waits for a finger before it gives up.
const TouchWait = 15 * time.Second

// touchCache is how long a touch counts for a key of touch policy "cached".
const touchCache = 15 * time.Second

// Options say which token a [Card] is. The zero value is firmware 5.7.4 with serial number 1,
// a finger that always touches, and the machine's clock.
type Options struct {
	// Serial is the serial number; 0 means 1.
	Serial uint32
	// Firmware is major, minor and patch; the zero value means 5.7.4. It decides which
	// commands, algorithms and defaults there are; nothing below 4.3.0 is imitated well.
	Firmware [3]byte
	// FormFactor is the byte in the attestation and the device information; 0 means 1, a
	// keychain with USB-A.
	FormFactor byte
	// Finger is asked whenever a touch is needed, and may block as a person does; false is a
	// finger that never came. Nil always touches. The card's other methods work meanwhile.
	Finger func() bool
	// Elapse is told of the time that the card spent waiting for a finger that never came
	// ([TouchWait]). The card itself never sleeps: a test moves its own clock here.
	Elapse func(time.Duration)
	// Clock times the touch cache; nil is time.Now.
	Clock func() time.Time
	// Rand makes keys, challenges and serial numbers of certificates; nil is crypto/rand.
	Rand io.Reader
}

// A Card is one virtual token. Its methods may be called from several goroutines; commands
// run one after the other.
type Card struct {
	options Options

	// busy is held through a whole command; mu guards what follows, and is let go while the
	// card waits for a finger.
	busy sync.Mutex
	mu   sync.Mutex

	finger   func() bool
	around   Around
	out      bool
	pin, puk reference
	manage   managementKey
	slots    map[byte]*keyPair
	objects  map[uint32][]byte
	attester *attester
	session  session
	channel  channel
	faults   []*ordered
	firing   map[FaultKind]*ordered
	log      []Command
}

// session is what a loss of power, or another applet, makes the card forget.
type session struct {
	applet applet
	// verified is the PIN's security status; fresh holds only for the command right after a
	// VERIFY, which is what PIN policy "always" asks for.
	verified, fresh bool
	// managed is the management key's security status.
	managed bool
	// witness and challenge are what the card asked in an unfinished authentication.
	witness, challenge []byte
}

// New returns a token as it leaves the factory, powered, with no applet selected.
func New(o Options) *Card {
	if o.Serial == 0 {
		o.Serial = 1
	}
	if o.Firmware == [3]byte{} {
		o.Firmware = [3]byte{5, 7, 4}
	}
	if o.FormFactor == 0 {
		o.FormFactor = 1
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	c := &Card{options: o, finger: o.Finger, attester: newAttester(o)}
	c.factory()
	return c
}

// factory puts everything but the attestation key back to how the token is sold.
func (c *Card) factory() {
	c.pin = newReference("123456", 3)
	c.puk = newReference("12345678", 3)
	c.manage = managementKey{algorithm: algorithm3DES, value: bytes.Clone(defaultManagementKey)}
	if c.atLeast(5, 7, 0) {
		c.manage.algorithm = algorithmAES192
	}
	c.slots = make(map[byte]*keyPair)
	c.objects = map[uint32][]byte{objectAttestation: c.attester.object()}
	c.session = session{applet: c.session.applet}
}

// ATR is what the card answers to a reset: that of a YubiKey 4, or of a YubiKey 5, by
// firmware. Both offer T=1 alone. A card that a fault pulled out has none.
func (c *Card) ATR() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out {
		return nil
	}
	if c.options.Firmware[0] < 5 {
		return []byte("\x3b\xf8\x13\x00\x00\x81\x31\xfe\x15\x59\x75\x62\x69\x6b\x65\x79\x34\xd4")
	}
	return []byte("\x3b\xfd\x13\x00\x00\x81\x31\xfe\x15\x80\x73\xc0\x21\xc0\x57\x59\x75\x62\x69\x4b\x65\x79\x40")
}

// Reset takes power away and gives it back: the PIN's and the management key's security
// status, the selected applet, and unfinished chains are forgotten. A card that was pulled out
// by a fault is in again.
func (c *Card) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = session{}
	c.channel = channel{}
	c.out = false
	for _, key := range c.slots {
		key.touched = time.Time{}
	}
}

// SetFinger replaces [Options.Finger]; nil always touches.
func (c *Card) SetFinger(finger func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finger = finger
}

// atLeast says whether the firmware is this one or a later one.
func (c *Card) atLeast(major, minor, patch byte) bool {
	return bytes.Compare(c.options.Firmware[:], []byte{major, minor, patch}) >= 0
}

// random returns n bytes of the card's randomness.
func (c *Card) random(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(c.options.Rand, b); err != nil {
		panic("virtualpiv: the injected source of randomness failed: " + err.Error())
	}
	return b
}

// touch waits for a finger. Without one it answers false, after the time that a token waits.
// It lets go of c.mu meanwhile, so that a test can look at the card while it waits.
func (c *Card) touch() bool {
	finger := c.finger
	if finger == nil {
		return true
	}
	c.mu.Unlock()
	touched := finger()
	if !touched && c.options.Elapse != nil {
		c.options.Elapse(TouchWait)
	}
	c.mu.Lock()
	return touched
}
