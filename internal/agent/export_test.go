// What the tests of this package see of its inside.

package agent

import (
	"testing"
	"time"
)

// StartFrom is [Start] with the regkey that lies in another folder.
var StartFrom = startFrom

// Passed are the variables that an agent gets.
var Passed = passed

// Impatient sets how long an agent may say nothing.
func Impatient(t *testing.T, patience time.Duration) {
	before := silence
	silence = patience
	t.Cleanup(func() { silence = before })
}
