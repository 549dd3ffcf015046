// Disks, as Windows tells them apart.

package main

import (
	"path/filepath"
	"strings"
)

// sameDisk reports whether two absolute paths begin with one volume.
func sameDisk(a, b string) bool {
	return strings.EqualFold(filepath.VolumeName(a), filepath.VolumeName(b))
}
