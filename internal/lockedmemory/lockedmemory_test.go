// Secrets that are moved, used and wiped.

package lockedmemory_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/cargo-regkey/regkey/internal/lockedmemory"
)

func TestSecret(t *testing.T) {
	for _, size := range []int{0, 1, 8, 4096, 4097, 70_000} {
		given := bytes.Repeat([]byte{0xa5}, size)
		want := bytes.Clone(given)
		s, err := lockedmemory.New(given)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(given, make([]byte, size)) {
			t.Errorf("%d bytes: what was given was not overwritten", size)
		}
		var pages []byte
		if err := s.Use(func(secret []byte) error { pages = secret; return nil }); err != nil || !bytes.Equal(pages, want) {
			t.Errorf("%d bytes: another secret came out (%v)", size, err)
		}
		failure := errors.New("mine")
		if err := s.Use(func([]byte) error { return failure }); err != failure {
			t.Errorf("the error of the function became %v", err)
		}
		s.Wipe()
		s.Wipe()
		if err := s.Use(func([]byte) error { t.Error("a wiped secret is used"); return nil }); !errors.Is(err, lockedmemory.ErrWiped) {
			t.Errorf("using a wiped secret: %v", err)
		}
	}
}

// TestWipeWaits: nobody reads pages that are gone.
func TestWipeWaits(t *testing.T) {
	s, err := lockedmemory.New([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	inside, leave := make(chan struct{}), make(chan struct{})
	var users sync.WaitGroup
	users.Go(func() {
		_ = s.Use(func(secret []byte) error {
			close(inside)
			<-leave
			if string(secret) != "secret" {
				t.Error("wiped under somebody's hands")
			}
			return nil
		})
	})
	<-inside
	users.Go(s.Wipe)
	close(leave)
	users.Wait()
}
