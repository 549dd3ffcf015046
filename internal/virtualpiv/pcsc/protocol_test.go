// Tests of the protocol with what no library does: versions that the installed one does not
// speak, clients that break the rules or die, and the order of events between two clients.

package pcsc

import (
	"slices"
	"testing"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

func TestVersions(t *testing.T) {
	d, _ := started(t)
	for _, c := range []struct {
		major, minor uint32
		want         status
		answer       uint32
	}{
		{4, 4, success, 4}, {4, 5, success, 5}, {4, 6, serviceStopped, 5}, {4, 3, serviceStopped, 5}, {3, 4, serviceStopped, 5},
	} {
		m := dialBare(t, d).call(cmdVersion, words(c.major, c.minor, 0))
		if m.word(8) != c.want || m.word(0) != 4 || m.word(4) != c.answer {
			t.Errorf("%d:%d is answered %d:%d, %08x", c.major, c.minor, m.word(0), m.word(4), m.word(8))
		}
	}
}

func TestReaderTableAndEvents(t *testing.T) {
	d, card := started(t)
	r := dial(t, d)
	size := maxReaders * 184
	r.post(cmdReadersState, nil)
	m := r.read(size)
	if m[0] != 'r' || m[1] != 0 || m.word(132) != 0x34 || m.word(140+36) != uint32(len(card.ATR())) || m.word(140+40) != protocolT1 {
		t.Errorf("table begins %x", m[:184])
	}
	r.post(cmdReaderEvents, nil)
	before := r.read(8).word(0)
	r.post(cmdWaitReadersState, nil)
	r.read(size)
	d.Insert("second", virtualpiv.New(virtualpiv.Options{}))
	if m := r.read(8); m.word(4) != success {
		t.Errorf("told %x", m)
	}
	r.post(cmdReaderEvents, nil)
	if after := r.read(8).word(0); after == before {
		t.Error("the count of events stands still")
	}
	r.post(cmdWaitReadersState, nil)
	r.read(size)
	r.post(cmdStopWaiting, nil)
	if m := r.read(8); m.word(4) != success {
		t.Errorf("stopped with %x", m)
	}
	r.post(cmdWaitReadersState, nil)
	r.read(size)
	other := dial(t, d)
	if s := other.status(cmdCancel, r.context, 0); s != success {
		t.Errorf("cancelling: %08x", s)
	}
	if m := r.read(8); m.word(4) != cancelled {
		t.Errorf("told %x", m)
	}
	if s := other.status(cmdCancel, 12345, 0); s != invalidHandle {
		t.Errorf("cancelling nobody: %08x", s)
	}
	if names := d.Readers(); !slices.Equal(names, []string{"r", "second"}) {
		t.Errorf("readers %q", names)
	}
}

func TestExclusiveAndShared(t *testing.T) {
	d, _ := started(t)
	a, b := dial(t, d), dial(t, d)
	h := a.connect(success, shareExclusive)
	b.connect(sharingViolation, shareShared)
	b.connect(sharingViolation, shareExclusive)
	if s := a.status(cmdReconnect, h, shareShared, 3, disposeLeave, 0, 0); s != success {
		t.Fatalf("sharing: %08x", s)
	}
	b.connect(sharingViolation, shareExclusive)
	b.connect(success, shareShared)
	if s := a.status(cmdReconnect, h, shareExclusive, 3, disposeLeave, 0, 0); s != sharingViolation {
		t.Errorf("taking it alone while shared: %08x", s)
	}
	if d.Open("r") != 2 {
		t.Errorf("%d connections", d.Open("r"))
	}
	if s := b.status(cmdReleaseContext, b.context, 0); s != success || d.Open("r") != 1 {
		t.Errorf("releasing: %08x, %d connections", s, d.Open("r"))
	}
}

func TestTransactions(t *testing.T) {
	d, _ := started(t)
	a, b := dial(t, d), dial(t, d)
	ha, hb := a.connect(success, shareShared), b.connect(success, shareShared)
	if s := a.status(cmdEndTransaction, ha, disposeLeave, 0); s != notTransacted {
		t.Errorf("ending nothing: %08x", s)
	}
	if s := a.status(cmdBeginTransaction, ha, 0); s != success {
		t.Fatalf("beginning: %08x", s)
	}
	if s := b.transmit(hb); s != sharingViolation {
		t.Errorf("another's command: %08x", s)
	}
	if s := b.status(cmdStatus, hb, 0); s != sharingViolation {
		t.Errorf("another's status: %08x", s)
	}
	// The other waits for its turn, and gets it at the end of the first.
	b.post(cmdBeginTransaction, words(hb, 0))
	if s := a.status(cmdEndTransaction, ha, disposeLeave, 0); s != success {
		t.Errorf("ending: %08x", s)
	}
	if m := b.read(8); m.word(4) != success {
		t.Errorf("waiting: %x", m)
	}
	if s := b.transmit(hb); s != success {
		t.Errorf("in its own transaction: %08x", s)
	}
	if s := a.status(cmdEndTransaction, ha, disposeLeave, 0); s != sharingViolation {
		t.Errorf("ending another's: %08x", s)
	}
}

func TestEventsOfTheCard(t *testing.T) {
	d, card := started(t)
	a, b := dial(t, d), dial(t, d)
	ha, hb := a.connect(success, shareShared), b.connect(success, shareShared)
	if s := a.status(cmdDisconnect, ha, disposeReset, 0); s != success {
		t.Fatalf("disconnecting: %08x", s)
	}
	if s := b.transmit(hb); s != resetCard {
		t.Errorf("after another's reset: %08x", s)
	}
	if s := b.status(cmdBeginTransaction, hb, 0); s != resetCard {
		t.Errorf("after another's reset: %08x", s)
	}
	if s := b.status(cmdReconnect, hb, shareShared, 3, disposeLeave, 0, 0); s != success || b.transmit(hb) != success {
		t.Errorf("reconnecting: %08x", s)
	}
	d.Eject("r")
	if s := b.status(cmdStatus, hb, 0); s != removedCard {
		t.Errorf("without a card: %08x", s)
	}
	a.connect(noCard, shareShared)
	d.Remove("r")
	if s := b.transmit(hb); s != readerUnavailable {
		t.Errorf("without a reader: %08x", s)
	}
	a.connect(unknownReader, shareShared)
	if s := b.status(cmdDisconnect, hb, disposeLeave, 0); s != success {
		t.Errorf("closing what is gone: %08x", s)
	}
	d.Insert("r", card)
	a.connect(success, shareExclusive)
}

func TestADyingClientLetsGo(t *testing.T) {
	d, card := started(t)
	a, b := dial(t, d), dial(t, d)
	hb := b.connect(success, shareShared)
	ha := a.connect(success, shareShared)
	if s := a.status(cmdBeginTransaction, ha, 0); s != success {
		t.Fatalf("beginning: %08x", s)
	}
	card.ClearLog()
	b.post(cmdBeginTransaction, words(hb, 0))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	// It died in a transaction, so the card was reset, and the one that waited hears of it.
	if m := b.read(8); m.word(4) != resetCard {
		t.Errorf("after its death: %x", m)
	}
	if s := b.status(cmdReconnect, hb, shareExclusive, 3, disposeLeave, 0, 0); s != success {
		t.Errorf("its connection is still there: %08x", s)
	}
}

func TestRuleBreakersAreDropped(t *testing.T) {
	d, _ := started(t)
	for _, c := range []struct {
		name          string
		size, command uint32
		body          message
	}{
		{"an unknown command", 0, 0x7f, nil},
		{"a wrong size", 4, cmdVersion, words(4)},
		{"a handle of nobody", 8, cmdStatus, words(99, 0)},
		{"a huge transmission", 32, cmdTransmit, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := dial(t, d)
			body := c.body
			if c.command == cmdTransmit {
				body = words(r.connect(success, shareShared), protocolT1, 8, 1<<31, 3, 8, 300, 0)
			}
			if _, err := r.Write(append(words(c.size, c.command), body...)); err != nil {
				t.Fatal(err)
			}
			if n, err := r.Read(make([]byte, 1)); err == nil {
				t.Errorf("answered %d bytes", n)
			}
		})
	}
}

func TestAttributesAndControl(t *testing.T) {
	d, card := started(t)
	r := dial(t, d)
	h := r.connect(success, shareShared)
	attribute := func(id, room uint32) message {
		m := make(message, bodySizes[cmdReadAttribute])
		m.put(0, h)
		m.put(4, id)
		m.put(8+attributeSize, room)
		return r.call(cmdReadAttribute, m)
	}
	m := attribute(attributeATR, attributeSize)
	if n := m.word(8 + attributeSize); string(m[8:8+n]) != string(card.ATR()) || m.word(len(m)-4) != success {
		t.Errorf("ATR %x", m)
	}
	if m := attribute(attributeFriendlyName, 1); m.word(len(m)-4) != insufficientBuffer {
		t.Errorf("a short buffer: %x", m.word(len(m)-4))
	}
	if m := attribute(1, attributeSize); m.word(len(m)-4) != unsupportedFeature {
		t.Errorf("another attribute: %x", m.word(len(m)-4))
	}
	if s := r.status(cmdControl, h, 1, 0, 0, 0, 0); s != unsupportedFeature {
		t.Errorf("control: %08x", s)
	}
}

func TestStartRefusesALongPath(t *testing.T) {
	if _, err := Start("/" + string(make([]byte, 100))); err == nil {
		t.Error("a path beyond a socket address was taken")
	}
}
