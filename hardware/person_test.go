//go:build cgo && linux

// The person at the token, as tests need one.

package hardware

import (
	"context"
	"sync"

	"github.com/cargo-regkey/regkey/keys"
)

// person answers with a PIN, and remembers what was asked.
type person struct {
	pin string
	err error

	mu      sync.Mutex
	asked   []int // tries that were told
	touches int
	done    int
	told    chan struct{} // closed at the first touch that is asked for, if not nil
}

func (p *person) PIN(_ context.Context, _ Key, tries int) (keys.Secret, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, tries)
	return keys.NewSecret([]byte(p.pin)), p.err
}

func (p *person) Touch(context.Context, Key) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.touches++; p.touches == 1 && p.told != nil {
		close(p.told)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.done++
	}
}

func secret(text string) keys.Secret { return keys.NewSecret([]byte(text)) }

const (
	pin123 = "123456"
	puk123 = "12345678"
)
