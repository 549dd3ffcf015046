// The messages of pcsc-lite's socket: fixed structures of 32-bit words in the machine's own
// byte order, each after a header with its size and its command.

package pcsc

import "encoding/binary"

// Commands, as in winscard_msg.h.
const (
	cmdEstablishContext   = 0x01
	cmdReleaseContext     = 0x02
	cmdConnect            = 0x04
	cmdReconnect          = 0x05
	cmdDisconnect         = 0x06
	cmdBeginTransaction   = 0x07
	cmdEndTransaction     = 0x08
	cmdTransmit           = 0x09
	cmdControl            = 0x0A
	cmdStatus             = 0x0B
	cmdCancel             = 0x0D
	cmdReadAttribute      = 0x0F
	cmdWriteAttribute     = 0x10
	cmdVersion            = 0x11
	cmdReadersState       = 0x12
	cmdWaitReadersState   = 0x13
	cmdStopWaiting        = 0x14
	cmdReaderEvents       = 0x15 // since message version 4:5
	headerSize            = 8
	nameSize              = 128
	atrSize               = 33
	attributeSize         = 264
	maxTransmit           = 4 + 3 + 1<<16 + 3 + 2
	protocolMajor         = 4
	protocolMinorOldest   = 4
	protocolMinorNewest   = 5
	protocolT1            = 2
	protocolRaw           = 4
	shareExclusive        = 1
	shareShared           = 2
	shareDirect           = 3
	disposeLeave          = 0
	disposeReset          = 1
	disposeUnpower        = 2
	disposeEject          = 3
	attributeATR          = 0x00090303
	attributeFriendlyName = 0x7FFF0003
	attributeSystemName   = 0x7FFF0004
	attributeVendorName   = 0x00010100
)

// status is a return code of PC/SC.
type status = uint32

// Return codes, as in pcsclite.h.
const (
	success            status = 0
	cancelled          status = 0x80100002
	invalidHandle      status = 0x80100003
	invalidParameter   status = 0x80100004
	insufficientBuffer status = 0x80100008
	unknownReader      status = 0x80100009
	sharingViolation   status = 0x8010000B
	noCard             status = 0x8010000C
	protocolMismatch   status = 0x8010000F
	invalidValue       status = 0x80100011
	notTransacted      status = 0x80100016
	readerUnavailable  status = 0x80100017
	serviceStopped     status = 0x8010001E
	unsupportedFeature status = 0x8010001F
	resetCard          status = 0x80100068
	removedCard        status = 0x80100069
)

// bodySizes are the sizes in bytes of each command's structure; the answer has the same size,
// but for the commands that have none.
var bodySizes = map[uint32]int{
	cmdEstablishContext: 12,
	cmdReleaseContext:   8,
	cmdConnect:          4 + nameSize + 5*4,
	cmdReconnect:        24,
	cmdDisconnect:       12,
	cmdBeginTransaction: 8,
	cmdEndTransaction:   12,
	cmdTransmit:         32,
	cmdControl:          24,
	cmdStatus:           8,
	cmdCancel:           8,
	cmdReadAttribute:    8 + attributeSize + 8,
	cmdWriteAttribute:   8 + attributeSize + 8,
	cmdVersion:          12,
	cmdReadersState:     0,
	cmdWaitReadersState: 0,
	cmdStopWaiting:      0,
	cmdReaderEvents:     0,
}

// A message is the body of one structure.
type message []byte

// word reads the 32-bit word at an offset in bytes.
func (m message) word(offset int) uint32 { return binary.NativeEndian.Uint32(m[offset:]) }

// put writes one.
func (m message) put(offset int, value uint32) { binary.NativeEndian.PutUint32(m[offset:], value) }

// settle writes the return code, which is the last word of every structure.
func (m message) settle(s status) { m.put(len(m)-4, s) }

// words makes a message of words alone.
func words(values ...uint32) message {
	m := make(message, 4*len(values))
	for i, v := range values {
		m.put(4*i, v)
	}
	return m
}

// table is the state of all readers: sixteen entries of name, event count, state, sharing,
// ATR, its length, and protocol, with three bytes of padding after the ATR.
func (d *Daemon) table() message {
	const entry = nameSize + 3*4 + atrSize + 3 + 2*4
	m := make(message, maxReaders*entry)
	for i, r := range d.readers {
		e := m[i*entry : (i+1)*entry]
		copy(e, r.name)
		e.put(nameSize, r.events)
		e.put(nameSize+4, r.state())
		e.put(nameSize+8, uint32(r.sharing()))
		if r.present {
			n := copy(e[nameSize+12:], r.card.ATR())
			e.put(nameSize+12+atrSize+3, uint32(n))
			e.put(nameSize+12+atrSize+7, protocolT1)
		}
	}
	return m
}
