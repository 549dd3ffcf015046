// --with-file: a managing key that is kept elsewhere signs, and stays there.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/keys"
)

// openWithFile has the key in the file path, if one is named, sign wherever one that manages has to, for
// this run. Of a key that is not known here yet the public half is written down, under the file's name.
func (a *app) openWithFile(ctx context.Context, store *keys.Store, path string) (keys.Record, error) {
	if path == "" {
		return keys.Record{}, nil
	}
	key, err := a.openFile(ctx, path)
	if err != nil {
		return keys.Record{}, err
	}
	record, err := store.Find(key.Public().ID())
	if errors.Is(err, fs.ErrNotExist) {
		record, err = a.noteElsewhere(store, path, key.Public())
	}
	if err != nil {
		return keys.Record{}, err
	}
	a.manager = record.Name
	a.opened(record.Name, key)
	return record, nil
}

// bringFile is openWithFile for a command that takes the lock of the home folder later.
func (a *app) bringFile(c *cli.Context) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	_, err = a.openWithFile(c.Context, a.store(home), c.String("with-file"))
	return err
}

// openFile opens a key file that is not the store's.
func (a *app) openFile(ctx context.Context, path string) (key *keys.SoftwareKey, err error) {
	_, _, err = a.asking(ctx, "Passphrase of "+filepath.Base(path)+":", func(ask keys.PassphraseFunc) (err error) {
		key, err = keys.OpenKeyFile(ctx, path, ask)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening the key of --with-file: %w", err)
	}
	return key, nil
}

// noteElsewhere stores what is public of a key that stays in its file.
func (a *app) noteElsewhere(store *keys.Store, path string, public keys.PublicKey) (keys.Record, error) {
	base := nameFrom(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
	if base == "" {
		base = "backup"
	}
	name := base
	for n := 2; ; n++ {
		record, err := store.CreateElsewhere(keys.Record{Name: name, Public: public, Created: a.now()})
		if !errors.Is(err, fs.ErrExist) {
			return record, err
		}
		if same, err := store.Lookup(name); err == nil && same.Public == public {
			return same, nil // which could not be read a moment ago
		}
		name = fmt.Sprintf("%s-%d", base, n)
	}
}
