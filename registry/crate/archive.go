// The .crate archive: judged as a stream, never unpacked to disk.

package crate

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"strings"
	"unicode/utf8"
)

// ArchiveLimits bounds what [ReadArchive] unpacks. A zero field means its default.
type ArchiveLimits struct {
	Unpacked int64 // bytes of the whole unpacked stream; 512 MiB, the size that cargo itself unpacks
	Entries  int   // files and folders; 50,000
	Manifest int64 // bytes of Cargo.toml; 1 MiB
	Ratio    int64 // unpacked to packed bytes, judged beyond the first 16 MiB unpacked; 100
}

// ratioGrace is how many unpacked bytes are taken at any ratio: small crates of generated text
// pack very well and harm nobody.
const ratioGrace = 16 << 20

// maxPathLength bounds a path in the archive, in bytes; cargo could not unpack longer ones everywhere.
const maxPathLength = 1024

func (l ArchiveLimits) withDefaults() ArchiveLimits {
	if l.Unpacked <= 0 {
		l.Unpacked = 512 << 20
	}
	if l.Entries <= 0 {
		l.Entries = 50_000
	}
	if l.Manifest <= 0 {
		l.Manifest = 1 << 20
	}
	if l.Ratio <= 0 {
		l.Ratio = 100
	}
	return l
}

// An Archive is what was found in a .crate file.
type Archive struct {
	Manifest []byte // the Cargo.toml of the crate's own folder
	Entries  int    // files and folders
	Unpacked int64  // bytes of the unpacked stream, tar headers included
}

// ReadArchive judges a .crate file read from r, to its end. It accepts one gzip member that holds
// one tar of files and folders, all below "<name>-<version>/", no path twice, with exactly one
// Cargo.toml there. Links, devices and whatever two unpackers could read in two ways (a second
// gzip member, PAX, sparse and half-formed headers, bytes after the end, "..", "\", other spellings of
// Cargo.toml) are refused: cargo makes none of them. The error is an [*Error] with code
// [ArchiveInvalid] or [ArchiveTooLarge], unless r itself failed.
func ReadArchive(r io.Reader, name, version string, limits ArchiveLimits) (*Archive, error) {
	packed := &countingReader{r: r}
	buffered := bufio.NewReaderSize(packed, copySize)
	unzip, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, archiveError(packed, err)
	}
	// cargo unpacks the first member only; Go would go on and see other files than cargo does.
	unzip.Multistream(false)
	limits = limits.withDefaults()
	unpacked := &limitedUnpacker{r: unzip, packed: packed, limits: limits}
	scan := archiveScan{
		folder: name + "-" + version, limits: limits, tar: tar.NewReader(&tarFrame{r: unpacked}), seen: map[[sha256.Size]byte]bool{},
	}
	if err := scan.run(); err != nil {
		return nil, archiveError(packed, err)
	}
	if err := onlyZeros(unpacked); err != nil {
		return nil, archiveError(packed, err)
	}
	if _, err := buffered.ReadByte(); err != io.EOF {
		if err == nil {
			err = refuse(ArchiveInvalid, "the crate file goes on after its gzip stream: package it with cargo")
		}
		return nil, archiveError(packed, err)
	}
	if scan.manifest == nil {
		return nil, refuse(ArchiveInvalid, "the crate file has no %s: package it with cargo", quote(scan.folder+"/Cargo.toml"))
	}
	return &Archive{Manifest: scan.manifest, Entries: scan.entries, Unpacked: unpacked.total}, nil
}

// archiveError keeps refusals and the failure of the underlying reader, and turns what gzip and
// tar say into a refusal.
func archiveError(packed *countingReader, err error) error {
	var refusal *Error
	switch {
	case packed.err != nil:
		return packed.err
	case errors.As(err, &refusal):
		return refusal
	}
	return refuse(ArchiveInvalid, "the crate file is not a gzipped tar archive, or is damaged: %s; package it with cargo", quote(err.Error()))
}

// archiveScan walks the entries of one archive.
type archiveScan struct {
	folder   string
	limits   ArchiveLimits
	tar      *tar.Reader
	seen     map[[sha256.Size]byte]bool // paths by hash: long ones cost no more memory
	entries  int
	manifest []byte
}

func (s *archiveScan) run() error {
	for {
		header, err := s.tar.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if s.entries++; s.entries > s.limits.Entries {
			return refuse(ArchiveTooLarge, "the crate file has more than %d entries: leave files out with package.exclude", s.limits.Entries)
		}
		if err := s.entry(header); err != nil {
			return err
		}
	}
}

// entry judges one entry, and reads it if it is the manifest.
func (s *archiveScan) entry(header *tar.Header) error {
	name := header.Name
	if header.Typeflag == tar.TypeDir {
		name = strings.TrimSuffix(name, "/")
	}
	inside, err := s.checkPath(name)
	if err != nil {
		return err
	}
	key := sha256.Sum256([]byte(name))
	if s.seen[key] {
		return refuse(ArchiveInvalid, "the crate file has %s twice: package it with cargo", quote(name))
	}
	s.seen[key] = true
	first, _, _ := strings.Cut(inside, "/")
	first = strings.TrimRight(first, ". ") // Windows passes over these at the end of a name
	switch {
	case strings.EqualFold(first, ".cargo-ok"):
		return refuse(ArchiveInvalid, "the crate file holds %s, the mark that cargo itself makes when it has unpacked a crate: leave it out", quote(name))
	case inside == "Cargo.toml" && header.Typeflag == tar.TypeReg:
		return s.readManifest(header)
	// The second is the short name that Windows may give it.
	case strings.EqualFold(first, "Cargo.toml"), len(first) > 6 && strings.EqualFold(first[:6], "cargo~"):
		return refuse(ArchiveInvalid, "the crate file holds %s, which some systems take for Cargo.toml: leave it out", quote(name))
	}
	return nil
}

// checkPath returns the path relative to the crate's folder, "" for the folder itself.
func (s *archiveScan) checkPath(name string) (string, error) {
	if len(name) > maxPathLength {
		return "", refuse(ArchiveInvalid, "the crate file has a path of more than %d bytes, %s: shorten it", maxPathLength, quote(name))
	}
	if !utf8.ValidString(name) {
		return "", refuse(ArchiveInvalid, "the crate file has a path that is not UTF-8, %s: rename it", quote(name))
	}
	if path.Clean(name) != name || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "..") {
		return "", refuse(ArchiveInvalid, "the crate file has a path that is absolute or not in its simplest form, %s: package it with cargo", quote(name))
	}
	// These are what cargo refuses to package, and control characters.
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`\<>:"|?*`, r) }) {
		return "", refuse(ArchiveInvalid, "the crate file has a path with a character that not every system takes, %s: rename it", quote(name))
	}
	top, inside, _ := strings.Cut(name, "/")
	if top != s.folder {
		return "", refuse(ArchiveInvalid, "the crate file has a path outside of %s, %s: package it with cargo", quote(s.folder+"/"), quote(name))
	}
	return inside, nil
}

func (s *archiveScan) readManifest(header *tar.Header) error {
	if header.Size > s.limits.Manifest {
		return refuse(ArchiveTooLarge, "the Cargo.toml inside the crate has %d bytes, and the limit is %d: shorten it", header.Size, s.limits.Manifest)
	}
	text := bytes.NewBuffer(make([]byte, 0, 4<<10))
	if _, err := io.Copy(text, s.tar); err != nil {
		return err
	}
	s.manifest = text.Bytes()
	return nil
}

// countingReader counts packed bytes and remembers a failure that is not the end.
type countingReader struct {
	r     io.Reader
	total int64
	err   error
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.total += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// limitedUnpacker counts unpacked bytes and ends a bomb early.
type limitedUnpacker struct {
	r      io.Reader
	packed *countingReader
	limits ArchiveLimits
	total  int64
}

func (l *limitedUnpacker) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.total += int64(n)
	if l.total > l.limits.Unpacked {
		return 0, refuse(ArchiveTooLarge, "the crate file unpacks to more than %d bytes: leave files out with package.exclude", l.limits.Unpacked)
	}
	if l.total > ratioGrace && l.total/l.limits.Ratio > l.packed.total {
		return 0, refuse(ArchiveTooLarge, "the crate file unpacks to more than %d times its size: leave out what packs so well", l.limits.Ratio)
	}
	return n, err
}

// onlyZeros reads r, what follows the end mark of a tar, to its end.
func onlyZeros(r io.Reader) error {
	buffer := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buffer)
	for {
		n, err := r.Read(buffer[:])
		for _, b := range buffer[:n] {
			if b != 0 {
				return refuse(ArchiveInvalid, "the crate file goes on after the end of its tar archive: package it with cargo")
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
