// Memory on publish: flat, whatever the size of the crate.

package crate

import (
	"io"
	"runtime"
	"strconv"
	"testing"
)

// endless is a reader of n bytes that holds none of them.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.left))
	e.left -= int64(n)
	return n, nil
}

// largeBody streams a publish body whose crate has n bytes.
func largeBody(n int64) io.Reader {
	head := publishBody([]byte(smallMetadata), nil)
	head = head[:len(head)-4]
	head = append(head, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	at := 0
	return io.MultiReader(readerFunc(func(p []byte) (int, error) {
		if at == len(head) {
			return 0, io.EOF
		}
		c := copy(p, head[at:])
		at += c
		return c, nil
	}), &endless{left: n})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestReceiveMemoryIsFlat compares the bytes ever allocated for crates of 1 MB and of 50 MB. The
// allowance is below what one allocation per 64 KiB copied would cost.
func TestReceiveMemoryIsFlat(t *testing.T) {
	folder := t.TempDir()
	allocated := func(size int64) (bytes, objects uint64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		upload, err := Receive(folder, largeBody(size), -1, 0)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		if upload.Size != size {
			t.Fatalf("received %d bytes of %d", upload.Size, size)
		}
		upload.Discard()
		return after.TotalAlloc - before.TotalAlloc, after.Mallocs - before.Mallocs
	}
	allocated(1_000_000) // fills the pool of buffers, and what the libraries keep
	smallBytes, smallObjects := allocated(1_000_000)
	largeBytes, largeObjects := allocated(50_000_000)
	t.Logf("1 MB: %d bytes in %d objects; 50 MB: %d bytes in %d objects", smallBytes, smallObjects, largeBytes, largeObjects)
	// A collection between the two may empty the pool, which costs one buffer more.
	if largeBytes > smallBytes+copySize+16<<10 {
		t.Errorf("a crate of 50 MB allocates %d bytes, one of 1 MB %d", largeBytes, smallBytes)
	}
	if largeObjects > smallObjects+50 {
		t.Errorf("a crate of 50 MB allocates %d objects, one of 1 MB %d", largeObjects, smallObjects)
	}
}

// BenchmarkReceive reports B/op and allocs/op, which must not differ between the sizes.
func BenchmarkReceive(b *testing.B) {
	for _, megabytes := range []int64{1, 50} {
		b.Run(strconv.FormatInt(megabytes, 10)+"MB", func(b *testing.B) {
			folder := b.TempDir()
			b.ReportAllocs()
			b.SetBytes(megabytes * 1_000_000)
			for b.Loop() {
				upload, err := Receive(folder, largeBody(megabytes*1_000_000), -1, 0)
				if err != nil {
					b.Fatal(err)
				}
				upload.Discard()
			}
		})
	}
}
