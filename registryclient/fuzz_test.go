// Fuzzing what a registry says before anything of it is verified: discovery and errors.

package registryclient

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// seeds are the files of a folder of testdata whose names begin with prefix; none is a fault of the test.
func seeds(t testing.TB, folder, prefix string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, prefix+"*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no seeds %s/%s*.json: %v", folder, prefix, err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = text
	}
	return all
}

// The seeds are what their names say, so that fuzzing begins on both sides.
func TestSeeds(t *testing.T) {
	for file, text := range seeds(t, "discovery", "") {
		err := New(https, Options{}).check(text, &Discovery{})
		if good := strings.HasPrefix(filepath.Base(file), "good-"); good != (err == nil) {
			t.Errorf("%s: %v", file, err)
		}
	}
	for file, text := range seeds(t, "answers", "") {
		_, refused := errors.AsType[*Error](answerError(https, &http.Response{StatusCode: 403}, text))
		if strings.HasPrefix(filepath.Base(file), "refusal-") != refused {
			t.Errorf("%s: a refusal is %v", file, refused)
		}
	}
}

// Whatever a registry's document says: it is refused in words that can be shown, or leads to https,
// elsewhere than this machine.
func FuzzDiscovery(f *testing.F) {
	for _, prefix := range []string{"good-", "bad-"} {
		for _, text := range seeds(f, "discovery", prefix) {
			f.Add(text)
			f.Add(text[:len(text)/2])
		}
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		var d Discovery
		if err := New(https, Options{}).check(document, &d); err != nil {
			shows(t, err)
			if wrong, ok := errors.AsType[*IndexError](err); ok && strings.ContainsAny(wrong.Said, " $`;&|<>()'\"\\\n*?!#") {
				t.Errorf("the user is shown %q, as one to type", wrong.Said)
			}
			return
		}
		api, err := url.Parse(d.API + "/challenge")
		if err != nil || d.Version != 1 || d.Index != https || d.MaxAge < 0 || time.Duration(d.MaxAge)*time.Second < 0 {
			t.Fatalf("%+v was taken (%v)", d, err)
		}
		if api.Scheme != "https" || api.User != nil || api.RawQuery != "" || api.Fragment != "" || loopback(api.Hostname()) ||
			!strings.HasSuffix(api.Path, "/challenge") || !strings.HasPrefix(d.API, "https://"+api.Host) {
			t.Fatalf("the API %q was taken", d.API)
		}
	})
}

// Whatever an answer says: it becomes an error that can be shown, and a refusal only with a code and a status that decides.
func FuzzAnswerError(f *testing.F) {
	for _, prefix := range []string{"refusal-", "undecided-"} {
		for _, text := range seeds(f, "answers", prefix) {
			f.Add(text, 403, "")
			f.Add(text, 503, "120")
			f.Add(text, 401, "Fri, 31 Dec 9999 23:59:59 GMT")
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, status int, after string) {
		response := &http.Response{StatusCode: status, Header: http.Header{
			"Retry-After": {after}, "Date": {"Sun, 22 Nov 2026 12:00:00 GMT"},
		}}
		err := answerError("https://crates.example.com/api", response, body)
		shows(t, err)
		if refused, ok := errors.AsType[*Error](err); ok {
			if !refusals[status] || !codeForm.MatchString(refused.RefusalCode()) || refused.Status != status {
				t.Fatalf("%d %q became %+v", status, body, refused)
			}
			return
		}
		undecided, ok := errors.AsType[*StatusError](err)
		if !ok || undecided.Status != status || undecided.RetryAfter < 0 || undecided.RetryAfter > maxRetryAfter {
			t.Fatalf("%d %q became %#v", status, body, err)
		}
	})
}
