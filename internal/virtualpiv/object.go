// Data objects: certificates, and what else clients store on a token.

package virtualpiv

import (
	"bytes"
	"slices"
)

// Identifiers of data objects (SP 800-73-4, part 1, table 3; the attestation certificate is
// Yubico's).
const (
	objectDiscovery   = 0x7e
	objectFingerprint = 0x5fc103
	objectFace        = 0x5fc108
	objectPrinted     = 0x5fc109
	objectIris        = 0x5fc121
	objectAttestation = 0x5fff01
)

// maxObject is the longest value that an object can hold, in bytes.
const maxObject = 3052

// pinObjects are read only after the PIN. Clients keep a management key in the printed
// information for that reason.
var pinObjects = []uint32{objectFingerprint, objectFace, objectPrinted, objectIris}

// discovery is the discovery object (SP 800-73-4, part 1, section 3.3.2): the applet's name,
// and a PIN usage policy of the PIV PIN alone.
var discovery = []byte("\x7e\x12\x4f\x0b\xa0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00\x5f\x2f\x02\x40\x00")

// objectID reads the tag list that begins GET DATA and PUT DATA.
func objectID(run []tlv) (id uint32, ok bool) {
	if len(run) == 0 || run[0].tag != 0x5c || len(run[0].value) < 1 || len(run[0].value) > 3 {
		return 0, false
	}
	for _, b := range run[0].value {
		id = id<<8 | uint32(b)
	}
	return id, true
}

// readObject is GET DATA.
func (c *Card) readObject(cmd command) ([]byte, uint16) {
	if cmd.p1 != 0x3f || cmd.p2 != 0xff {
		return nil, statusBadParameters
	}
	run, ok := parseTLV(cmd.data)
	id, named := objectID(run)
	if !ok || !named || len(run) != 1 {
		return nil, statusBadData
	}
	if id == objectDiscovery {
		return bytes.Clone(discovery), statusOK
	}
	if slices.Contains(pinObjects, id) && !c.session.verified {
		return nil, statusSecurity
	}
	value, ok := c.objects[id]
	if !ok {
		return nil, statusNotFound
	}
	return appendTLV(nil, 0x53, value), statusOK
}

// writeObject is PUT DATA; an empty value deletes.
func (c *Card) writeObject(cmd command) uint16 {
	if !c.session.managed {
		return statusSecurity
	}
	if cmd.p1 != 0x3f || cmd.p2 != 0xff {
		return statusBadParameters
	}
	run, ok := parseTLV(cmd.data)
	id, named := objectID(run)
	if !ok || !named || len(run) != 2 || run[1].tag != 0x53 || id == objectDiscovery {
		return statusBadData
	}
	if len(run[1].value) > maxObject {
		return statusNoSpace
	}
	if len(run[1].value) == 0 {
		delete(c.objects, id)
		return statusOK
	}
	c.objects[id] = bytes.Clone(run[1].value)
	return statusOK
}
