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

// A waitingRoom holds connections by age. When one too many comes, the oldest goes of the process that
// has most of them: one that floods pushes out itself.
type waitingRoom struct {
	mutex sync.Mutex
	all   []visitor
	shut  bool
}

// A visitor is one connection, and the process that it is of; 0 where the system does not tell.
type visitor struct {
	conn net.Conn
	pid  int
}

func (r *waitingRoom) enter(conn net.Conn, pid int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.shut {
		_ = conn.Close()
		return
	}
	if len(r.all) == maxWaiting {
		r.push()
	}
	r.all = append(r.all, visitor{conn, pid})
}

// push closes the one that has to go. The mutex is held.
func (r *waitingRoom) push() {
	most, count := 0, map[int]int{}
	for _, v := range r.all {
		count[v.pid]++
		most = max(most, count[v.pid])
	}
	at := slices.IndexFunc(r.all, func(v visitor) bool { return count[v.pid] == most })
	if at >= 0 {
		_ = r.all[at].conn.Close()
		r.all = slices.Delete(r.all, at, at+1)
	}
}

// makeRoom is for when the process can have no more files.
func (r *waitingRoom) makeRoom() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.push()
}

// leave reports whether conn was still in it.
func (r *waitingRoom) leave(conn net.Conn) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	at := slices.IndexFunc(r.all, func(v visitor) bool { return v.conn == conn })
	if at < 0 {
		return false
	}
	r.all = slices.Delete(r.all, at, at+1)
	return true
}

// empty sends all away, and lets nobody in any more.
func (r *waitingRoom) empty() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.shut = true
	for _, v := range r.all {
		_ = v.conn.Close()
	}
	r.all = nil
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
