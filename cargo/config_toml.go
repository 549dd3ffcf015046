// TOML text: its values, and where in the text each key stands.

package cargo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A SyntaxError says where a configuration file is not valid TOML; a table or key that is there
// twice is one. It quotes nothing of the file but the names of keys.
type SyntaxError struct {
	File         string // empty if the text came from no file
	Line, Column int    // from 1; the column counts bytes
	Message      string
}

// Error gives file, line and column, and nothing of the content.
func (e *SyntaxError) Error() string {
	where := Origin{File: e.File, Line: e.Line}.String()
	if e.File == "" {
		where = fmt.Sprintf("line %d", e.Line)
	}
	return fmt.Sprintf("reading cargo's configuration: %s: column %d: %s", where, e.Column, e.Message)
}

// inFile adds the file's name to a SyntaxError.
func inFile(err error, path string) error {
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		syntax.File = path
	}
	return err
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// withoutMark returns the text after a byte order mark, which cargo allows and skips, and the
// mark's length.
func withoutMark(text []byte) ([]byte, int) {
	rest := bytes.TrimPrefix(text, byteOrderMark)
	return rest, len(text) - len(rest)
}

// decodeTOML decodes text wholly; the error is a [*SyntaxError] with no file.
func decodeTOML(text []byte) (map[string]any, error) {
	rest, _ := withoutMark(text)
	if at := invalidUTF8(rest); at >= 0 {
		line := bytes.Count(rest[:at], []byte("\n")) + 1
		column := at - bytes.LastIndexByte(rest[:at], '\n')
		return nil, &SyntaxError{Line: line, Column: column, Message: "not UTF-8"}
	}
	tree := make(map[string]any)
	err := toml.Unmarshal(rest, &tree)
	var detail *toml.DecodeError
	switch {
	case err == nil:
		return tree, nil
	case errors.As(err, &detail):
		line, column := detail.Position()
		return nil, &SyntaxError{Line: line, Column: column, Message: Printable(strings.TrimPrefix(detail.Error(), "toml: "))}
	}
	// The library's other errors may quote values, which may be secret.
	return nil, &SyntaxError{Line: 1, Column: 1, Message: "not valid TOML"}
}

func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// lookup returns what stands under the path of keys, nil if nothing does.
func lookup(tree map[string]any, keys ...string) any {
	var value any = tree
	for _, key := range keys {
		table, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		if value, ok = table[key]; !ok {
			return nil
		}
	}
	return value
}

// joined writes a path of keys as one string, so that different paths give different strings: only
// an escape can put U+0000 into a key, and no setting of cargo's has one.
func joined(keys []string) string { return strings.Join(keys, "\x00") }

// keyText writes a path of keys as TOML does.
func keyText(keys []string) string {
	quoted := make([]string, len(keys))
	for i, key := range keys {
		quoted[i] = quoteKey(key)
	}
	return strings.Join(quoted, ".")
}

type itemKind uint8

const (
	tableHeader itemKind = iota // [a.b]
	arrayHeader                 // [[a.b]]
	pair                        // a.b = value
	inlinePair                  // the same inside braces
)

// An item is one thing that text defines, with its place as byte offsets.
type item struct {
	kind  itemKind
	path  []string // from the root, the header's keys included
	own   int      // how many of the path's keys are written in this item
	table int      // the index of the header it stands under, -1 for none
	start int      // of the first key
	value int      // of a pair's value
	end   int      // after a pair's value, or after a header's brackets
}

// scanTOML lists the items of text that [decodeTOML] accepts, in order.
func scanTOML(text []byte) []item {
	rest, skipped := withoutMark(text)
	s := scanner{text: text, skipped: skipped, table: -1}
	s.parser.Reset(rest)
	for s.parser.NextExpression() {
		s.expression(s.parser.Expression())
	}
	return s.items
}

type scanner struct {
	parser  unstable.Parser
	text    []byte
	skipped int // bytes of text before what the parser sees
	items   []item
	prefix  []string // the path of the header above
	table   int
}

func (s *scanner) expression(node *unstable.Node) {
	switch node.Kind {
	case unstable.Table, unstable.ArrayTable:
		i := s.keys(node, nil)
		i.table, i.kind = -1, tableHeader
		brackets := 1
		if node.Kind == unstable.ArrayTable {
			i.kind, brackets = arrayHeader, 2
		}
		i.end = s.space(i.end) + brackets
		s.prefix, s.table = i.path, len(s.items)
		s.items = append(s.items, i)
	case unstable.KeyValue:
		s.pair(node, s.prefix, pair)
	}
}

func (s *scanner) pair(node *unstable.Node, prefix []string, kind itemKind) {
	i := s.keys(node, prefix)
	i.kind, i.table = kind, s.table
	i.value = s.space(s.space(i.end) + len("="))
	i.end = s.skipped + int(node.Raw.Offset+node.Raw.Length)
	s.items = append(s.items, i)
	if value := node.Value(); value.Kind == unstable.InlineTable {
		for children := value.Children(); children.Next(); {
			if child := children.Node(); child.Kind == unstable.KeyValue {
				s.pair(child, i.path, inlinePair)
			}
		}
	}
}

// keys reads a node's keys; end is after the last of them.
func (s *scanner) keys(node *unstable.Node, prefix []string) item {
	i := item{path: append([]string(nil), prefix...)}
	for keys := node.Key(); keys.Next(); i.own++ {
		key := keys.Node()
		if i.own == 0 {
			i.start = s.skipped + int(key.Raw.Offset)
		}
		i.path = append(i.path, string(key.Data))
		i.end = s.skipped + int(key.Raw.Offset+key.Raw.Length)
	}
	return i
}

// space returns the offset of the first byte from at that is neither blank nor tab.
func (s *scanner) space(at int) int {
	for at < len(s.text) && (s.text[at] == ' ' || s.text[at] == '\t') {
		at++
	}
	return at
}

// A lineCounter turns rising offsets into line numbers without counting from the top each time.
type lineCounter struct {
	text       []byte
	done, line int
}

func (c *lineCounter) at(offset int) int {
	if offset < c.done {
		c.done, c.line = 0, 0
	}
	c.line += bytes.Count(c.text[c.done:offset], []byte("\n"))
	c.done = offset
	return c.line + 1
}
