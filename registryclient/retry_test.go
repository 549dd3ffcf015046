// When a request is sent again, after how long, and which answers are decisions. The answers are
// scripted, as the real registry is neither overloaded nor broken when a test needs it.

package registryclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

func someKey(t testing.TB) keys.ID {
	t.Helper()
	k, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public().ID()
}

func TestRetries(t *testing.T) {
	const second = time.Second
	date := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		status int
		after  string // Retry-After
		waits  []time.Duration
		says   time.Duration
	}{
		{429, "", []time.Duration{second, second}, second},
		{502, "", []time.Duration{second, second}, second},
		{503, "", []time.Duration{second, second}, second},
		{504, "", []time.Duration{second, second}, second},
		{429, "3", []time.Duration{3 * second, 3 * second}, 3 * second},
		{503, "0", []time.Duration{0, 0}, 0},
		{503, "10", []time.Duration{10 * second, 10 * second}, 10 * second},
		{503, "11", nil, 11 * second},
		{429, "86400", nil, 24 * time.Hour},
		{429, "999999999", nil, 24 * time.Hour},
		{429, strings.Repeat("9", 40), nil, 24 * time.Hour},
		{429, "-1", []time.Duration{second, second}, second},
		{429, "soon", []time.Duration{second, second}, second},
		{503, date.Add(7 * second).Format(http.TimeFormat), []time.Duration{7 * second, 7 * second}, 7 * second},
		{503, date.Add(-time.Hour).Format(http.TimeFormat), []time.Duration{0, 0}, 0},
		{503, date.AddDate(5, 0, 0).Format(http.TimeFormat), nil, 24 * time.Hour},
		{500, "", nil, second}, {501, "", nil, second}, {505, "", nil, second}, {401, "", nil, second}, {402, "", nil, second},
		{403, "", nil, second}, {404, "", nil, second}, {405, "", nil, second}, {408, "", nil, second}, {418, "", nil, second}, {599, "", nil, second},
	} {
		t.Run(fmt.Sprintf("%d after %.40q", test.status, test.after), func(t *testing.T) {
			l, client, waited := newLiar(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", date.Format(http.TimeFormat))
				if test.after != "" {
					w.Header().Set("Retry-After", test.after)
				}
				w.WriteHeader(test.status)
			})
			err := submit(t, client)
			undecided(t, err)
			status, ok := errors.AsType[*StatusError](err)
			if !ok || status.Status != test.status || status.RetryAfter != test.says {
				t.Errorf("%v, want a StatusError that says to wait %v", err, test.says)
			}
			if !slices.Equal(*waited, test.waits) || int(l.posts.Load()) != len(test.waits)+1 {
				t.Errorf("waited %v and sent %d times, want %v", *waited, l.posts.Load(), test.waits)
			}
			if strings.Contains(err.Error(), "asks to wait") != (test.says > maxWait) {
				t.Errorf("%v, and the wait is %v", err, test.says)
			}
		})
	}
}

// Whoever stops waiting for the next try learns what the last one came to.
func TestWaitIsGivenUp(t *testing.T) {
	_, client, _ := newLiar(t, say(503, ""))
	ctx, cancel := context.WithCancel(t.Context())
	client.wait = func(ctx context.Context, _ time.Duration) error {
		cancel()
		return sleep(ctx, time.Hour)
	}
	_, err := client.Challenge(ctx)
	undecided(t, err)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v, want the end of the context and the status", err)
	}
}

// A registry that wants a token again and again gets one once, and no endless conversation.
func TestTokenIsOfferedOnce(t *testing.T) {
	l, client, waited := newLiar(t, say(401, `{"errors":[{"code":"token-missing","detail":"sign in"}]}`))
	made := 0
	client.options.Token = func(context.Context) (string, error) { made++; return "token", nil }
	_, _, err := client.Latest(t.Context(), "team")
	undecided(t, err)
	if made != 1 || l.asked.Load() != 2 || !slices.Equal(*waited, []time.Duration{0}) || answered(err) != 401 {
		t.Errorf("%v after %d tokens, %d requests", err, made, l.asked.Load())
	}
	if err := submit(t, client); made != 1 || l.posts.Load() != 1 {
		t.Errorf("a document went with a token (%v)", err)
	}
}

// Only an answer that names a code, with a status by which the very request was judged, is a decision.
func TestWhatIsARefusal(t *testing.T) {
	const body = `{"errors":[{"code":"keyset-unmanaged","detail":"no"}]}`
	decided := []int{400, 403, 404, 409, 410, 413, 422}
	for status := 300; status < 600; status++ {
		if status == 304 {
			continue // has no body
		}
		t.Run(strconv.Itoa(status), func(t *testing.T) { // whose server ends with it: so many at a time want a thousand open files
			_, client, _ := newLiar(t, say(status, body))
			err := submit(t, client)
			refused, ok := errors.AsType[*Error](err)
			if ok != slices.Contains(decided, status) {
				t.Error(err)
			}
			if ok && (refused.RefusalCode() != "keyset-unmanaged" || refused.Detail != "no" || refused.Status != status) {
				t.Errorf("%+v", refused)
			}
		})
	}
	for name, body := range map[string]string{
		"nothing": "", "a page": "<html>Forbidden", "no errors": `{"errors":[]}`, "null": `{"errors":null}`, "other": `{"message":"no"}`,
		"no code": `{"errors":[{"detail":"no"}]}`, "an empty code": `{"errors":[{"code":"","detail":"no"}]}`, "a number": `{"errors":[{"code":7}]}`,
		"a sentence": `{"errors":[{"code":"not a code"}]}`, "control characters": `{"errors":[{"code":"\u001b[31m"}]}`,
		"a long code": `{"errors":[{"code":"` + strings.Repeat("x", 65) + `"}]}`, "a code twice": `{"errors":[{"code":"a","code":"b"}]}`,
		"invalid UTF-8": "{\"errors\":[{\"code\":\"a\",\"detail\":\"\xff\"}]}", "a note that is none": `{"errors":[{"code":"a"}],"note":7}`,
		"nothing there": `{"errors":[{"code":"not-found","detail":"this registry has nothing at this address"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, client, _ := newLiar(t, say(403, body))
			err := submit(t, client)
			if undecided(t, err); answered(err) != 403 {
				t.Errorf("%v, want the status", err)
			}
		})
	}
}

func TestWhatARefusalShows(t *testing.T) {
	for detail, want := range map[string]string{
		`no`:                            "the registry refused: no (some-code)",
		``:                              "the registry refused: some-code",
		`a\u001b[2J\u0007\r\nb\u009b\t`: "the registry refused: a [2J   b   (some-code)",
		`a\u202eb\u200b\ufeff`:          "the registry refused: a b   (some-code)",
		`größer, 鍵`:                     "the registry refused: größer, 鍵 (some-code)",
		strings.Repeat("x", 1999) + "ä": "the registry refused: " + strings.Repeat("x", 1999) + "… (some-code)",
		strings.Repeat("鍵", 100_000):    "the registry refused: " + strings.Repeat("鍵", 666) + "… (some-code)",
	} {
		_, client, _ := newLiar(t, say(403, `{"errors":[{"code":"some-code","detail":"`+detail+`"},{"code":"second"}],"note":"n"}`))
		err := submit(t, client)
		if err == nil || err.Error() != want {
			t.Errorf("%.60s…: %v\nwant %s", detail, err, want)
			continue
		}
		shows(t, err)
	}
	long := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		_, _ = io.WriteString(w, `{"errors":[{"detail":"`+strings.Repeat(`\u001b`, 50_000)+`"}]}`)
	}
	_, client, _ := newLiar(t, long)
	undecided(t, submit(t, client))
}
