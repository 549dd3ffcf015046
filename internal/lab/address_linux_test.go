// A reserved address is for those who are told it.

package lab

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

func TestReserve(t *testing.T) {
	address, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("somebody listens there: %v, %v", conn, err)
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("who is told the address can't listen there: %v", err)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Close(), listener.Close()
	}
	release()
	// Somebody else's now: two listen at no address.
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return // and somebody else has it already
	}
	if err != nil {
		t.Fatal(err)
	}
	if second, err := net.Listen("tcp", address); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second one listens there: %v, %v", second, err)
	}
	_ = listener.Close()
}
