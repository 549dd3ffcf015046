// Reading of files that hold secrets: key files anywhere, and passphrase files.

package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

const (
	// maxKeyFileSize is far above the 500 bytes of an armored key, and bounds memory.
	maxKeyFileSize = 64 << 10
	// maxPassphraseSize bounds what a passphrase file may hold.
	maxPassphraseSize = 4 << 10
)

// OpenKeyFile reads the key file path: PASERK secret text with at most one line break after it, or
// the same encrypted by age with a passphrase and armored, for which ask is called once, with path
// as the name. It refuses a file of more than 64 KiB and (not on Windows, which has no such bits) one
// whose mode lets the group or others write it. One that they may read is refused too, as ssh does,
// unless it was handed out like that: its mode lets nobody at all write it (0444, 0440), or it lies
// on a read-only mount. That is how container platforms mount secrets and systemd hands over
// credentials; a job can't chmod them, and who else may look there is the platform's to decide.
// Errors wrap [ErrNoPassphrase], [ErrWrongPassphrase], [ErrNoKeychain] for a keychain's file, what ask
// or ctx said, or [fs.ErrNotExist]; none repeats the file's content.
func OpenKeyFile(ctx context.Context, path string, ask PassphraseFunc) (*SoftwareKey, error) {
	data, err := ReadKeyFile(ctx, path)
	if err != nil {
		return nil, err
	}
	key, err := OpenKeyText(ctx, data, path, ask)
	if err != nil {
		return nil, fmt.Errorf("opening key file%s: %w", shown(path), err)
	}
	return key, nil
}

// ReadKeyFile is the content of a file that holds a private key of any form. It refuses the file as
// [OpenKeyFile] does, for its size or its mode.
func ReadKeyFile(ctx context.Context, path string) (Secret, error) {
	data, err := readKeyFile(ctx, path, checkHandedOut)
	if err != nil {
		return Secret{}, fmt.Errorf("reading key file%s: %w", shown(path), err)
	}
	return data, nil
}

// OpenKeyText opens what a key file contains, as [OpenKeyFile] says, with the same errors. name is
// what ask is told.
func OpenKeyText(ctx context.Context, text Secret, name string, ask PassphraseFunc) (*SoftwareKey, error) {
	return opener{ask: ask}.open(ctx, text, Record{Name: name})
}

// PassphraseFromFile is the content of the file path without the one line break that may end it. An
// empty passphrase and a file of more than 4 KiB are errors. The file's mode is not judged, unlike
// a key's: container platforms mount such files readable by everyone inside. The file may be a
// pipe; waiting for it ends when ctx ends. Errors name the path only if it is absolute, as it may be
// the passphrase itself.
func PassphraseFromFile(ctx context.Context, path string) (Secret, error) {
	text, err := readLimited(ctx, path, maxPassphraseSize, nil)
	if err != nil {
		return Secret{}, fmt.Errorf("reading passphrase file%s: %w", shown(path), err)
	}
	passphrase := NewSecret(trimLineBreak(text))
	if passphrase.IsZero() {
		return Secret{}, fmt.Errorf("reading passphrase file%s: it is empty", shown(path))
	}
	return passphrase, nil
}

func readKeyFile(ctx context.Context, path string, check fileCheck) (Secret, error) {
	data, err := readLimited(ctx, path, maxKeyFileSize, check)
	return NewSecret(data), err
}

// readLimited reads a whole file, after check, if not nil, has found no fault with it. It returns
// when ctx ends, even while opening a pipe waits for somebody to write to it.
func readLimited(ctx context.Context, path string, limit int64, check fileCheck) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := readWhole(path, limit, check)
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for its content: %w", ctx.Err())
	}
}

func readWhole(path string, limit int64, check fileCheck) ([]byte, error) {
	f, err := atomicfile.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, reason(err)
	}
	if info.IsDir() {
		return nil, errors.New("it is a folder")
	}
	if check != nil {
		if err := check(f.File, info); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, reason(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("it is longer than %d bytes", limit)
	}
	return data, nil
}

// A fileCheck finds fault with an open file. The open file is judged, so nobody can exchange it
// between the look and the reading.
type fileCheck func(*os.File, fs.FileInfo) error

// checkPrivate refuses a file that somebody besides its owner may read or write, as ssh does.
func checkPrivate(_ *os.File, info fs.FileInfo) error {
	if runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return fmt.Errorf("its mode is %04o, so that others may read or write it: chmod 600 makes it yours alone", info.Mode().Perm())
}

// checkHandedOut is checkPrivate, but lets others read a file that nobody can write: see [OpenKeyFile].
func checkHandedOut(f *os.File, info fs.FileInfo) error {
	const writableByOthers, writable = 0o022, 0o222
	mode := info.Mode().Perm()
	if mode&writableByOthers == 0 && (mode&writable == 0 || mode&0o077 != 0 && onReadOnlyMount(f)) {
		return nil
	}
	return checkPrivate(f, info)
}

// shown is a space and the path, quoted, where it can be told that it is one: people put the secret
// itself where the path of its file belongs, and no PASERK or age text begins like an absolute path.
func shown(path string) string {
	if !filepath.IsAbs(path) {
		return ""
	}
	return fmt.Sprintf(" %q", path)
}

// reason is a file error without its path, which the caller names.
func reason(err error) error {
	if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
