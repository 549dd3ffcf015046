// What a world's machines send: of one version of a keyset always the same bytes.

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
)

// A sentKeysets has each version that left a machine, by where it went, and those that were signed again: a
// run after a fault has the bytes that an earlier one has signed, and may not ask for the signature again. Each run
// of a world is at another second, so what is signed again is another text.
type sentKeysets struct {
	texts map[string]string
	anew  []string
}

// sending is a way to registries. What goes out there has left the machine, whatever becomes of it then.
type sending struct {
	http.RoundTripper
	sent *sentKeysets
}

// RoundTrip is that of [http.RoundTripper].
func (s sending) RoundTrip(r *http.Request) (*http.Response, error) {
	s.sent.leaves(r)
	return s.RoundTripper.RoundTrip(r)
}

// leaves notes what a request brings. Its body is put back.
func (s *sentKeysets) leaves(r *http.Request) {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/keysets") {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var submission struct {
		Note string `json:"note"`
	}
	if err := json.Unmarshal(body, &submission); err != nil {
		panic(err)
	}
	k, err := enroll.ParseSignedKeyset([]byte(submission.Note))
	if err != nil {
		panic(err)
	}
	version := fmt.Sprintf("version %d to %s%s", k.Version, r.Host, r.URL.Path)
	if before, found := s.texts[version]; found && before != string(k.Text) {
		s.anew = append(s.anew, version)
	}
	s.texts[version] = string(k.Text)
}

// once fails if a version was signed anew after it was sent.
func (s *sentKeysets) once() error {
	if len(s.anew) > 0 {
		return fmt.Errorf("signed anew after it was sent: %q", s.anew)
	}
	return nil
}
