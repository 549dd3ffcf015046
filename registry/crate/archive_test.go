// The archive: what cargo makes is accepted, and whatever could be read in two ways is refused.

package crate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

const demoManifest = "[package]\nname = \"demo\"\nversion = \"1.0.0\"\n"

var demoFile = file{name: "demo-1.0.0/Cargo.toml", text: demoManifest}

func readDemo(data []byte, limits ArchiveLimits) (*Archive, error) {
	return ReadArchive(bytes.NewReader(data), "demo", "1.0.0", limits)
}

func TestReadArchive(t *testing.T) {
	long := "demo-1.0.0/" + strings.Repeat("long-folder/", 20) + "file.rs" // beyond what one tar header holds
	data := archive(t,
		file{name: "demo-1.0.0/", kind: tar.TypeDir},
		file{name: "demo-1.0.0/Cargo.lock", text: "# lock"},
		demoFile,
		file{name: "demo-1.0.0/Cargo.toml.orig", text: "[package]"},
		file{name: "demo-1.0.0/tests/Cargo.toml", text: "another package's"},
		file{name: "demo-1.0.0/src/lib.rs"},
		file{name: long, text: "x"},
	)
	got, err := readDemo(data, ArchiveLimits{})
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Manifest) != demoManifest || got.Entries != 7 || got.Unpacked%512 != 0 || got.Unpacked == 0 {
		t.Errorf("archive is %+v", got)
	}
}

func TestReadArchiveRefuses(t *testing.T) {
	inside := func(name string) file { return file{name: "demo-1.0.0/" + name, text: "x"} }
	tests := []struct {
		name  string
		files []file
	}{
		{"no entries", nil},
		{"no manifest", []file{inside("src/lib.rs")}},
		{"manifest elsewhere", []file{inside("src/Cargo.toml")}},
		{"manifest twice", []file{demoFile, demoFile}},
		{"file twice", []file{demoFile, inside("a"), inside("a")}},
		{"manifest in lower case", []file{demoFile, inside("cargo.toml")}},
		{"manifest in lower case alone", []file{inside("cargo.toml")}},
		{"manifest with a dot", []file{demoFile, inside("Cargo.toml.")}},
		{"manifest with a space", []file{demoFile, inside("CARGO.TOML ")}},
		{"manifest as folder", []file{{name: "demo-1.0.0/Cargo.toml", kind: tar.TypeDir}}},
		{"mark of unpacking", []file{demoFile, inside(".cargo-ok")}},
		{"mark of unpacking with a dot", []file{demoFile, inside(".cargo-ok.")}},
		{"manifest by its short name", []file{demoFile, inside("CARGO~1.TOM")}},
		{"other version", []file{{name: "demo-1.0.1/Cargo.toml", text: demoManifest}}},
		{"other case", []file{{name: "Demo-1.0.0/Cargo.toml", text: demoManifest}}},
		{"outside", []file{demoFile, {name: "other/file"}}},
		{"outside by prefix", []file{demoFile, {name: "demo-1.0.0-evil/file"}}},
		{"bare file", []file{demoFile, {name: "file"}}},
		{"absolute", []file{demoFile, {name: "/demo-1.0.0/file"}}},
		{"parent", []file{demoFile, inside("../demo-1.0.0/file")}},
		{"parent inside", []file{demoFile, inside("a/../b")}},
		{"dot", []file{demoFile, inside("./b")}},
		{"empty component", []file{demoFile, inside("a//b")}},
		{"backslash", []file{demoFile, inside(`..\..\b`)}},
		{"drive", []file{demoFile, inside("c:b")}},
		{"control character", []file{demoFile, inside("a\nb")}},
		{"not UTF-8", []file{demoFile, inside("a\xff")}},
		{"path too long", []file{demoFile, inside(strings.Repeat("a", maxPathLength))}},
		{"symbolic link", []file{demoFile, {name: "demo-1.0.0/l", text: "/etc/passwd", kind: tar.TypeSymlink}}},
		{"hard link", []file{demoFile, {name: "demo-1.0.0/l", text: "demo-1.0.0/Cargo.toml", kind: tar.TypeLink}}},
		{"manifest as link", []file{{name: "demo-1.0.0/Cargo.toml", text: "x", kind: tar.TypeSymlink}}},
		{"device", []file{demoFile, {name: "demo-1.0.0/d", kind: tar.TypeChar}}},
		{"pipe", []file{demoFile, {name: "demo-1.0.0/p", kind: tar.TypeFifo}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := readDemo(archive(t, test.files...), ArchiveLimits{})
			wantCode(t, err, ArchiveInvalid)
		})
	}
}

func TestReadArchiveRefusesOddContainers(t *testing.T) {
	good := tarball(t, demoFile)
	packed := zip(t, good)
	var pax bytes.Buffer
	w := tar.NewWriter(&pax)
	header := &tar.Header{Name: demoFile.name, Size: int64(len(demoManifest)), Typeflag: tar.TypeReg, PAXRecords: map[string]string{"VENDOR.x": "y"}}
	if err := errors.Join(w.WriteHeader(header), second(io.WriteString(w, demoManifest)), w.Close()); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		data []byte
	}{
		{"empty", nil},
		{"not gzip", good},
		{"gzip of text", zip(t, []byte("hello"))},
		{"second gzip member", append(bytes.Clone(packed), packed...)},
		{"bytes after gzip", append(bytes.Clone(packed), 0)},
		{"bytes after tar", zip(t, append(bytes.Clone(good), "more"...))},
		{"second tar after the first", zip(t, append(bytes.Clone(good), good...))},
		{"PAX records", zip(t, pax.Bytes())},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := readDemo(test.data, ArchiveLimits{})
			wantCode(t, err, ArchiveInvalid)
		})
	}
	if _, err := readDemo(zip(t, append(bytes.Clone(good), make([]byte, 8192)...)), ArchiveLimits{}); err != nil {
		t.Errorf("zeros after the end, as other tars pad with, are refused: %v", err)
	}
	for cut := range len(packed) {
		_, err := readDemo(packed[:cut], ArchiveLimits{})
		wantCode(t, err, ArchiveInvalid)
	}
}

func second[T any](_ T, err error) error { return err }

func TestReadArchiveLimits(t *testing.T) {
	noise := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{})
	random.Read(noise)
	data := archive(t, demoFile, file{name: "demo-1.0.0/noise", text: string(noise)})
	tests := []struct {
		name   string
		limits ArchiveLimits
		good   bool
	}{
		{"defaults", ArchiveLimits{}, true},
		{"unpacked", ArchiveLimits{Unpacked: 1 << 20}, false},
		{"unpacked enough", ArchiveLimits{Unpacked: 2 << 20}, true},
		{"entries", ArchiveLimits{Entries: 1}, false},
		{"entries enough", ArchiveLimits{Entries: 2}, true},
		{"manifest", ArchiveLimits{Manifest: int64(len(demoManifest)) - 1}, false},
		{"manifest enough", ArchiveLimits{Manifest: int64(len(demoManifest))}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := readDemo(data, test.limits)
			if test.good {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, ArchiveTooLarge)
		})
	}
}

// A bomb is given up once the ratio shows, long before the absolute limit.
func TestReadArchiveBomb(t *testing.T) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	const size = 24 << 20
	header := &tar.Header{Name: "demo-1.0.0/bomb", Size: size, Typeflag: tar.TypeReg, Format: tar.FormatGNU}
	if err := errors.Join(w.WriteHeader(header), second(io.Copy(w, &endless{left: size})), w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	source := &countingReader{r: iotest.OneByteReader(bytes.NewReader(out.Bytes()))} // nothing is read ahead
	_, err := ReadArchive(source, "demo", "1.0.0", ArchiveLimits{})
	wantCode(t, err, ArchiveTooLarge, "times")
	if source.total > int64(out.Len())*3/4 {
		t.Errorf("%d of %d bytes were read before the bomb was given up", source.total, out.Len())
	}
}

func TestReadArchiveTellsDiskFaults(t *testing.T) {
	data := archive(t, demoFile)
	broken := fmt.Errorf("input/output error")
	for cut := range len(data) {
		_, err := ReadArchive(io.MultiReader(bytes.NewReader(data[:cut]), iotest.ErrReader(broken)), "demo", "1.0.0", ArchiveLimits{})
		if !errors.Is(err, broken) {
			t.Fatalf("after %d bytes: error is %v; want the disk's", cut, err)
		}
	}
}
