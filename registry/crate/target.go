// Targets of dependencies: triples and cfg expressions, in the form that cargo prints.

package crate

import (
	"errors"
	"strings"
	"unicode"
)

const (
	// maxTargetLength bounds a target in bytes.
	maxTargetLength = 8 << 10
	// maxTargetDepth bounds how deep not, all and any nest.
	maxTargetDepth = 64
)

var errTarget = errors.New("it is neither the name of a target nor a cfg(…) expression")

// normalTarget returns a platform as cargo prints it, so that two spellings of one compare equal:
// a target's name as it is, a cfg expression with one space after each comma and around "=".
// "" stays "". (The Cargo Book, "Platform specific dependencies".)
func normalTarget(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if len(text) > maxTargetLength {
		return "", errors.New("it is too long")
	}
	inner, isExpression := strings.CutPrefix(text, "cfg(")
	if !isExpression {
		for _, r := range text {
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' && r != '.' {
				return "", errTarget
			}
		}
		return text, nil
	}
	inner, closed := strings.CutSuffix(inner, ")")
	if !closed {
		return "", errTarget
	}
	p := cfgParser{rest: inner}
	normal, err := p.expression(0)
	if err != nil {
		return "", err
	}
	if p.next() != "" {
		return "", errTarget
	}
	return "cfg(" + normal + ")", nil
}

// cfgParser reads a cfg expression from its front.
type cfgParser struct{ rest string }

// peek returns the next token without taking it: punctuation, a word, a quoted string with its
// quotes, or "" at the end and where no token begins.
func (p *cfgParser) peek() string {
	p.rest = strings.TrimLeft(p.rest, " ")
	if p.rest == "" {
		return ""
	}
	switch c := p.rest[0]; {
	case strings.IndexByte("(),=", c) >= 0:
		return p.rest[:1]
	case c == '"':
		if end := strings.IndexByte(p.rest[1:], '"'); end >= 0 {
			return p.rest[:end+2]
		}
		return ""
	}
	start := 0
	if strings.HasPrefix(p.rest, "r#") {
		start = 2
	}
	end := start
	for end < len(p.rest) && (isLetter(p.rest[end]) || p.rest[end] == '_' || end > start && isDigit(p.rest[end])) {
		end++
	}
	if end == start {
		return ""
	}
	return p.rest[:end]
}

// next takes the next token. Where no token begins it returns what is there, which fits nowhere.
func (p *cfgParser) next() string {
	token := p.peek()
	if token == "" {
		return p.rest
	}
	p.rest = p.rest[len(token):]
	return token
}

// expression reads not(…), all(…), any(…), a name, or a name = "value".
func (p *cfgParser) expression(depth int) (string, error) {
	if depth > maxTargetDepth {
		return "", errors.New("its cfg expression is nested too deep")
	}
	word := p.next()
	if word == "" || !isLetter(word[0]) && word[0] != '_' || word == "r#" {
		return "", errTarget
	}
	if word == "all" || word == "any" || word == "not" {
		return p.combination(word, depth)
	}
	switch {
	case p.peek() == "=":
		p.next()
		quoted := p.next()
		if len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
			return "", errTarget
		}
		return word + " = " + quoted, nil
	case word == "r#true" || word == "r#false":
		// cargo 1.95 takes these for true and false, and prints them so.
		return word[len("r#"):], nil
	}
	return word, nil
}

// combination reads what follows not, all or any.
func (p *cfgParser) combination(word string, depth int) (string, error) {
	if p.next() != "(" {
		return "", errTarget
	}
	inner, count, err := p.list(depth + 1)
	if err != nil {
		return "", err
	}
	if word == "not" && count != 1 {
		return "", errTarget
	}
	return word + "(" + inner + ")", nil
}

// list reads expressions between commas up to and with the closing parenthesis.
func (p *cfgParser) list(depth int) (string, int, error) {
	var parts []string
	for p.peek() != ")" {
		part, err := p.expression(depth)
		if err != nil {
			return "", 0, err
		}
		parts = append(parts, part)
		if p.peek() != "," {
			break
		}
		p.next()
	}
	if p.next() != ")" {
		return "", 0, errTarget
	}
	return strings.Join(parts, ", "), len(parts), nil
}
