// The lines of cargo's configuration for one registry, written out.

package cargo

import (
	"fmt"
	"strings"
)

// Lines is the TOML for a registry whose tokens come from provider, a program and its arguments:
// the table, its index unless empty, and the credential provider as a list, because cargo
// splits a string at blanks and a path may hold some. The text must be UTF-8.
func Lines(name, index string, provider []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[registries.%s]\n", quoteKey(name))
	if index != "" {
		fmt.Fprintf(&b, "index = %s\n", quoteText(index))
	}
	b.WriteString(setting{provider: provider}.line() + "\n")
	return b.String()
}

func (s setting) line() string { return "credential-provider = " + quoteList(s.provider) }

func quoteList(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quoteText(word)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// quoteKey writes a key bare if TOML allows it.
func quoteKey(key string) string {
	bare := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
	}
	if key != "" && strings.TrimFunc(key, bare) == "" {
		return key
	}
	return quoteText(key)
}

// quoteText writes a basic string (TOML 1.0, "String"): backslashes, as in Windows paths, quotes
// and control characters are escaped, everything else stays readable.
func quoteText(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
