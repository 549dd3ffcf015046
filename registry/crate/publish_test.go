// The publish body: what is received, what is refused, and that nothing stays behind.

package crate

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

const smallMetadata = `{"name":"demo","vers":"1.0.0","deps":[],"features":{}}`

func TestReceive(t *testing.T) {
	crate := []byte("any bytes will do here")
	body := publishBody(load(t, "metadata.json"), crate)
	sum := sha256.Sum256(crate)
	for _, length := range []int64{int64(len(body)), -1} {
		folder := t.TempDir()
		upload, err := Receive(folder, iotest.OneByteReader(bytes.NewReader(body)), length, 0)
		if err != nil {
			t.Fatal(err)
		}
		if upload.Metadata.Name != recordedName || upload.Metadata.Version != recordedVersion {
			t.Errorf("metadata is of %s %s", upload.Metadata.Name, upload.Metadata.Version)
		}
		if want := hex.EncodeToString(sum[:]); upload.Checksum != want || upload.Size != int64(len(crate)) {
			t.Errorf("upload has checksum %s and %d bytes; want %s and %d", upload.Checksum, upload.Size, want, len(crate))
		}
		if filepath.Dir(upload.Path) != folder {
			t.Errorf("the file is at %s, outside of %s", upload.Path, folder)
		}
		got, err := os.ReadFile(upload.Path)
		if err != nil || !bytes.Equal(got, crate) {
			t.Errorf("the file holds %q (%v); want %q", got, err, crate)
		}
		if err := upload.Discard(); err != nil {
			t.Error(err)
		}
		isEmpty(t, folder)
	}
}

func TestReceiveRefuses(t *testing.T) {
	good := publishBody([]byte(smallMetadata), []byte("crate"))
	withLength := func(at int, length uint32) []byte {
		changed := bytes.Clone(good)
		binary.LittleEndian.PutUint32(changed[at:], length)
		return changed
	}
	crateLengthAt := 4 + len(smallMetadata)
	known := int64(len(good))
	tests := []struct {
		name   string
		body   []byte
		length int64
		max    int64
		code   Code
	}{
		{"nothing", nil, 0, 0, PublishMalformed},
		{"nothing, length unknown", nil, -1, 0, PublishMalformed},
		{"trailing byte", append(bytes.Clone(good), 0), -1, 0, PublishMalformed},
		{"trailing byte, length known", append(bytes.Clone(good), 0), known + 1, 0, PublishMalformed},
		{"metadata longer than the body", withLength(0, 4<<20), known, 0, PublishMalformed},
		{"metadata longer than the body, length unknown", withLength(0, 4<<20), -1, 0, PublishMalformed},
		{"metadata over its limit", withLength(0, MaxMetadata+1), known, 0, PublishTooLarge},
		{"metadata of 4 GiB", withLength(0, 1<<32-1), -1, 0, PublishTooLarge},
		{"metadata cut by its length", withLength(0, 10), known, 0, PublishMalformed},
		{"crate longer than the body", withLength(crateLengthAt, 6), known, 0, PublishMalformed},
		{"crate longer than the body, length unknown", withLength(crateLengthAt, 6), -1, 0, PublishMalformed},
		{"crate shorter than the body", withLength(crateLengthAt, 4), known, 0, PublishMalformed},
		{"crate of 4 GiB", withLength(crateLengthAt, 1<<32-1), -1, 0, PublishTooLarge},
		{"crate over the limit", good, known, 4, PublishTooLarge},
		{"crate over the limit, length unknown", good, -1, 4, PublishTooLarge},
		{"body over every limit", good, 1 << 40, 0, PublishTooLarge},
		{"empty crate", publishBody([]byte(smallMetadata), nil), -1, 0, PublishMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			_, err := Receive(folder, bytes.NewReader(test.body), test.length, test.max)
			wantCode(t, err, test.code)
			isEmpty(t, folder)
		})
	}
	t.Run("at its limit", func(t *testing.T) {
		upload, err := Receive(t.TempDir(), bytes.NewReader(good), known, 5)
		if err != nil {
			t.Fatal(err)
		}
		upload.Discard()
	})
}

// Every cut of a good body is refused, whether the server knew the length or not.
func TestReceiveRefusesEveryCut(t *testing.T) {
	good := publishBody([]byte(smallMetadata), []byte("crate"))
	folder := t.TempDir()
	for cut := range len(good) {
		for _, length := range []int64{-1, int64(cut), int64(len(good))} {
			_, err := Receive(folder, bytes.NewReader(good[:cut]), length, 0)
			wantCode(t, err, PublishMalformed)
		}
	}
	isEmpty(t, folder)
}

func TestReceiveTellsOthersFaults(t *testing.T) {
	good := publishBody([]byte(smallMetadata), []byte("crate"))
	broken := errors.New("connection reset")
	for cut := range len(good) {
		_, err := Receive(t.TempDir(), io.MultiReader(bytes.NewReader(good[:cut]), iotest.ErrReader(broken)), -1, 0)
		if !errors.Is(err, broken) {
			t.Fatalf("after %d bytes: error is %v; want it to wrap the connection's", cut, err)
		}
	}
	limited := http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(bytes.NewReader(good)), 20)
	_, err := Receive(t.TempDir(), limited, -1, 0)
	wantCode(t, err, PublishTooLarge)
	var refusal *Error
	_, err = Receive(filepath.Join(t.TempDir(), "missing"), bytes.NewReader(good), -1, 0)
	if err == nil || errors.As(err, &refusal) {
		t.Errorf("a missing folder gives %v; want an error of the server's own", err)
	}
}

func TestParseMetadataRefuses(t *testing.T) {
	dep := func(members string) string {
		return `{"name":"demo","vers":"1.0.0","deps":[{"name":"a","version_req":"^1","kind":"normal",` + members + `}]}`
	}
	tests := []struct {
		name, text string
		code       Code
	}{
		{"empty", ``, PublishMalformed},
		{"array", `[]`, PublishMalformed},
		{"null", `null`, NameInvalid},
		{"trailing", smallMetadata + `{}`, PublishMalformed},
		{"cut", smallMetadata[:20], PublishMalformed},
		{"duplicate", `{"name":"demo","name":"demo","vers":"1.0.0"}`, PublishMalformed},
		{"duplicate unknown", `{"name":"demo","vers":"1.0.0","new":1,"new":1}`, PublishMalformed},
		{"not UTF-8", "{\"name\":\"demo\",\"vers\":\"1.0.0\",\"readme\":\"\xff\"}", PublishMalformed},
		{"name in another case", `{"Name":"demo","vers":"1.0.0"}`, NameInvalid},
		{"no version", `{"name":"demo"}`, VersionInvalid},
		{"name of wrong type", `{"name":7,"vers":"1.0.0"}`, PublishMalformed},
		{"readme of wrong type", `{"name":"demo","vers":"1.0.0","readme":[]}`, PublishMalformed},
		{"keywords of wrong type", `{"name":"demo","vers":"1.0.0","keywords":"a"}`, PublishMalformed},
		{"features of wrong type", `{"name":"demo","vers":"1.0.0","features":{"a":"b"}}`, PublishMalformed},
		{"deps of wrong type", `{"name":"demo","vers":"1.0.0","deps":{}}`, PublishMalformed},
		{"optional of wrong type", dep(`"optional":"yes"`), PublishMalformed},
		{"unknown kind", `{"name":"demo","vers":"1.0.0","deps":[{"name":"a","version_req":"1","kind":"run"}]}`, PublishMalformed},
		{"no requirement", `{"name":"demo","vers":"1.0.0","deps":[{"name":"a"}]}`, PublishMalformed},
		{"bad target", dep(`"target":"cfg(unix"`), PublishMalformed},
		{"artifact", dep(`"artifact":["bin"]`), PublishMalformed},
		{"path in the name", `{"name":"../demo","vers":"1.0.0"}`, NameInvalid},
		{"bad version", `{"name":"demo","vers":"1.0"}`, VersionInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseMetadata([]byte(test.text))
			wantCode(t, err, test.code)
		})
	}
}

func TestParseMetadataTolerates(t *testing.T) {
	for _, text := range []string{
		smallMetadata,
		`{"name":"demo","vers":"1.0.0"}`,
		`{"name":"demo","vers":"1.0.0","deps":null,"features":null,"links":null,"added-later":{"a":[1]}}`,
		`{"name":"demo","vers":"1.0.0","deps":[{"name":"a","version_req":"1","kind":null,"target":null,"artifact":null,"added":1}]}`,
	} {
		if _, err := ParseMetadata([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestUploadKeep(t *testing.T) {
	folder := t.TempDir()
	receive := func(content string) *Upload {
		upload, err := Receive(folder, bytes.NewReader(publishBody([]byte(smallMetadata), []byte(content))), -1, 0)
		if err != nil {
			t.Fatal(err)
		}
		return upload
	}
	upload := receive("first")
	if err := upload.Keep(filepath.Join(folder, "missing", "x.crate")); err == nil {
		t.Error("kept in a folder that does not exist")
	}
	final := filepath.Join(folder, upload.Checksum+".crate")
	if err := upload.Keep(final); err != nil {
		t.Fatal(err)
	}
	if err := upload.Keep(final); err == nil {
		t.Error("kept twice")
	}
	if err := upload.Discard(); err != nil {
		t.Errorf("discarding after keeping: %v", err)
	}
	if got, err := os.ReadFile(final); err != nil || string(got) != "first" {
		t.Errorf("kept file holds %q (%v)", got, err)
	}
	second := receive("second")
	for range 2 {
		if err := second.Discard(); err != nil {
			t.Error(err)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 || !strings.HasSuffix(entries[0].Name(), ".crate") {
		t.Errorf("folder holds %v (%v); want the kept crate alone", entries, err)
	}
}

// What is sent in a few bytes must not take a hundred times as many here.
func TestParseMetadataBoundsDependencies(t *testing.T) {
	one := `{"name":"a","version_req":"1"}`
	some := func(n int, one string) []byte {
		return []byte(`{"name":"demo","vers":"1.0.0","deps":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`)
	}
	if m, err := ParseMetadata(some(maxDependencies, one)); err != nil || len(m.Dependencies) != maxDependencies {
		t.Errorf("%d dependencies: %v", maxDependencies, err)
	}
	_, err := ParseMetadata(some(maxDependencies+1, one))
	wantCode(t, err, PublishMalformed, "dependencies")
	many := some(MaxMetadata/4, "{}")
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			_, err = ParseMetadata(many)
		}
	})
	wantCode(t, err, PublishMalformed, "dependencies")
	if used := result.AllocedBytesPerOp(); used > 4*int64(len(many)) {
		t.Errorf("%d bytes of metadata took %d in memory", len(many), used)
	}
}
