// Reading a request of cargo's: strict JSON, one line.

package cargo

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// maxRequest is how long a request may be, in bytes with its line break. Cargo's own are under
// one KiB, or a few with WWW-Authenticate headers and arguments.
const maxRequest = 64 << 10

// maxField bounds each text that a request is answered by.
const maxField = 4 << 10

// ParseProviderRequest reads one line of cargo's, without or with its line break. It is strict in
// what it reads: JSON by RFC 8259 and nothing after it, valid UTF-8, no name twice (at any depth),
// names compared with case, each known field of its type, none missing that the request's kind and
// operation need, version 1, at most 64 KiB. Fields that it does not know are skipped, as cargo's
// own provider library does: the protocol's version stays 1 where cargo adds one. The same goes for
// the kind and the operation; whoever answers must look at them. No error repeats any of the line,
// which may hold a token.
func ParseProviderRequest(line []byte) (ProviderRequest, error) {
	if len(line) > maxRequest {
		return ProviderRequest{}, fmt.Errorf("the request is longer than %d bytes", maxRequest)
	}
	line = bytes.TrimRight(line, "\r\n")
	if len(bytes.TrimLeft(line, " \t")) == 0 {
		return ProviderRequest{}, errors.New("the request is an empty line")
	}
	p := requestParser{decoder: jsontext.NewDecoder(bytes.NewBuffer(line))}
	var r ProviderRequest
	if err := p.request(&r); err != nil {
		return ProviderRequest{}, err
	}
	if err := r.complete(); err != nil {
		return ProviderRequest{}, err
	}
	return r, nil
}

// requestParser reads token by token: reflection would cost every process 0.1 ms, which is a good
// part of its time.
type requestParser struct{ decoder *jsontext.Decoder }

func (p requestParser) request(r *ProviderRequest) error {
	version := false
	err := p.object("the request", func(name string) error {
		switch name {
		case "v":
			version = true
			return p.version()
		case "registry":
			return p.registry(r)
		case "kind":
			return p.text(name, &r.Kind)
		case "operation":
			return p.text(name, &r.Operation)
		case "name":
			return p.text(name, &r.Crate)
		case "vers":
			return p.text(name, &r.Version)
		case "cksum":
			return p.text(name, &r.Checksum)
		case "token":
			r.TokenGiven = true
			return p.skip(name, '"')
		case "login-url":
			return p.skip(name, '"')
		case "args":
			return p.texts(name)
		}
		return p.skip("", 0)
	})
	if err != nil {
		return err
	}
	if _, err := p.decoder.ReadToken(); err != io.EOF {
		return errors.New("the request goes on after its JSON object")
	}
	if !version {
		return missing("v")
	}
	return nil
}

func (p requestParser) registry(r *ProviderRequest) error {
	return p.object(`"registry"`, func(name string) error {
		switch name {
		case "index-url":
			return p.text(name, &r.Index)
		case "name":
			return p.skip(name, '"')
		case "headers":
			return p.texts(name)
		}
		return p.skip("", 0)
	})
}

// complete says what is missing for the kind and operation that r has, and drops what does not
// belong to them: a field that the protocol does not name there is as unknown as any other.
func (r *ProviderRequest) complete() error {
	var crate, version, checksum bool
	if r.Kind == kindGet {
		if r.Operation == "" {
			return missing("operation")
		}
		checksum = r.Operation == OperationPublish
		version = checksum || r.Operation == OperationYank || r.Operation == OperationUnyank
		crate = version || r.Operation == OperationOwners
	} else {
		r.Operation = ""
	}
	r.TokenGiven = r.TokenGiven && r.Kind == kindLogin
	for _, field := range []struct {
		name   string
		value  *string
		needed bool
	}{
		{"index-url", &r.Index, true}, {"kind", &r.Kind, true},
		{"name", &r.Crate, crate}, {"vers", &r.Version, version}, {"cksum", &r.Checksum, checksum},
	} {
		if !field.needed {
			*field.value = ""
		} else if *field.value == "" {
			return missing(field.name)
		}
	}
	return nil
}

func missing(field string) error {
	return fmt.Errorf("the request has no %q, or an empty one", field)
}

// object reads an object, and has member read each value.
func (p requestParser) object(what string, member func(name string) error) error {
	switch kind := p.decoder.PeekKind(); kind {
	case '{':
	case 0:
		_, err := p.decoder.ReadToken()
		return p.syntax(err)
	default:
		return fmt.Errorf("%s is not a JSON object", what)
	}
	if _, err := p.decoder.ReadToken(); err != nil {
		return p.syntax(err)
	}
	for p.decoder.PeekKind() != '}' {
		token, err := p.decoder.ReadToken()
		if err != nil {
			return p.syntax(err)
		}
		if err := member(token.String()); err != nil {
			return err
		}
	}
	_, err := p.decoder.ReadToken()
	return p.syntax(err)
}

// skip reads over a value, of the kind given unless that is 0.
func (p requestParser) skip(name string, kind jsontext.Kind) error {
	if found := p.decoder.PeekKind(); kind != 0 && found != 0 && found != kind {
		return fmt.Errorf("%q has another type than the protocol says", name)
	}
	return p.syntax(p.decoder.SkipValue())
}

// text reads a string.
func (p requestParser) text(name string, into *string) error {
	if found := p.decoder.PeekKind(); found != '"' && found != 0 {
		return fmt.Errorf("%q is not a string", name)
	}
	token, err := p.decoder.ReadToken()
	if err != nil {
		return p.syntax(err)
	}
	*into = token.String()
	if len(*into) > maxField {
		return fmt.Errorf("%q is longer than %d bytes", name, maxField)
	}
	return nil
}

// texts reads over an array of strings.
func (p requestParser) texts(name string) error {
	if found := p.decoder.PeekKind(); found != '[' && found != 0 {
		return fmt.Errorf("%q is not an array", name)
	}
	if _, err := p.decoder.ReadToken(); err != nil {
		return p.syntax(err)
	}
	for p.decoder.PeekKind() != ']' {
		if err := p.skip(name, '"'); err != nil {
			return err
		}
	}
	_, err := p.decoder.ReadToken()
	return p.syntax(err)
}

// version accepts the number 1, written so.
func (p requestParser) version() error {
	value, err := p.decoder.ReadValue()
	if err != nil {
		return p.syntax(err)
	}
	if string(value) != "1" {
		return errors.New(`"v" is not 1, the version that this provider offered`)
	}
	return nil
}

// syntax describes a JSON error by its position alone: the decoder's own message can repeat the
// input.
func (p requestParser) syntax(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return fmt.Errorf("the request has a name twice in one object, before byte %d", p.decoder.InputOffset())
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the request is not valid JSON at byte %d", syntactic.ByteOffset)
	}
	return errors.New("the request ends in the middle")
}
