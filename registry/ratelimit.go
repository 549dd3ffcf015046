// The limit of failures by address: guessing is slowed down, honest work never is.

package registry

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// An address may fail failureBurst times at once, and then once every failureEvery. Guessing a code of 128 bits is
// hopeless anyway; what this bounds is the work that failures cost.
const (
	failureBurst = 100
	failureEvery = 500 * time.Millisecond
	maxAddresses = 10_000 // per generation: at most about 2 MB of limits in memory
)

// failureLimit counts failures. It holds two generations of addresses; when the younger is full it
// becomes the older, so an attacker with many addresses makes it forget, and never grow.
type failureLimit struct {
	mutex          sync.Mutex
	younger, older map[netip.Prefix]*rate.Limiter
}

func newFailureLimit() *failureLimit {
	return &failureLimit{younger: map[netip.Prefix]*rate.Limiter{}}
}

// fail counts a failure from an address.
func (f *failureLimit) fail(from string, now time.Time) {
	f.limiter(network(from)).AllowN(now, 1)
}

// check refuses an address that has failed too often.
func (f *failureLimit) check(from string, now time.Time) error {
	place := network(from)
	f.mutex.Lock()
	limiter := f.find(place)
	f.mutex.Unlock()
	if limiter == nil || limiter.TokensAt(now) >= 1 {
		return nil
	}
	e := refuse(http.StatusTooManyRequests, "rate-limited", "too many failed requests came from this address: wait a little and try again")
	e.RetryAfter = time.Second
	return e
}

func (f *failureLimit) find(place netip.Prefix) *rate.Limiter {
	if found, ok := f.younger[place]; ok {
		return found
	}
	return f.older[place]
}

func (f *failureLimit) limiter(place netip.Prefix) *rate.Limiter {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	limiter := f.find(place)
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Every(failureEvery), failureBurst)
	}
	if len(f.younger) >= maxAddresses {
		f.younger, f.older = map[netip.Prefix]*rate.Limiter{}, f.younger
	}
	f.younger[place] = limiter
	return limiter
}

// network is what one client owns: an IPv4 address, or the /64 that an IPv6 host is given.
func network(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	address = address.Unmap().WithZone("")
	bits := 32
	if address.Is6() {
		bits = 64
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// client is the address that a request came from. A proxy on this machine says in X-Forwarded-For whom it speaks
// for, and adds that as the last entry; what others write there is theirs to make up.
func client(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	forwarded := r.Header.Values("X-Forwarded-For")
	if err != nil || !peer.Addr().Unmap().IsLoopback() || len(forwarded) == 0 {
		return r.RemoteAddr
	}
	last := forwarded[len(forwarded)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}

// counted runs a handler of the key API and counts its refusals. limited says whether an address that has failed too
// often is turned away first.
func (s *Server) counted(limited bool, h handlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		from := client(r)
		if limited {
			if err := s.failures.check(from, s.now()); err != nil {
				return err
			}
		}
		err := h(w, r)
		if e := refusal(err); err != nil && e.Status >= 400 && e.Status < 500 && e.Status != http.StatusConflict {
			s.failures.fail(from, s.now())
			if !limited {
				// The failure itself was judged in full, as a good revocation must be taken
				// at any time; one that is not good may learn no more than that.
				if limit := s.failures.check(from, s.now()); limit != nil {
					return limit
				}
			}
		}
		return err
	}
}
