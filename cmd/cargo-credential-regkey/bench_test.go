// How long the whole process takes, beside one that only says hello.

package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

const helloProgram = `package main

import "fmt"

func main() { fmt.Println("hello") }
`

// BenchmarkProvider measures processes from their start to their end: one "get" with an Ed25519
// key, and in turn with it a Go program that prints one line. The metric "x-hello" is the ratio of
// the two medians.
func BenchmarkProvider(b *testing.B) {
	dir := b.TempDir()
	source := filepath.Join(dir, "hello.go")
	if err := os.WriteFile(source, []byte(helloProgram), 0o600); err != nil {
		b.Fatal(err)
	}
	hello := filepath.Join(dir, "hello")
	if out, err := buildCommand(hello, source).CombinedOutput(); err != nil {
		b.Fatalf("building: %v\n%s", err, out)
	}
	u := newUser(b)
	u.enrol(b, lab(index), keys.Ed25519, "")
	request := []byte(requests(index)["read"])

	var helloTimes, providerTimes []time.Duration
	once := func(times *[]time.Duration, cmd *exec.Cmd, want string) {
		var out bytes.Buffer
		cmd.Stdout = &out
		cmd.Stdin = bytes.NewReader(request)
		begin := time.Now()
		err := cmd.Run()
		*times = append(*times, time.Since(begin))
		if err != nil || !bytes.Contains(out.Bytes(), []byte(want)) {
			b.Fatalf("%v: %v, %s", cmd.Args, err, out.Bytes())
		}
	}
	for b.Loop() {
		once(&helloTimes, exec.Command(hello), "hello")
		once(&providerTimes, u.command("--cargo-plugin"), `{"Ok":{"kind":"get"`)
	}
	ratio := float64(median(providerTimes)) / float64(median(helloTimes))
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(median(helloTimes))/1e6, "hello-ms")
	b.ReportMetric(float64(median(providerTimes))/1e6, "provider-ms")
	b.ReportMetric(ratio, "x-hello")
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}
