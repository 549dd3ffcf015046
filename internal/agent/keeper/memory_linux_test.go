// Giving memory back, and going on.

package keeper

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// resident is the resident memory of this process, in pages: the second field of proc_pid_statm(5).
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func TestGiveBack(t *testing.T) {
	clean := cleanMappings()
	if len(clean) == 0 {
		t.Fatal("no part of the program can be given back")
	}
	for _, m := range clean {
		if m.from >= m.to {
			t.Errorf("%+v is no part", m)
		}
	}
	ballast := make([]byte, 32<<20)
	for i := range ballast {
		ballast[i] = 1
	}
	full := resident(t)
	for i := range 3 {
		if ballast[len(ballast)-1] != 1 {
			t.Fatal("memory was lost")
		}
		if i == 0 {
			ballast = []byte{1} // the rest is nobody's now
		}
		GiveBack()
	}
	if now, saved := resident(t), 32<<20/os.Getpagesize(); now > full-saved*3/4 {
		t.Errorf("%d pages before, %d after", full, now)
	}
	home, laptop := lab(t)
	c := begin(t, Options{Home: home, Idle: GiveBack})
	c.addKey(t, "laptop", laptop)
	GiveBack()
	c.wantToken(t, publish)
}
