// Parts that the tests share: publish bodies, archives, and what cargo was recorded to send.

package crate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorded is the registry that the recorded package was published to.
var recorded = Origin{Index: "sparse+http://127.0.0.1:8080/lab/"}

const (
	recordedName    = "everything"
	recordedVersion = "1.2.3-rc.1+build.5"
)

// load reads a file that the tests cannot do without.
func load(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "cargo-1.95", "everything", name))
	if err != nil {
		t.Fatal(err)
	}
	if len(data) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return data
}

// file is one entry of a test archive; a type of 0 means a regular file.
type file struct {
	name string
	text string
	kind byte
}

// archive packs files as cargo does: GNU tar, gzip.
func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	return zip(t, tarball(t, files...))
}

func tarball(t testing.TB, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Size: int64(len(f.text)), Mode: 0o644, Typeflag: f.kind, Format: tar.FormatGNU}
		switch f.kind {
		case 0:
			h.Typeflag = tar.TypeReg
		case tar.TypeSymlink, tar.TypeLink:
			h.Linkname, h.Size = f.text, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(f.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zip(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// publishBody puts the two parts together as cargo does.
func publishBody(metadata, crate []byte) []byte {
	body := binary.LittleEndian.AppendUint32(nil, uint32(len(metadata)))
	body = append(body, metadata...)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(crate)))
	return append(body, crate...)
}

// wantCode fails unless err is a refusal with that code whose detail holds every text.
func wantCode(t *testing.T, err error, code Code, texts ...string) {
	t.Helper()
	var refusal *Error
	if !errors.As(err, &refusal) {
		t.Fatalf("error is %v; want a refusal with code %q", err, code)
	}
	if refusal.Code != code {
		t.Errorf("code is %q (%s); want %q", refusal.Code, refusal.Detail, code)
	}
	for _, text := range texts {
		if !strings.Contains(refusal.Detail, text) {
			t.Errorf("detail is %q; want it to hold %q", refusal.Detail, text)
		}
	}
	if first := refusal.Detail[:1]; strings.ToLower(first) != first || strings.HasSuffix(refusal.Detail, ".") {
		t.Errorf("detail has a capital or a full stop, and stands behind other words: %q", refusal.Detail)
	}
	if !strings.ContainsAny(refusal.Detail, ":;") {
		t.Errorf("detail does not say what to do: %q", refusal.Detail)
	}
	if strings.ContainsFunc(refusal.Detail, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("detail holds a control character: %q", refusal.Detail)
	}
}

// isEmpty fails unless the folder holds nothing.
func isEmpty(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was left behind", e.Name())
	}
}
