// Edits cargo's configuration as text: one value is put in, every other byte stays.

package cargo

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A NotEditableError refuses to edit a file by program, and says what to do by hand. Nothing was changed.
type NotEditableError struct {
	File   string // empty if the text came from no file
	Line   int    // of what is in the way; 0 if it is not one line
	Reason string
	Lines  string // the exact lines that the file should hold, ending in a line break
}

// Error says where and why; Lines are the caller's to show.
func (e *NotEditableError) Error() string {
	return "editing cargo's configuration: " + place(e.File, e.Line) + e.Reason
}

// An IndexConflictError says that a registry's name already has another index.
type IndexConflictError struct {
	File       string // empty if the text came from no file
	Line       int
	Name       string
	Have, Want string // index URLs; a password in Have is masked
}

// Error shows both URLs.
func (e *IndexConflictError) Error() string {
	return fmt.Sprintf("editing cargo's configuration: %sregistry %q has the index %s, not %s", place(e.File, e.Line), e.Name, e.Have, e.Want)
}

// place begins a message with where it applies, as far as known.
func place(file string, line int) string {
	switch {
	case file == "" && line == 0:
		return ""
	case file == "":
		return fmt.Sprintf("line %d: ", line)
	}
	return Origin{File: file, Line: line}.String() + ": "
}

// SetProvider returns content, a configuration file of cargo's, with `credential-provider =
// [provider…]` under [registries.name]: in place of a value that is there, else at the end of that
// table, else in a new table at the end of the file, where index, unless empty, is set too. It
// changes one stretch of bytes and proves by decoding both texts that no other setting changed;
// where that can't be done (inline tables, dotted keys), the error is a [*NotEditableError].
// Content that is not TOML is a [*SyntaxError]; a name that has another index is an
// [*IndexConflictError]. If the setting is there already, content is returned as it is, and changed
// is false.
func SetProvider(content []byte, name, index string, provider []string) (edited []byte, changed bool, err error) {
	s := setting{name: name, index: index, provider: provider}
	if err := s.check(); err != nil {
		return nil, false, err
	}
	if len(content) > maxConfigSize {
		return nil, false, errors.New("editing cargo's configuration: larger than 1 MiB")
	}
	before, err := decodeTOML(content)
	if err != nil {
		return nil, false, err
	}
	plan, err := s.plan(content, before)
	if err != nil {
		return nil, false, err
	}
	if plan == nil {
		return content, false, nil
	}
	edited = slices.Concat(content[:plan.from], []byte(plan.text), content[plan.to:])
	after, err := decodeTOML(edited)
	if err != nil || !sameTree(after, s.applied(before)) {
		return nil, false, s.refuse(0, "the file is built in a way that can't be edited safely")
	}
	return edited, true, nil
}

// A setting is what the file is to hold.
type setting struct {
	name, index string
	provider    []string
}

func (s setting) check() error {
	if err := checkName(s.name); err != nil {
		return err
	}
	if len(s.provider) == 0 || s.provider[0] == "" {
		return errors.New("editing cargo's configuration: no credential provider given")
	}
	for _, text := range append([]string{s.index}, s.provider...) {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return fmt.Errorf("editing cargo's configuration: %q can't be written in TOML", text)
		}
	}
	return nil
}

func (s setting) refuse(line int, reason string) error {
	return &NotEditableError{Line: line, Reason: reason, Lines: Lines(s.name, s.index, s.provider)}
}

// A splice replaces the bytes from..to by text.
type splice struct {
	from, to int
	text     string
}

// plan finds the splice; nil if nothing is to be done.
func (s setting) plan(content []byte, tree map[string]any) (*splice, error) {
	items := scanTOML(content)
	lineOf := func(i item) int { return bytes.Count(content[:i.start], []byte("\n")) + 1 }
	own := []string{"registries", s.name}
	key := []string{"registries", s.name, "credential-provider"}
	if err := s.checkTypes(tree, func(path []string) int {
		if at := slices.IndexFunc(items, func(i item) bool { return slices.Equal(i.path, path) }); at >= 0 {
			return lineOf(items[at])
		}
		return 0
	}); err != nil {
		return nil, err
	}
	if words, ok := lookup(tree, key...).([]any); ok && equalWords(words, s.provider) {
		return nil, nil
	}
	header := slices.IndexFunc(items, func(i item) bool { return i.kind == tableHeader && slices.Equal(i.path, own) })
	if header >= 0 {
		return s.planInTable(content, items, header, key), nil
	}
	for _, i := range items {
		if i.kind == pair && (slices.Equal(i.path, own[:1]) || startsWith(i.path, own)) {
			return nil, s.refuse(lineOf(i), fmt.Sprintf("registry %q stands in an inline table or under a dotted key, which can't be edited safely", s.name))
		}
	}
	return &splice{len(content), len(content), s.newTable(content)}, nil
}

// planInTable replaces the value under the header [registries.name], or adds a line after the
// last one there.
func (s setting) planInTable(content []byte, items []item, header int, key []string) *splice {
	last := items[header]
	for _, i := range items {
		if i.kind != pair || i.table != header {
			continue
		}
		if slices.Equal(i.path, key) {
			return &splice{i.value, i.end, quoteList(s.provider)}
		}
		last = i
	}
	indent := content[lineStart(content, last.start):]
	indent = indent[:len(indent)-len(bytes.TrimLeft(indent, " \t"))]
	line := string(indent) + s.line()
	lineEnd := bytes.IndexByte(content[last.end:], '\n')
	if lineEnd < 0 {
		return &splice{len(content), len(content), lineBreak(content) + line}
	}
	at := last.end + lineEnd + 1
	return &splice{at, at, line + lineBreak(content[last.end:at])}
}

// newTable is what is added at the end of a file that does not know the registry: set off by one
// empty line, in the file's own kind of line breaks.
func (s setting) newTable(content []byte) string {
	eol := lineBreak(content)
	text := strings.ReplaceAll(Lines(s.name, s.index, s.provider), "\n", eol)
	rest, _ := withoutMark(content)
	switch {
	case len(bytes.TrimSpace(rest)) == 0 && (len(rest) == 0 || rest[len(rest)-1] == '\n'):
		return text
	case !bytes.HasSuffix(rest, []byte("\n")):
		return eol + eol + text
	case bytes.HasSuffix(rest, []byte("\n\n")), bytes.HasSuffix(rest, []byte("\n\r\n")):
		return text
	}
	return eol + text
}

func startsWith(path, prefix []string) bool {
	return len(path) >= len(prefix) && slices.Equal(path[:len(prefix)], prefix)
}

// lineStart is the offset of the first byte of the line at offset, after a byte order mark.
func lineStart(content []byte, offset int) int {
	if at := bytes.LastIndexByte(content[:offset], '\n'); at >= 0 {
		return at + 1
	}
	_, mark := withoutMark(content)
	return mark
}

// lineBreak is the kind of the first line break in text, "\n" if it has none.
func lineBreak(text []byte) string {
	if at := bytes.IndexByte(text, '\n'); at > 0 && text[at-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}
