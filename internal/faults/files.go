// Files, signers and the keychain of a run.

package faults

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// Files has every call that concerns the folder go through the run, until end is called. A run that is to end by a
// [PowerCut] leaves there, by then, what is durable.
func (r *Run) Files(folder string) (end func()) {
	if r.mode != PowerCut {
		return r.files(folder, func(string, string) {})
	}
	d := newDisk(folder)
	close := r.files(folder, d.did)
	return func() {
		close()
		if err := d.cut(); err != nil {
			panic(err)
		}
	}
}

// files tells did of each call that was made.
func (r *Run) files(folder string, did func(what, path string)) (end func()) {
	return atomicfile.SetAround(folder, func(what, path string, do func() error) error {
		half := func() error { // the file was made just before; the content does not matter
			return os.WriteFile(path, []byte("half of it"), 0o600)
		}
		whole := func() error {
			err := do()
			if err == nil {
				did(what, path)
			}
			return err
		}
		return r.do(File, what, filepath.ToSlash(strings.TrimPrefix(path, folder)), whole, half)
	})
}

// Signer is s, whose signatures go through the run.
func (r *Run) Signer(s keys.Signer) keys.Signer { return &signer{s, r} }

type signer struct {
	keys.Signer
	run *Run
}

func (s *signer) Sign(ctx context.Context, message []byte) (signature []byte, err error) {
	err = s.run.Do(Signer, "sign", s.Public().ID().String(), func() (err error) {
		signature, err = s.Signer.Sign(ctx, message)
		return err
	})
	if err != nil {
		return nil, err
	}
	return signature, nil
}

// Keychain is k, every use of which goes through the run.
func (r *Run) Keychain(k keys.SystemKeychain) keys.SystemKeychain { return &keychain{k, r} }

type keychain struct {
	keys.SystemKeychain
	run *Run
}

func (k *keychain) Store(ctx context.Context, id string, secret keys.Secret) error {
	return k.run.Do(Keychain, "store", id, func() error { return k.SystemKeychain.Store(ctx, id, secret) })
}

func (k *keychain) Fetch(ctx context.Context, id string) (secret keys.Secret, err error) {
	err = k.run.Do(Keychain, "fetch", id, func() (err error) {
		secret, err = k.SystemKeychain.Fetch(ctx, id)
		return err
	})
	if err != nil {
		return keys.Secret{}, err
	}
	return secret, nil
}

func (k *keychain) Delete(ctx context.Context, id string) error {
	return k.run.Do(Keychain, "delete", id, func() error { return k.SystemKeychain.Delete(ctx, id) })
}
