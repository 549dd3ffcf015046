// What the demonstration does, act by act.

package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/keys"
)

// signatureSize is that of the demonstration's key, which is made with the default algorithm.
var signatureSize = keys.Ed25519.SignatureSize()

// begin starts a registry, makes a key, and makes the registry trust it.
func (s *stage) begin(ctx context.Context) (err error) {
	s.act("A registry, as its operator runs it")
	s.show("regkey-registry serve --auth-required")
	if s.wiretap, s.registry, err = s.lab.ServeTapped(ctx, "registry", "--auth-required"); err != nil {
		return err
	}
	s.say("its index is %s", s.registry.Index)
	s.show("regkey-registry invite crates-team")
	code, err := s.registry.Invite(ctx, "crates-team")
	if err != nil {
		return err
	}
	s.out(code)
	s.say("a code for one use; it is never sent: it seeds a key that signs the first keyset")

	s.act("A key, and a registry that trusts it")
	if err := s.registry.Name("lab"); err != nil {
		return err
	}
	s.say("cargo knows the registry by a name: [registries.lab] in its configuration")
	if err := s.regkey(ctx, "", "init", "laptop", "--none"); err != nil {
		return err
	}
	if err := s.regkey(ctx, code+"\n", "enroll", "--registry", "lab", "--account", "crates-team", "--code-stdin"); err != nil {
		return err
	}
	return s.regkey(ctx, "", "status")
}

// publish publishes a crate, and builds another that depends on it.
func (s *stage) publish(ctx context.Context) (err error) {
	s.act("cargo publish, with no secret on the wire")
	dir, err := s.lab.Crate("hello-regkey", "0.1.0", "lab")
	if err != nil {
		return err
	}
	if err := s.publishCrate(ctx, dir); err != nil {
		return err
	}
	if !s.cargo {
		return s.download(ctx, "/api/v1/crates/hello-regkey/0.1.0/download")
	}
	user, err := s.lab.Crate("uses-it", "0.1.0", "lab", "hello-regkey")
	if err != nil {
		return err
	}
	s.say("a second crate depends on the first and is built from the registry, which asks for a read token")
	return s.expect(ctx, user, "", 0, "cargo", "build", "--quiet")
}

// replay shows the token that was sent, and sends it again.
func (s *stage) replay(ctx context.Context) error {
	s.act("What an eavesdropper gets")
	for _, request := range s.wiretap.Requests() {
		if !request.Mutation() {
			continue
		}
		s.say("everything above went through a wiretap; it saw this token, in %s %s:", request.Method, request.Path)
		s.out(request.Token)
		if err := s.decode(request.Token); err != nil {
			return err
		}
		s.say("the same request again, byte for byte:")
		return s.refused(ctx, request.Method, request.Path, request.Token, request.Body, "token-replayed")
	}
	return errors.New("the wiretap saw no publish")
}

// rotate brings in a new key, publishes with it, and shows that the old one is out.
func (s *stage) rotate(ctx context.Context) error {
	s.act("Rotation")
	old, err := s.lab.Token(ctx, s.registry.Index, lab.Operation{Kind: "yank", Name: "hello-regkey", Version: "0.1.0"})
	if err != nil {
		return err
	}
	s.say("kept for later: a token by the old key, signed before the rotation and not used yet")
	if err := s.regkey(ctx, "", "rotate", "--registry", "lab", "--to", "laptop-2", "--none", "--yes"); err != nil {
		return err
	}
	dir, err := s.lab.Crate("hello-regkey", "0.1.1", "lab")
	if err != nil {
		return err
	}
	if err := s.publishCrate(ctx, dir); err != nil {
		return err
	}
	s.say("the old key's token, which was good a moment ago:")
	return s.refused(ctx, "DELETE", "/api/v1/crates/hello-regkey/0.1.0/yank", old, nil, "key-unknown")
}

// revoke ends the last key.
func (s *stage) revoke(ctx context.Context) error {
	s.act("Revocation")
	if err := s.expect(ctx, "", "", 1, "regkey", "revoke", "--registry", "lab", "laptop-2", "--reason", "lost", "--yes"); err != nil {
		return err
	}
	s.say("the last key that may manage: that has to be said in full")
	unused, err := s.lab.Token(ctx, s.registry.Index, lab.Operation{Kind: "yank", Name: "hello-regkey", Version: "0.1.0"})
	if err != nil {
		return err
	}
	if err := s.regkey(ctx, "", "revoke", "--registry", "lab", "laptop-2", "--reason", "lost", "--yes", "--force-last"); err != nil {
		return err
	}
	s.say("a token that was signed before, and arrives now:")
	return s.refused(ctx, "DELETE", "/api/v1/crates/hello-regkey/0.1.0/yank", unused, nil, "key-revoked")
}

// publishCrate publishes with cargo, or with the built-in client where there is none.
func (s *stage) publishCrate(ctx context.Context, dir string) error {
	if s.cargo {
		return s.expect(ctx, dir, "", 0, "cargo", "publish", "--registry", "lab", "--allow-dirty")
	}
	s.show("(built-in client) publish " + dir)
	crate, _, err := s.lab.Publish(ctx, s.registry, dir)
	if err == nil {
		s.out(fmt.Sprintf("published %s %s", crate.Name, crate.Version))
	}
	return err
}

// download reads a crate back with a read token, as a build would.
func (s *stage) download(ctx context.Context, path string) error {
	token, err := s.lab.Token(ctx, s.registry.Index, lab.Operation{Kind: "read"})
	if err != nil {
		return err
	}
	status, body, err := s.registry.Send(ctx, http.MethodGet, path, token, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("downloading %s: status %d", path, status)
	}
	s.out(fmt.Sprintf("downloaded %d bytes", len(body)))
	return nil
}

// decode prints what is inside a token: everything but the signature is plain text.
func (s *stage) decode(token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 4 {
		return fmt.Errorf("a token of %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	if len(payload) < signatureSize {
		return fmt.Errorf("a token's payload of %d bytes", len(payload))
	}
	footer, err := base64.RawURLEncoding.DecodeString(parts[3])
	if err != nil {
		return err
	}
	s.out("claims    " + string(payload[:len(payload)-signatureSize]))
	s.out(fmt.Sprintf("signature %x…", payload[len(payload)-signatureSize:][:16]))
	s.out("footer    " + string(footer))
	return nil
}

// refused sends a request that must be refused with that code.
func (s *stage) refused(ctx context.Context, method, path, token string, body []byte, code string) error {
	s.show(fmt.Sprintf("curl -X %s %s -H 'Authorization: <the token>'", method, s.registry.URL+path))
	status, answer, err := s.registry.Send(ctx, method, path, token, body)
	if err != nil {
		return err
	}
	s.out(fmt.Sprintf("%d %s", status, strings.TrimSpace(answer)))
	if status/100 != 4 || !strings.Contains(answer, `"`+code+`"`) {
		return fmt.Errorf("%s %s was to be refused as %s", method, path, code)
	}
	return nil
}
