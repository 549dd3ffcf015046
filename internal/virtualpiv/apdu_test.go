// Tests of APDUs: forms, chains, answers in parts, and rubbish.

package virtualpiv

import (
	"bytes"
	"testing"
)

func TestParseCommandForms(t *testing.T) {
	data := bytes.Repeat([]byte{0xaa}, 300)
	extended := append([]byte{0, 1, 2, 3, 0, 1, 44}, data...)
	for _, c := range []struct {
		name     string
		apdu     []byte
		data     []byte
		expected int
	}{
		{"header alone", []byte{0, 1, 2, 3}, nil, 256},
		{"expected length", []byte{0, 1, 2, 3, 0}, nil, 256},
		{"data", []byte{0, 1, 2, 3, 2, 8, 9}, []byte{8, 9}, 256},
		{"data and expected length", []byte{0, 1, 2, 3, 2, 8, 9, 0}, []byte{8, 9}, 256},
		{"extended expected length", []byte{0, 1, 2, 3, 0, 0, 0}, nil, 65536},
		{"extended data", extended, data, 65536},
		{"extended data and expected length", append(bytes.Clone(extended), 0, 0), data, 65536},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, ok := parseCommand(c.apdu)
			if !ok || cmd.instruction != 1 || cmd.p1 != 2 || cmd.p2 != 3 || !bytes.Equal(cmd.data, c.data) || cmd.expected != c.expected {
				t.Errorf("%v, %+v", ok, cmd)
			}
		})
	}
	for _, bad := range [][]byte{nil, {0, 1, 2}, {0, 1, 2, 3, 2, 8}, {0, 1, 2, 3, 2, 8, 9, 0, 0}, {0, 1, 2, 3, 0, 0, 2, 8}, {0, 1, 2, 3, 0, 0}} {
		if _, ok := parseCommand(bad); ok {
			t.Errorf("%x was taken for a command", bad)
		}
	}
}

func TestLongObjectGoesInAChainAndComesInParts(t *testing.T) {
	u := take(t, v543)
	u.admin()
	value := bytes.Repeat([]byte("0123456789"), 200)
	name := []byte{0x5c, 3, 0x5f, 0xc1, 0x05}
	u.want(statusOK, insPutData, 0x3f, 0xff, appendTLV(bytes.Clone(name), 0x53, value))
	u.card.ClearLog()
	if answer := u.want(statusOK, insGetData, 0x3f, 0xff, name); !bytes.Equal(answer, appendTLV(nil, 0x53, value)) {
		t.Errorf("read %d bytes back", len(answer))
	}
	// 2004 bytes with their tag: seven answers of 256, and the rest.
	if log := u.card.Log(); len(log) != 8 || log[0].Status != 0x6100 || log[6].Status != 0x61d4 || log[7].Status != statusOK {
		t.Errorf("log %v", log)
	}
	extended := append([]byte{0, insGetData, 0x3f, 0xff, 0, 0, 5}, name...)
	if answer := u.card.Transmit(append(extended, 0, 0)); statusOf(answer) != statusOK || len(answer) != 2006 {
		t.Errorf("extended length: %d bytes, status %04x", len(answer), statusOf(answer))
	}
}

func TestBrokenChains(t *testing.T) {
	u := take(t, v574)
	part := func(ins byte) []byte { return append([]byte{0x10, ins, 0x3f, 0xff, 255}, make([]byte, 255)...) }
	if status := statusOf(u.card.Transmit(part(insPutData))); status != statusOK {
		t.Fatalf("first part: %04x", status)
	}
	u.want(statusChainingExpected, insVersion, 0, 0, nil)
	u.want(statusOK, insVersion, 0, 0, nil)
	var last uint16
	for range maxData/255 + 1 {
		last = statusOf(u.card.Transmit(part(insPutData)))
	}
	if last != statusWrongLength {
		t.Errorf("a chain beyond the buffer: %04x", last)
	}
	if status := statusOf(u.card.Transmit([]byte{0, insGetResponse, 0, 0, 0})); status != statusConditions {
		t.Errorf("GET RESPONSE with nothing left: %04x", status)
	}
	if status := statusOf(u.card.Transmit([]byte{0x80, insVersion, 0, 0})); status != statusUnknownClass {
		t.Errorf("another class: %04x", status)
	}
}

func FuzzTransmit(f *testing.F) {
	seeds := [][]byte{
		{0, insSelect, 4, 0, 5, 0xa0, 0, 0, 3, 8},
		{0, insVerify, 0, 0x80, 8, '1', '2', '3', '4', '5', '6', 0xff, 0xff},
		{0, insAuthenticate, 3, 0x9b, 4, 0x7c, 2, 0x80, 0},
		{0, insAuthenticate, 0x14, 0x9a, 8, 0x7c, 6, 0x82, 0, 0x81, 2, 1, 2},
		{0, insGetData, 0x3f, 0xff, 5, 0x5c, 3, 0x5f, 0xc1, 5},
		{0, insGenerate, 0, 0x9a, 5, 0xac, 3, 0x80, 1, 0x14},
		{0x10, insPutData, 0x3f, 0xff, 1, 0x5c},
		{0, insAttest, 0x9a, 0, 0, 0, 0},
		{0, insSetManagement, 0xff, 0xff, 3, 3, 0x9b, 0},
		{0, insImport, 0x14, 0x9a, 2, 6, 0},
	}
	for _, seed := range seeds {
		if _, ok := parseCommand(seed); !ok {
			f.Fatalf("seed %x is no command", seed)
		}
		f.Add(seed)
	}
	card := New(Options{Finger: func() bool { return false }})
	f.Fuzz(func(t *testing.T, apdu []byte) {
		// Every run begins with the same card, but for its randomness, and with all rights.
		card.Reset()
		card.factory()
		card.ClearLog()
		card.Transmit([]byte{0, insSelect, 4, 0, 5, 0xa0, 0, 0, 3, 8})
		card.session.managed, card.session.verified = true, true
		card.slots[0x9a] = card.attester.pair()
		if answer := card.Transmit(apdu); len(answer) < 2 {
			t.Errorf("answer %x has no status", answer)
		}
		// What it left behind must still be usable.
		card.Transmit([]byte{0, insAuthenticate, card.manage.algorithm, slotManagement, 4, 0x7c, 2, 0x80, 0})
	})
}
