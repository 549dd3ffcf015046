// Any input at all, beside what a real cargo sends.

package cargo_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/cargo"
)

// cargoRequests are the lines that cargo 1.95 sent to a provider for a build, a publish, yank,
// unyank, owner, login (without and with a token) and logout, against registries with and without
// auth-required.
func cargoRequests(t testing.TB) [][]byte {
	t.Helper()
	data, err := os.ReadFile("testdata/cargo-1.95-requests.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	if len(lines) < 9 {
		t.Fatalf("%d requests are too few", len(lines))
	}
	return lines
}

func TestProviderReadsCargosRequests(t *testing.T) {
	seen := make(map[string]int)
	for _, line := range cargoRequests(t) {
		r, err := cargo.ParseProviderRequest(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if r.Index != "sparse+http://127.0.0.1:8080/index/" {
			t.Errorf("%s: index is %q", line, r.Index)
		}
		what := r.Kind + r.Operation
		if r.TokenGiven {
			what += " with token"
		}
		seen[what]++
	}
	for _, what := range []string{"getread", "getpublish", "getyank", "getunyank", "getowners", "login", "login with token", "logout"} {
		if seen[what] == 0 {
			t.Errorf("no request is %s", what)
		}
	}
}

// FuzzProviderRequest holds every line to an answer in one line of JSON, and every request that is
// accepted to what a JSON library of another making (by reflection) reads in it.
func FuzzProviderRequest(f *testing.F) {
	for _, line := range cargoRequests(f) {
		f.Add(line)
		f.Add(line[:len(line)/2])
		f.Add(append(line[:len(line):len(line)], "\r\n{\"v\":1}"...))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var out bytes.Buffer
		handler := &recorder{}
		if err := cargo.ServeProvider(t.Context(), bytes.NewReader(input), &out, handler); err != nil {
			t.Fatal(err)
		}
		answers := strings.SplitAfter(strings.TrimPrefix(out.String(), hello), "\n")
		lines := bytes.SplitAfter(input, []byte("\n"))
		if len(lines[len(lines)-1]) == 0 {
			lines = lines[:len(lines)-1] // nothing follows the last line break
		}
		if len(answers)-1 != len(lines) {
			t.Fatalf("%d lines have the answers %q", len(lines), answers)
		}
		for _, answer := range answers[:len(answers)-1] {
			var parsed struct{ Ok, Err *map[string]any }
			if err := json.Unmarshal([]byte(answer), &parsed, json.RejectUnknownMembers(true)); err != nil || (parsed.Ok == nil) == (parsed.Err == nil) {
				t.Fatalf("the answer %q: %v", answer, err)
			}
		}
		for _, line := range lines {
			r, err := cargo.ParseProviderRequest(line)
			if err == nil {
				compare(t, line, r)
			}
		}
	})
}

func compare(t *testing.T, line []byte, r cargo.ProviderRequest) {
	t.Helper()
	var other struct {
		Registry struct {
			Index string `json:"index-url"`
		} `json:"registry"`
		Kind      string `json:"kind"`
		Operation string `json:"operation"`
		Name      string `json:"name"`
		Version   string `json:"vers"`
		Checksum  string `json:"cksum"`
	}
	if err := json.Unmarshal(line, &other); err != nil {
		t.Fatalf("accepted what another reader refuses: %v", err)
	}
	same := r.Index == other.Registry.Index && r.Kind == other.Kind &&
		(r.Crate == "" || r.Crate == other.Name) && (r.Version == "" || r.Version == other.Version) &&
		(r.Checksum == "" || r.Checksum == other.Checksum) && (r.Operation == "" || r.Operation == other.Operation)
	if !same {
		t.Fatalf("%s is read as %+v", line, r)
	}
}
