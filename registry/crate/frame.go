// The frame of a tar archive: headers that two unpackers could read in two ways go no further.

package crate

import (
	"archive/tar"
	"bytes"
	"io"
	"strconv"
)

const tarBlock = 512 // bytes

// Where a header has what is judged here (POSIX.1-1988 "ustar", and the GNU tar manual, "Basic Tar
// Format"). Behind the device numbers ustar keeps the first part of a long path, and GNU times and
// sparse files, which cargo never writes.
const (
	tarSize, tarSizeEnd   = 124, 136
	tarKind               = 156
	tarMagic, tarMagicEnd = 257, 265
	tarPrefix, tarSpare   = 345, 500
)

// tarFrame passes a tar archive on and stops at a header that leaves a choice. The tar package and
// the one that cargo unpacks with (Rust's tar) choose differently where a folder has content, where
// a header's magic and version fit no format, and where a GNU header has text in place of times:
// from such an archive the registry would read one Cargo.toml and cargo build by another.
type tarFrame struct {
	r      io.Reader
	header [tarBlock]byte
	have   int   // bytes of header that have come
	left   int64 // bytes to pass on before the next header
	ended  bool  // whoever reads on judges what follows the end mark
}

func (f *tarFrame) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	for data := p[:n]; len(data) > 0 && !f.ended; {
		if skip := min(f.left, int64(len(data))); skip > 0 {
			f.left -= skip
			data = data[skip:]
			continue
		}
		took := copy(f.header[f.have:], data)
		f.have += took
		data = data[took:]
		if f.have < tarBlock {
			continue
		}
		f.have = 0
		if err := f.judge(); err != nil {
			return 0, err
		}
	}
	return n, err
}

// judge takes a whole header, and learns how much content follows.
func (f *tarFrame) judge() error {
	if f.header == [tarBlock]byte{} {
		f.ended = true
		return nil
	}
	name, _, _ := bytes.Cut(f.header[:100], []byte{0})
	odd := func(what string) error {
		return refuse(ArchiveInvalid, "the crate file's entry %s %s: package it with cargo", quote(string(name)), what)
	}
	spare := f.header[tarPrefix:]
	switch string(f.header[tarMagic:tarMagicEnd]) {
	case "ustar\x0000":
		spare = f.header[tarSpare:]
	case "ustar  \x00":
	default:
		return odd("is in a tar format that cargo does not write")
	}
	if len(bytes.Trim(spare, "\x00")) > 0 {
		return odd("has more in its header than cargo writes")
	}
	kind := f.header[tarKind]
	switch kind {
	case tar.TypeReg, tar.TypeDir, tar.TypeGNULongName:
	case tar.TypeXHeader, tar.TypeXGlobalHeader:
		return odd("has PAX records, which cargo never writes")
	default:
		return odd("is neither a file nor a folder")
	}
	digits := f.header[tarSize : tarSizeEnd-1]
	size, err := strconv.ParseUint(string(digits), 8, 63)
	if end := f.header[tarSizeEnd-1]; err != nil || end != 0 && end != ' ' {
		return odd("does not tell its size in octal digits")
	}
	if kind == tar.TypeDir && size > 0 {
		return odd("is a folder with content of its own")
	}
	f.left = (int64(size) + tarBlock - 1) / tarBlock * tarBlock
	return nil
}
