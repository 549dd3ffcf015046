// Readers, who has them open, and who may use them now.

package pcsc

import (
	"slices"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// event is what happened to a card behind a connection's back.
type event byte

const (
	eventNone event = iota
	eventReset
	eventRemoved
)

// A reader is one slot with at most one card. Its fields are guarded by the daemon's mu.
type reader struct {
	name string
	card *virtualpiv.Card
	// present and powered are the card's; gone is a reader that was pulled out.
	present, powered, gone bool
	// events counts insertions and removals, for SCardGetStatusChange.
	events   uint32
	handles  []*handle
	holder   *handle
	locks    int
	refusals int
}

// A handle is one connection to a reader.
type handle struct {
	id        int32
	reader    *reader
	exclusive bool
	event     event
}

// find returns the reader with a name, or nil.
func (d *Daemon) find(name string) *reader {
	for _, r := range d.readers {
		if r.name == name {
			return r
		}
	}
	return nil
}

// pull removes a reader. Its handles stay, and report that it is gone.
func (d *Daemon) pull(r *reader) {
	r.gone, r.present, r.powered = true, false, false
	r.holder, r.locks = nil, 0
	d.readers = slices.DeleteFunc(d.readers, func(other *reader) bool { return other == r })
	d.signal()
}

// signal wakes who waits for a lock, and tells every client that waits for a change of readers.
func (d *Daemon) signal() {
	d.events++
	d.changed.Broadcast()
	for c := range d.clients {
		c.tell(success)
	}
}

// notify marks the reader's handles, but for one, with an event.
func (r *reader) notify(e event, except *handle) {
	for _, h := range r.handles {
		if h != except {
			h.event = e
		}
	}
}

// power resets the card for a connection; the others learn of it.
func (r *reader) power(on bool, by *handle) {
	r.card.Reset()
	r.powered = on
	r.notify(eventReset, by)
}

// exclusive says whether a connection has the reader for itself.
func (r *reader) exclusive() bool {
	return len(r.handles) == 1 && r.handles[0].exclusive
}

// free says whether no other connection holds the reader's lock.
func (r *reader) free(h *handle) bool {
	return r.holder == nil || r.holder == h
}

// lock takes the lock once more.
func (r *reader) lock(h *handle) {
	r.holder = h
	r.locks++
}

// unlock gives one lock back, or all of them.
func (d *Daemon) unlock(h *handle, all bool) {
	r := h.reader
	if r.holder != h {
		return
	}
	r.locks--
	if all || r.locks == 0 {
		r.holder, r.locks = nil, 0
		d.changed.Broadcast()
	}
}

// usable is the status that a command on a handle gets before it is looked at.
func (h *handle) usable() status {
	switch {
	case h.reader.gone:
		return readerUnavailable
	case h.event == eventReset:
		return resetCard
	case h.event == eventRemoved:
		return removedCard
	}
	return success
}

// state is the reader's state in the bits of SCardStatus.
func (r *reader) state() uint32 {
	const (
		absent     = 0x02
		present    = 0x04
		poweredBit = 0x10
		negotiable = 0x20
	)
	switch {
	case !r.present:
		return absent
	case !r.powered:
		return present
	}
	return present | poweredBit | negotiable
}

// sharing is -1 for an exclusive connection, else the number of connections.
func (r *reader) sharing() int32 {
	if r.exclusive() {
		return -1
	}
	return int32(len(r.handles))
}

// disconnect ends a connection.
func (d *Daemon) disconnect(h *handle, disposition uint32) {
	r := h.reader
	if r.present && (disposition == disposeReset || disposition == disposeUnpower) {
		r.power(disposition == disposeReset, h)
	}
	d.unlock(h, true)
	r.handles = slices.DeleteFunc(r.handles, func(other *handle) bool { return other == h })
	d.signal()
}
