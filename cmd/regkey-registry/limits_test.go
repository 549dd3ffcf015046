// What bounds the server as a process: connections, the time to stop, and what a wrong command line leaves behind.

package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// Connections beyond the limit wait until one ends, and are served then.
func TestConnectionLimit(t *testing.T) {
	mayOpen(t, maxConnections+100) // and so may the server
	p := serve(t, t.TempDir())
	defer p.stop(t)
	const request = "GET /me HTTP/1.1\r\nHost: test\r\n\r\n"
	connect := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		return c
	}
	read := func(c net.Conn) {
		t.Helper()
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); response.StatusCode != 200 || err != nil {
			t.Fatalf("%d %q (%v)", response.StatusCode, body, err)
		}
	}
	var held []net.Conn
	for range maxConnections {
		c := connect()
		read(c)
		held = append(held, c)
	}
	late := connect()
	defer func() { _ = late.Close() }()
	// Were it served, its answer would be here long before those to a hundred requests after it.
	for range 100 {
		if _, err := io.WriteString(held[1], request); err != nil {
			t.Fatal(err)
		}
		read(held[1])
	}
	if err := late.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := late.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a connection beyond the limit was served: %d bytes (%v)", n, err)
	}
	if err := late.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range held {
		_ = c.Close()
	}
	read(late)
}

// mayOpen skips the test where a process may not have so many files open: connections beyond that wait for ever.
func mayOpen(t *testing.T, files int) {
	t.Helper()
	for range files {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Skipf("a process may not have %d files open here: %v", files, err)
		}
		defer func() { _ = f.Close() }()
	}
}

// A second interrupt ends at once what would wait for a request that does not end.
func TestSecondInterrupt(t *testing.T) {
	p := serve(t, t.TempDir())
	address := strings.TrimPrefix(p.URL, "http://")
	slow, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Close() }()
	// "100 Continue" says that the request has reached its handler, which waits for the body from then on.
	if _, err := io.WriteString(slow, "POST /api/regkey/v1/revocations HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(slow).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("%q (%v)", line, err)
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for { // until it has begun to stop, and listens no more
		c, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		_ = c.Close()
	}
	ended := make(chan error, 1)
	go func() { ended <- p.command.Wait() }()
	for {
		// The signal's default is restored at about the time that listening ends, so one may still come too early.
		_ = p.command.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			failed, ok := errors.AsType[*exec.ExitError](err)
			if !ok || !failed.Sys().(syscall.WaitStatus).Signaled() {
				t.Errorf("ended with %v, want the signal; on standard error: %s", err, p.stderr.String())
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// What is wrong with the command line is found before anything is made.
func TestServeMakesNothingInVain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for name, test := range map[string]struct {
		args []string
		exit int
		says string
	}{
		"a short window":  {[]string{"--window", "500ms"}, exitUsage, "the least is 1s"},
		"no size":         {[]string{"--max-crate-size", "0"}, exitUsage, "--max-crate-size"},
		"a bad URL":       {[]string{"--listen", "127.0.0.1:0", "--url", "crates.example.com"}, exitUsage, "--url"},
		"all addresses":   {[]string{"--listen", ":0"}, exitUsage, "--url"},
		"a taken port":    {[]string{"--listen", taken.Addr().String()}, exitFailed, "in use"},
		"no former URL":   {[]string{"--listen", "127.0.0.1:0", "--former", "crates.example.com"}, exitUsage, "--former"},
		"no former index": {[]string{"--listen", "127.0.0.1:0", "--former", "sparse+crates.example.com"}, exitUsage, "--former"},
		"moved to itself": {[]string{"--listen", "127.0.0.1:0", "--url", "https://a.example/", "--former", "https://a.example"}, exitUsage, "served now"},
		"no address":      {[]string{"--listen", "nonsense"}, exitFailed, "listening"},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			out, talk, exit := run(t, append([]string{"serve", "--data", data}, test.args...)...)
			if exit != test.exit || !strings.Contains(talk, test.says) || out != "" {
				t.Errorf("exit %d, stdout %q, stderr %q", exit, out, talk)
			}
			if _, err := os.Stat(data); err == nil {
				t.Error("the data folder was made")
			}
		})
	}
}

// A registry may have had names before this program served it.
func TestServeWithFormerURLs(t *testing.T) {
	p := serve(t, t.TempDir(), "--former", "https://a.example/crates/", "--former", "sparse+https://b.example/git")
	defer p.stop(t)
	response, err := http.Get(p.URL + "/.well-known/regkey.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if want := `"former":["sparse+https://a.example/crates/index/","sparse+https://b.example/git"]`; err != nil || !strings.Contains(string(body), want) {
		t.Errorf("the registry says %s (%v), want %s", body, err, want)
	}
}

// A port that the system chose names the registry for one run, however many there are.
func TestPassingURLs(t *testing.T) {
	data := t.TempDir()
	former := func(args ...string) []string {
		t.Helper()
		p := serve(t, data, args...)
		defer p.stop(t)
		if len(args) > 0 {
			return nil // the world would have to call it by that URL
		}
		response, err := http.Get(p.URL + "/.well-known/regkey.json")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		var answer struct {
			Regkey struct {
				Former []string `json:"former"`
			} `json:"regkey"`
		}
		if err := json.UnmarshalRead(response.Body, &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Regkey.Former
	}
	for range 3 {
		if got := former(); len(got) != 0 {
			t.Errorf("former index URLs %q", got)
		}
	}
	former("--url", "https://crates.example.com")
	for range 2 {
		if got := former(); len(got) != 1 || got[0] != "sparse+https://crates.example.com/index/" {
			t.Errorf("former index URLs %q, want the lasting one", got)
		}
	}
}
