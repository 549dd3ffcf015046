// Tar headers that Go's tar package and cargo's read in two ways.

package crate

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"
	"testing/iotest"
)

// header is the first block of the archive that cargo would make of one file, changed and with its
// checksum mended.
func header(t testing.TB, f file, change func(block []byte)) []byte {
	t.Helper()
	block := tarball(t, f)[:tarBlock]
	change(block)
	sum := 8 * int(' ') // the field of the checksum counts as blanks
	for i, b := range block {
		if i < 148 || i >= 156 {
			sum += int(b)
		}
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return block
}

const otherManifest = "[package]\nname = \"demo\"\nversion = \"1.0.0\"\nbuild = \"evil.rs\"\n"

// Cargo 1.95 built by otherManifest from each of the first three archives, while the tar package
// shows only demoManifest.
func TestReadArchiveRefusesTwoReadings(t *testing.T) {
	other := file{name: demoFile.name, text: otherManifest}
	good := tarball(t, demoFile)
	good = good[:len(good)-2*tarBlock] // without its end
	again := func(change func([]byte)) []byte {
		block := header(t, other, func(b []byte) {
			copy(b[tarPrefix:], "demo-1.0.0/sub")
			change(b)
		})
		return append(append(bytes.Clone(good), block...), tarball(t, other)[tarBlock:]...)
	}
	hidden := append(bytes.Clone(good), header(t, file{name: "demo-1.0.0/junk", text: string(tarball(t, other))}, func([]byte) {})...)
	folder := header(t, file{name: "demo-1.0.0/x/", kind: tar.TypeDir}, func(b []byte) {
		copy(b[tarSize:], fmt.Sprintf("%011o", len(hidden)))
	})
	alone := func(change func([]byte)) []byte {
		return append(header(t, demoFile, change), tarball(t, demoFile)[tarBlock:]...)
	}
	magic := func(text string) func([]byte) { return func(b []byte) { copy(b[tarMagic:], text) } }
	tests := []struct {
		name string
		tar  []byte
	}{
		{"folder with content", append(append(folder, hidden...), tarball(t, other)...)},
		{"ustar of another version", again(magic("ustar\x0001"))},
		{"GNU with text for times", again(func([]byte) {})},
		{"no magic", alone(magic("\x00\x00\x00\x00\x00\x00\x00\x00"))},
		{"star's trailer", alone(func(b []byte) { copy(b[tarMagic:], "ustar\x0000"); copy(b[508:], "tar\x00") })},
		{"old type of a file", alone(func(b []byte) { b[tarKind] = 0 })},
		{"long name of a link", alone(func(b []byte) { b[tarKind] = tar.TypeGNULongLink })},
		{"PAX header", alone(func(b []byte) { b[tarKind] = tar.TypeXHeader })},
		{"size in binary", alone(func(b []byte) { copy(b[tarSize:tarSizeEnd], "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x2a") })},
		{"size with a sign", alone(func(b []byte) { b[tarSize] = '+' })},
		{"size with blanks", alone(func(b []byte) { copy(b[tarSize:], "     ") })},
		{"size without an end", alone(func(b []byte) { b[tarSizeEnd-1] = '0' })},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := readDemo(zip(t, test.tar), ArchiveLimits{})
			wantCode(t, err, ArchiveInvalid, "package it with cargo")
		})
	}
}

// What other tools write in the plain format serves too, and so does a stream that comes byte by byte.
func TestReadArchiveTakesUstar(t *testing.T) {
	block := header(t, demoFile, func(b []byte) { copy(b[tarMagic:], "ustar\x0000") })
	data := zip(t, append(block, tarball(t, demoFile)[tarBlock:]...))
	got, err := ReadArchive(iotest.OneByteReader(bytes.NewReader(data)), "demo", "1.0.0", ArchiveLimits{})
	if err != nil || string(got.Manifest) != demoManifest {
		t.Errorf("%+v, %v", got, err)
	}
}
