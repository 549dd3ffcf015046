// Receiving cargo's publish body: the metadata parsed, the crate streamed to disk while hashed.

package crate

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

const (
	// DefaultMaxCrate is the size in bytes beyond which [Receive] refuses a .crate file when it
	// is told no other limit. crates.io takes 10 MiB; a private registry often holds more.
	DefaultMaxCrate = 64 << 20
	// MaxMetadata is the largest JSON part in bytes. It holds the whole README, so it is more
	// than the other fields could need.
	MaxMetadata = 4 << 20
	// lengthSize is the size in bytes of the little-endian length before each part.
	lengthSize = 4
	// copySize is the size in bytes of a copy buffer, and all that a crate of any size occupies.
	copySize = 64 << 10
)

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// Receive reads a publish body (The Cargo Book, "Registry Web API", Publish): a little-endian
// uint32 length and JSON metadata, then a little-endian uint32 length and the .crate file. The
// file goes to a new temporary file in folder, which must be on the file system where it will be
// kept, and its SHA-256 is computed on the way. length is the request's Content-Length, or -1 if
// unknown; maxCrate is the limit of the .crate file in bytes, 0 for [DefaultMaxCrate].
//
// Both lengths are judged before the part that follows is read, and must come out at length
// exactly; nothing may follow the crate. The memory used does not grow with the crate.
//
// The caller owns the upload and ends it by [Upload.Keep] or [Upload.Discard]; after an error
// nothing is left on disk. An [*Error] has the code [PublishMalformed], [PublishTooLarge],
// [NameInvalid] or [VersionInvalid].
func Receive(folder string, body io.Reader, length int64, maxCrate int64) (*Upload, error) {
	if maxCrate <= 0 {
		maxCrate = DefaultMaxCrate
	}
	if length > 2*lengthSize+MaxMetadata+maxCrate {
		return nil, refuse(PublishTooLarge, "the request has %d bytes, and this registry takes crates of up to %d: leave files out with package.exclude", length, maxCrate)
	}
	metadata, jsonSize, err := receiveMetadata(body, length)
	if err != nil {
		return nil, err
	}
	size, err := readLength(body, "crate")
	if err != nil {
		return nil, err
	}
	switch whole := 2*lengthSize + jsonSize + size; {
	case size == 0:
		return nil, refuse(PublishMalformed, "the publish request holds an empty crate: publish with cargo")
	case size > maxCrate:
		return nil, refuse(PublishTooLarge, "the crate has %d bytes, and this registry takes up to %d: leave files out with package.exclude", size, maxCrate)
	case length >= 0 && whole != length:
		return nil, refuse(PublishMalformed, "the lengths inside the publish request come to %d bytes, but the request has %d: publish with cargo, and find out what alters uploads in transit", whole, length)
	}
	upload := &Upload{Size: size, Metadata: metadata}
	if err := upload.receive(folder, body); err != nil {
		upload.Discard()
		return nil, err
	}
	return upload, nil
}

// receiveMetadata reads and parses the JSON part, and returns its size in bytes too.
func receiveMetadata(body io.Reader, length int64) (*Metadata, int64, error) {
	size, err := readLength(body, "metadata")
	if err != nil {
		return nil, 0, err
	}
	if size > MaxMetadata {
		return nil, 0, refuse(PublishTooLarge, "the metadata of the publish request has %d bytes, and the limit is %d: shorten the README, which is part of it", size, MaxMetadata)
	}
	if length >= 0 && lengthSize+size > length {
		return nil, 0, refuse(PublishMalformed, "the publish request announces %d bytes of metadata, but has only %d in all: publish with cargo, and find out what alters uploads in transit", size, length)
	}
	// The buffer grows with what arrives: an announced length alone gets no memory.
	var text bytes.Buffer
	if _, err := io.CopyN(&text, body, size); err != nil {
		return nil, 0, readError(err, "metadata")
	}
	metadata, err := ParseMetadata(text.Bytes())
	return metadata, size, err
}

// receive streams exactly u.Size bytes of body to a temporary file and fills in path and checksum.
func (u *Upload) receive(folder string, body io.Reader) (err error) {
	file, err := os.CreateTemp(folder, ".upload-*")
	if err != nil {
		return fmt.Errorf("creating file for crate: %w", err)
	}
	u.Path = file.Name()
	defer func() {
		if closeErr := file.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("closing file of crate: %w", closeErr)
		}
	}()
	buffer := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buffer)
	hash := sha256.New()
	for left := u.Size; left > 0; {
		n, err := io.ReadFull(body, buffer[:min(left, copySize)])
		if err != nil {
			return readError(err, "crate")
		}
		hash.Write(buffer[:n])
		if _, err := file.Write(buffer[:n]); err != nil {
			return fmt.Errorf("writing crate: %w", err)
		}
		left -= int64(n)
	}
	switch n, err := io.ReadFull(body, buffer[:1]); {
	case n > 0:
		return refuse(PublishMalformed, "the publish request goes on after the crate: publish with cargo, and find out what alters uploads in transit")
	case err != io.EOF:
		return readError(err, "crate")
	}
	u.Checksum = hex.EncodeToString(hash.Sum(buffer[:0]))
	return nil
}

// readLength reads the length before the named part.
func readLength(body io.Reader, part string) (int64, error) {
	var raw [lengthSize]byte
	if _, err := io.ReadFull(body, raw[:]); err != nil {
		return 0, readError(err, "length of the "+part)
	}
	return int64(binary.LittleEndian.Uint32(raw[:])), nil
}

// readError distinguishes a body that ends early, or that the server cut at its own limit, from a
// connection that broke.
func readError(err error, part string) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(PublishMalformed, "the publish request ends inside the %s: try again, and find out what cuts uploads short", part)
	case errors.As(err, &tooLarge):
		return refuse(PublishTooLarge, "the request has more than %d bytes, the limit of this registry: leave files out with package.exclude", tooLarge.Limit)
	}
	return fmt.Errorf("reading %s of publish request: %w", part, err)
}
