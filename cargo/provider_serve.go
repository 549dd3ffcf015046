// The provider's side of the conversation: hello, then an answer for each line.

package cargo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// providerHello says which versions of the protocol are spoken.
const providerHello = `{"v":[1]}` + "\n"

// ServeProvider speaks the credential-provider protocol, version 1 (Cargo Book, "Credential
// Provider Protocol"; measured on cargo 1.95): it writes the hello, then answers each line of in
// with one line on out, until in ends, and returns nil. Cargo sends one request to a process; more
// are answered in their order. A line that is no valid request, longer than 64 KiB included, is
// answered with an error and does not end the conversation. A token for anything but reading is
// always marked as not to be used again, and no token as good for other operations: cargo would
// send it with them.
//
// An error is one of reading or writing; then no answer could be given.
func ServeProvider(ctx context.Context, in io.Reader, out io.Writer, handler ProviderHandler) error {
	if _, err := io.WriteString(out, providerHello); err != nil {
		return fmt.Errorf("greeting cargo: %w", err)
	}
	lines := bufio.NewReaderSize(in, maxRequest)
	for {
		line, readErr := lines.ReadSlice('\n')
		if readErr == io.EOF && len(line) == 0 {
			return nil
		}
		tooLong := readErr == bufio.ErrBufferFull
		for readErr == bufio.ErrBufferFull {
			_, readErr = lines.ReadSlice('\n')
		}
		if readErr != nil && readErr != io.EOF {
			return fmt.Errorf("reading cargo's request: %w", readErr)
		}
		var answer []byte
		if tooLong {
			answer = appendFailure(nil, badRequest(fmt.Errorf("the request is longer than %d bytes", maxRequest)))
		} else {
			answer = answerLine(ctx, line, handler)
		}
		if _, err := out.Write(append(answer, '\n')); err != nil {
			return fmt.Errorf("answering cargo: %w", err)
		}
		if readErr == io.EOF {
			return nil
		}
	}
}

// answerLine is the answer to one line, without a line break.
func answerLine(ctx context.Context, line []byte, handler ProviderHandler) []byte {
	request, err := ParseProviderRequest(line)
	if err != nil {
		return appendFailure(nil, badRequest(err))
	}
	switch request.Kind {
	case kindGet:
		switch request.Operation {
		case OperationRead, OperationPublish, OperationYank, OperationUnyank, OperationOwners:
			token, err := handler.Get(ctx, request)
			if err != nil {
				return appendFailure(nil, err)
			}
			return appendToken(nil, request.Operation, token)
		}
	case kindLogin:
		if err := handler.Login(ctx, request); err != nil {
			return appendFailure(nil, err)
		}
		return []byte(`{"Ok":{"kind":"login"}}`)
	case kindLogout:
		if err := handler.Logout(ctx, request); err != nil {
			return appendFailure(nil, err)
		}
		return []byte(`{"Ok":{"kind":"logout"}}`)
	}
	return appendFailure(nil, ErrOperationNotSupported)
}

func badRequest(err error) error {
	return &ProviderError{
		Message:  "regkey could not read cargo's request; this cargo may need a newer regkey",
		CausedBy: []string{err.Error()},
	}
}

// appendToken writes the answer to a get. The field is operation_independent, with an
// underscore, and mandatory: with true, cargo would send a read token for a publish.
func appendToken(b []byte, operation string, token ProviderToken) []byte {
	b = append(b, `{"Ok":{"kind":"get","token":`...)
	b = appendText(b, token.Text)
	if operation == OperationRead && !token.Expires.IsZero() {
		b = append(b, `,"cache":"expires","expiration":`...)
		b = strconv.AppendInt(b, token.Expires.Unix(), 10)
	} else {
		b = append(b, `,"cache":"never"`...)
	}
	return append(b, `,"operation_independent":false}}`...)
}

// appendFailure writes the answer for err.
func appendFailure(b []byte, err error) []byte {
	for _, plain := range []error{ErrURLNotSupported, ErrNotFound, ErrOperationNotSupported} {
		if errors.Is(err, plain) {
			b = append(b, `{"Err":{"kind":"`...)
			b = append(b, plain.Error()...)
			return append(b, `"}}`...)
		}
	}
	told := &ProviderError{Message: err.Error()}
	if known, ok := errors.AsType[*ProviderError](err); ok {
		told = known
	}
	b = append(b, `{"Err":{"kind":"other","message":`...)
	b = appendText(b, Printable(told.Message))
	b = append(b, `,"caused-by":[`...)
	for i, cause := range told.CausedBy {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, Printable(cause))
	}
	return append(b, `]}}`...)
}

// appendText writes a JSON string. Bytes that are not UTF-8 become U+FFFD, so that the line is
// always valid JSON.
func appendText(b []byte, text string) []byte {
	b, _ = jsontext.AppendQuote(b, text)
	return b
}
