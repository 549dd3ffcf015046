// What tests of this package may reach that nobody else may.

package keychain

import "time"

// WithLimits is a keychain of less patience.
func WithLimits(answer, person time.Duration) *Keychain { return &Keychain{answer, person} }
