// The waiting room: connections that have not sent their request yet. It is never full.

package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/cargo-regkey/regkey/internal/agent"
)

// maxWaiting is how many may be in it. A client sends its request as soon as it is connected, so that
// even one that comes among hundreds of others is read before as many have come after it.
const maxWaiting = 64

// A waitingRoom holds connections by age. When one too many comes the oldest goes.
type waitingRoom struct {
	mutex sync.Mutex
	conns []net.Conn
	shut  bool
}

func (r *waitingRoom) enter(conn net.Conn) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.shut {
		_ = conn.Close()
		return
	}
	if len(r.conns) == maxWaiting {
		r.push()
	}
	r.conns = append(r.conns, conn)
}

// push closes the oldest. The mutex is held.
func (r *waitingRoom) push() {
	if len(r.conns) > 0 {
		_ = r.conns[0].Close()
		r.conns = slices.Delete(r.conns, 0, 1)
	}
}

func (r *waitingRoom) pushOldest() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.push()
}

// leave reports whether conn was still in it.
func (r *waitingRoom) leave(conn net.Conn) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	at := slices.Index(r.conns, conn)
	if at < 0 {
		return false
	}
	r.conns = slices.Delete(r.conns, at, at+1)
	return true
}

// empty sends all away, and lets nobody in any more.
func (r *waitingRoom) empty() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.shut = true
	for _, conn := range r.conns {
		_ = conn.Close()
	}
	r.conns = nil
}

// errNoRequest says that a connection ended, or its time did, before there was a whole line.
var errNoRequest = errors.New("there came no request")

// readRequest reads one line. What it has read is overwritten: there may be a secret in it.
func readRequest(conn io.Reader) (*agent.Request, error) {
	buffer := make([]byte, 0, 2<<10)
	defer func() { clear(buffer[:cap(buffer)]) }()
	for {
		n, err := conn.Read(buffer[len(buffer):cap(buffer)])
		seen := len(buffer)
		buffer = buffer[:seen+n]
		if end := bytes.IndexByte(buffer[seen:], '\n'); end >= 0 {
			if end += seen; end != len(buffer)-1 {
				return nil, errors.New("reading request: more than one line came")
			}
			return agent.ParseRequest(buffer)
		}
		if err != nil {
			return nil, errNoRequest
		}
		if len(buffer) >= agent.MaxLine {
			return nil, fmt.Errorf("reading request: it is longer than %d bytes", agent.MaxLine)
		}
		if len(buffer) == cap(buffer) {
			larger := append(make([]byte, 0, min(2*cap(buffer), agent.MaxLine)), buffer...)
			clear(buffer)
			buffer = larger
		}
	}
}
