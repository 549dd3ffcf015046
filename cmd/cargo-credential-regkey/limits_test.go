// The limits of waiting, which the process tests cannot wait for.

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

func TestQuestionsEnd(t *testing.T) {
	id := &identity{registry: "lab", key: `key "laptop"`, open: func(ctx context.Context, ask keys.PassphraseFunc) (*keys.SoftwareKey, error) {
		_, err := ask(ctx, keys.Record{})
		return nil, err
	}}
	p := &provider{
		getenv: func(string) string { return "" },
		ask: func(ctx context.Context, _ question) (keys.Secret, error) {
			<-ctx.Done()
			return keys.Secret{}, ctx.Err()
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, err := p.unlock(ctx, id, "publish", mutationLimit)
	told, ok := errors.AsType[*cargo.ProviderError](err)
	if !ok || told.Message != `nothing was signed: nobody typed the passphrase of key "laptop" within 5m0s` {
		t.Errorf("failure is %v", err)
	}
}

// A key file that is a pipe which nobody writes to is not waited for by a person.
func TestWaitingForAFileEnds(t *testing.T) {
	id := &identity{registry: "lab", key: `key "laptop"`, open: func(ctx context.Context, _ keys.PassphraseFunc) (*keys.SoftwareKey, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, _, err := (&provider{}).make(ctx, id, token.Request{Operation: token.Publish}, "publish", mutationLimit)
	if told, ok := errors.AsType[*cargo.ProviderError](err); !ok || told.Message != `key "laptop", which signs for lab, cannot be opened` {
		t.Errorf("failure is %v", err)
	}
}

// Cargo holds a lock while it waits for a read token.
func TestLimitsOfOperations(t *testing.T) {
	for operation, limit := range map[string]time.Duration{
		"read": time.Minute, "publish": 5 * time.Minute, "yank": 5 * time.Minute, "unyank": 5 * time.Minute, "owners": 5 * time.Minute,
	} {
		asked := errors.New("asked")
		var left time.Duration
		file := filepath.Join(t.TempDir(), "laptop.age")
		if err := os.WriteFile(file, sealedNothing(t), 0o600); err != nil {
			t.Fatal(err)
		}
		p := &provider{
			getenv: func(name string) string { return map[string]string{envKeyFile: file, envRegistry: "sparse+x"}[name] },
			now:    time.Now,
			stderr: &strings.Builder{},
			ask: func(ctx context.Context, _ question) (keys.Secret, error) {
				deadline, _ := ctx.Deadline()
				left = time.Until(deadline)
				return keys.Secret{}, asked
			},
		}
		_, err := p.Get(t.Context(), cargo.ProviderRequest{Index: "sparse+x", Operation: operation})
		if err == nil || !strings.Contains(err.Error(), "cannot be opened") {
			t.Errorf("%s: %v", operation, err)
		}
		if left > limit || left < limit-30*time.Second {
			t.Errorf("%s may wait %v instead of %v", operation, left, limit)
		}
	}
}

// sealedNothing is an age file with a passphrase. Its header alone makes the provider ask.
func sealedNothing(t *testing.T) []byte {
	t.Helper()
	recipient, err := age.NewScryptRecipient("p")
	if err != nil {
		t.Fatal(err)
	}
	recipient.SetWorkFactor(1)
	var file bytes.Buffer
	armored := armor.NewWriter(&file)
	sealed, err := age.Encrypt(armored, recipient)
	if err == nil {
		err = errors.Join(sealed.Close(), armored.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}
