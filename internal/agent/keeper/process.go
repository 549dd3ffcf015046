// Which process asks.

package keeper

import (
	"fmt"
	"os"
	"path/filepath"
)

// name says which process asks, as far as the system tells. A process can call itself what it likes:
// this is for the log and for the eyes of a person, and nothing is decided by it.
func (c *caller) name() string {
	if c.who.PID == 0 {
		return "a program of yours"
	}
	if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", c.who.PID)); err == nil {
		return fmt.Sprintf("%.64q (process %d)", filepath.Base(program), c.who.PID)
	}
	return fmt.Sprintf("process %d", c.who.PID)
}
