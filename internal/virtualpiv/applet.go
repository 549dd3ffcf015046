// Which applet is selected, and which commands each has.

package virtualpiv

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Instructions of SP 800-73-4 part 2 section 3, and of the Yubico extensions.
const (
	insVerify          = 0x20
	insChangeReference = 0x24
	insResetRetry      = 0x2C
	insGenerate        = 0x47
	insAuthenticate    = 0x87
	insSelect          = 0xA4
	insGetResponse     = 0xC0
	insGetData         = 0xCB
	insPutData         = 0xDB
	insMoveKey         = 0xF6
	insMetadata        = 0xF7
	insSerial          = 0xF8
	insAttest          = 0xF9
	insSetRetries      = 0xFA
	insReset           = 0xFB
	insVersion         = 0xFD
	insImport          = 0xFE
	insSetManagement   = 0xFF
)

// applet is one of the applications on the token that PIV clients select.
type applet byte

const (
	appletNone applet = iota
	appletPIV
	appletOTP
	appletManagement
)

// applets are the identifiers by which they are selected; a client may name any prefix of at
// least five bytes.
var applets = map[applet][]byte{
	appletPIV:        {0xa0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00},
	appletOTP:        {0xa0, 0x00, 0x00, 0x05, 0x27, 0x20, 0x01, 0x01},
	appletManagement: {0xa0, 0x00, 0x00, 0x05, 0x27, 0x47, 0x11, 0x17},
}

// execute runs one whole command.
func (c *Card) execute(cmd command) ([]byte, uint16) {
	if cmd.instruction == insSelect {
		return c.selectApplet(cmd)
	}
	switch c.session.applet {
	case appletPIV:
		fresh := c.session.fresh
		c.session.fresh = false
		return c.executePIV(cmd, fresh)
	case appletOTP:
		if cmd.instruction == 0x01 && cmd.p1 == 0x10 {
			return binary.BigEndian.AppendUint32(nil, c.options.Serial), statusOK
		}
	case appletManagement:
		if cmd.instruction == 0x1D && cmd.p1 == 0 {
			return c.deviceInformation(), statusOK
		}
	}
	return nil, statusUnknown
}

// executePIV runs one command of the PIV applet. fresh says that the command before it was a
// VERIFY that succeeded.
func (c *Card) executePIV(cmd command, fresh bool) ([]byte, uint16) {
	if c.firing[BlockedPIN] != nil {
		c.pin.tries = 0
		c.session.verified, fresh = false, false
	}
	switch cmd.instruction {
	case insVerify:
		return nil, c.verify(cmd)
	case insChangeReference:
		return nil, c.changeReference(cmd)
	case insResetRetry:
		return nil, c.resetRetry(cmd)
	case insGenerate:
		return c.generate(cmd)
	case insAuthenticate:
		if cmd.p2 == slotManagement {
			return c.authenticate(cmd)
		}
		return c.sign(cmd, fresh)
	case insGetData:
		return c.readObject(cmd)
	case insPutData:
		return nil, c.writeObject(cmd)
	}
	return c.executeExtension(cmd)
}

// executeExtension runs one of the commands that Yubico added.
func (c *Card) executeExtension(cmd command) ([]byte, uint16) {
	switch {
	case cmd.instruction == insVersion:
		return bytes.Clone(c.options.Firmware[:]), statusOK
	case cmd.instruction == insSerial && c.atLeast(5, 0, 0):
		return binary.BigEndian.AppendUint32(nil, c.options.Serial), statusOK
	case cmd.instruction == insMetadata && c.atLeast(5, 3, 0):
		if c.firing[EmptyMetadata] != nil {
			return nil, statusOK
		}
		return c.metadata(cmd.p2)
	case cmd.instruction == insAttest && c.atLeast(4, 3, 0):
		return c.attest(cmd.p1)
	case cmd.instruction == insMoveKey && c.atLeast(5, 7, 0):
		return nil, c.moveKey(cmd)
	case cmd.instruction == insSetRetries:
		return nil, c.setRetries(cmd)
	case cmd.instruction == insReset:
		return nil, c.reset()
	case cmd.instruction == insImport:
		return nil, c.importKey(cmd)
	case cmd.instruction == insSetManagement:
		return nil, c.setManagementKey(cmd)
	}
	return nil, statusUnknown
}

// selectApplet selects by name. Selecting PIV again changes no security status (SP 800-73-4,
// part 2, section 3.1.1); selecting another applet ends it.
func (c *Card) selectApplet(cmd command) ([]byte, uint16) {
	if cmd.p1 != 0x04 {
		return nil, statusBadParameters
	}
	for which, name := range applets {
		if len(cmd.data) < 5 || !bytes.HasPrefix(name, cmd.data) {
			continue
		}
		if c.session.applet != which {
			c.session = session{applet: which}
		}
		return c.selectionAnswer(which), statusOK
	}
	return nil, statusNotFound
}

// selectionAnswer is what an applet says of itself.
func (c *Card) selectionAnswer(which applet) []byte {
	v := c.options.Firmware
	switch which {
	case appletOTP:
		// Version, programming sequence, and no slot configured.
		return []byte{v[0], v[1], v[2], 0, 0, 0}
	case appletManagement:
		return fmt.Appendf(nil, "Virtual mgr - FW version %d.%d.%d", v[0], v[1], v[2])
	}
	// Application property template (SP 800-73-4, part 2, table 3): the applet's identifier
	// without the registered provider, and the authority that assigned the tags.
	name := applets[appletPIV]
	template := appendTLV(nil, 0x4f, name[5:])
	template = appendTLV(template, 0x79, appendTLV(nil, 0x4f, name[:5]))
	return appendTLV(nil, 0x61, template)
}

// deviceInformation is the management applet's answer: its own length, then tagged values.
func (c *Card) deviceInformation() []byte {
	const piv = 0x10
	info := appendTLV(nil, 0x01, []byte{0x00, piv})
	info = appendTLV(info, 0x02, binary.BigEndian.AppendUint32(nil, c.options.Serial))
	info = appendTLV(info, 0x03, []byte{0x00, piv})
	info = appendTLV(info, 0x04, []byte{c.options.FormFactor})
	info = appendTLV(info, 0x05, c.options.Firmware[:])
	info = appendTLV(info, 0x0a, []byte{0x00})
	return append([]byte{byte(len(info))}, info...)
}
