// What search shows of a description.

package registry

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	long := strings.Repeat("ä", searchSummary)
	for description, want := range map[string]string{
		"": "", "A crate.": "A crate.", "two\nlines\r\n\tand more ": "two lines and more", "Größe 寸法": "Größe 寸法",
		"\x1b[2Jclear \x1b]0;title\a\u202eturn": "[2Jclear ]0;title turn", long: long, long + "b": long + "…",
		strings.Repeat("\n", 1<<20): "",
	} {
		if got := summary(description); got != want {
			t.Errorf("summary(%.40q) is %.60q, want %.60q", description, got, want)
		}
	}
}
