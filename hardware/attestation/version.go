// Versions of a token's firmware.

package attestation

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// A Version is that of a token's firmware. The zero value is no version.
type Version struct{ Major, Minor, Patch uint8 }

// ParseVersion reads three numbers from 0 to 255 with dots between them, such as "5.7.4". It
// accepts exactly what [Version.String] returns.
func ParseVersion(text string) (Version, error) {
	var numbers [3]uint8
	parts := strings.Split(text, ".")
	if len(parts) != len(numbers) {
		return Version{}, fmt.Errorf("firmware version %.20q is not three numbers, such as 5.7.4", text)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil || strconv.FormatUint(n, 10) != part {
			return Version{}, fmt.Errorf("firmware version %.20q is not three numbers, such as 5.7.4", text)
		}
		numbers[i] = uint8(n)
	}
	return Version{numbers[0], numbers[1], numbers[2]}, nil
}

// String is the form with dots.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// IsZero reports whether v is no version.
func (v Version) IsZero() bool { return v == Version{} }

// Compare is negative where v is older than other, positive where it is newer.
func (v Version) Compare(other Version) int {
	return cmp.Or(cmp.Compare(v.Major, other.Major), cmp.Compare(v.Minor, other.Minor), cmp.Compare(v.Patch, other.Patch))
}

// AtLeast reports whether v is major.minor.patch or newer.
func (v Version) AtLeast(major, minor, patch uint8) bool {
	return v.Compare(Version{major, minor, patch}) >= 0
}

// MarshalText is [Version.String] for encoders.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is [ParseVersion] for decoders.
func (v *Version) UnmarshalText(text []byte) error {
	parsed, err := ParseVersion(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}
