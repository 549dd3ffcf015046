// Fuzz targets for all that a publisher sends, each with seeds of both outcomes.

package crate

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func publishSeeds(t testing.TB) [][]byte {
	recorded := publishBody(load(t, "metadata.json"), archive(t, demoFile))
	small := publishBody([]byte(smallMetadata), []byte("crate"))
	return [][]byte{
		recorded, small, small[:10], append(bytes.Clone(small), 0), {},
		publishBody([]byte(`{"name":"a","name":"b"}`), []byte("c")),
		{0xff, 0xff, 0xff, 0xff}, publishBody([]byte("{}"), nil),
	}
}

func manifestSeeds(t testing.TB) [][]byte {
	return [][]byte{
		load(t, "Cargo.toml"), []byte(demoManifest),
		[]byte(demoManifest + "[features]\na = [\"dep:b\", \"b?/c\"]\n[target.'cfg(any(a, b = \"c\"))'.build-dependencies]\nb = \">= 1, <2\"\n"),
		[]byte(demoManifest + "[dependencies.a]\ngit = \"x\"\n"), []byte("[package"), {},
	}
}

func archiveSeeds(t testing.TB) [][]byte {
	return [][]byte{
		tarball(t, demoFile), tarball(t, file{name: "demo-1.0.0/src/lib.rs", text: "x"}, demoFile),
		tarball(t, demoFile, demoFile), tarball(t, file{name: "demo-1.0.0/l", text: "/", kind: '2'}), tarball(t), {},
	}
}

// judgeBody, judgeManifest and judgeTar are what is fuzzed: nil if the input is accepted.
func judgeBody(data []byte, folder string) error {
	upload, err := Receive(folder, bytes.NewReader(data), -1, 1<<20)
	if err != nil {
		return err
	}
	if whole := 8 + int64(binary.LittleEndian.Uint32(data)) + upload.Size; whole != int64(len(data)) {
		return errors.New("a body of another length than its parts was accepted")
	}
	return upload.Discard()
}

func judgeManifest(data []byte) error {
	manifest, err := ParseManifest(data)
	if err != nil {
		return err
	}
	entry := manifest.Entry(recorded)
	line, err := entry.Line()
	if err != nil {
		return errors.New("a manifest was accepted that has no line: " + err.Error())
	}
	back, err := ParseEntry(line)
	if err != nil {
		return errors.New("a line cannot be read: " + err.Error())
	}
	if diff := cmp.Diff(&entry, back, cmpopts.EquateEmpty()); diff != "" {
		return errors.New("a line reads back other: " + diff)
	}
	for _, d := range entry.Dependencies {
		if again, err := normalRequirement(d.Requirement); err != nil || again != d.Requirement {
			return errors.New("a requirement is not in normal form: " + d.Requirement)
		}
		if again, err := normalTarget(d.Target); err != nil || again != d.Target {
			return errors.New("a target is not in normal form: " + d.Target)
		}
	}
	if bytes.IndexByte(line, '\n') >= 0 {
		return errors.New("a line holds a line break")
	}
	return nil
}

var fuzzLimits = ArchiveLimits{Unpacked: 1 << 20, Entries: 100, Manifest: 1 << 16}

// judgeTar wraps the tar without compressing, so that the fuzzer reaches it.
func judgeTar(data []byte) error {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	archive, err := ReadArchive(&packed, "demo", "1.0.0", fuzzLimits)
	if err != nil {
		return err
	}
	if int64(len(archive.Manifest)) > fuzzLimits.Manifest || archive.Entries > fuzzLimits.Entries || archive.Unpacked > fuzzLimits.Unpacked {
		return errors.New("an archive beyond its limits was accepted")
	}
	return nil
}

// mustRefuseOrAccept fails on any error that is not a refusal with a code.
func mustRefuseOrAccept(t *testing.T, err error) {
	t.Helper()
	var refusal *Error
	if err != nil && (!errors.As(err, &refusal) || refusal.Code == "" || len(refusal.Detail) > 2000) {
		t.Error(err)
	}
}

// TestFuzzSeeds demands that each target has seeds which are accepted and seeds which are refused.
func TestFuzzSeeds(t *testing.T) {
	folder := t.TempDir()
	for _, target := range []struct {
		name  string
		seeds [][]byte
		judge func([]byte) error
	}{
		{"FuzzPublishBody", publishSeeds(t), func(data []byte) error { return judgeBody(data, folder) }},
		{"FuzzManifest", manifestSeeds(t), judgeManifest},
		{"FuzzArchive", archiveSeeds(t), judgeTar},
	} {
		accepted, refused := 0, 0
		for _, seed := range target.seeds {
			err := target.judge(seed)
			mustRefuseOrAccept(t, err)
			if err == nil {
				accepted++
			} else {
				refused++
			}
		}
		if accepted < 2 || refused < 2 {
			t.Errorf("%s has %d seeds that are accepted and %d that are refused; want two of each", target.name, accepted, refused)
		}
	}
}

func FuzzPublishBody(f *testing.F) {
	for _, seed := range publishSeeds(f) {
		f.Add(seed)
	}
	folder := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		mustRefuseOrAccept(t, judgeBody(data, folder))
		if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
			t.Errorf("%d files were left behind (%v)", len(entries), err)
		}
	})
}

func FuzzManifest(f *testing.F) {
	for _, seed := range manifestSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) { mustRefuseOrAccept(t, judgeManifest(data)) })
}

func FuzzArchive(f *testing.F) {
	for _, seed := range archiveSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		mustRefuseOrAccept(t, judgeTar(data))
		_, err := ReadArchive(bytes.NewReader(data), "demo", "1.0.0", fuzzLimits)
		mustRefuseOrAccept(t, err)
	})
}
