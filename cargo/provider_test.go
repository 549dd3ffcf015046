// Requests of every kind, good and bad, and the literal bytes that answer them.

package cargo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cargo-regkey/regkey/cargo"
)

const (
	hello   = `{"v":[1]}` + "\n"
	index   = "sparse+https://crates.example.com/index/"
	checked = `"cksum":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`
	secret  = "cio-never-to-be-echoed"
)

// recorder answers every request and keeps what it was given.
type recorder struct {
	seen []cargo.ProviderRequest
	err  error
}

func (h *recorder) Get(_ context.Context, r cargo.ProviderRequest) (cargo.ProviderToken, error) {
	h.seen = append(h.seen, r)
	// A handler that forgets itself for mutations: the protocol side must still forbid a second use.
	return cargo.ProviderToken{Text: "v4.public.x", Expires: time.Unix(1693942857, 999)}, h.err
}

func (h *recorder) Login(_ context.Context, r cargo.ProviderRequest) error {
	h.seen = append(h.seen, r)
	return h.err
}

func (h *recorder) Logout(_ context.Context, r cargo.ProviderRequest) error {
	h.seen = append(h.seen, r)
	return h.err
}

// serve runs one conversation and returns what came after the hello.
func serve(t *testing.T, input string, handler cargo.ProviderHandler) string {
	t.Helper()
	var out bytes.Buffer
	if err := cargo.ServeProvider(t.Context(), strings.NewReader(input), &out, handler); err != nil {
		t.Fatalf("serving: %v", err)
	}
	answers, found := strings.CutPrefix(out.String(), hello)
	if !found {
		t.Fatalf("the conversation begins %q instead of with the hello", out.String())
	}
	return answers
}

func TestProviderAnswers(t *testing.T) {
	const (
		registry = `"registry":{"index-url":"` + index + `","name":"lab"}`
		never    = `{"Ok":{"kind":"get","token":"v4.public.x","cache":"never","operation_independent":false}}` + "\n"
		expires  = `{"Ok":{"kind":"get","token":"v4.public.x","cache":"expires","expiration":1693942857,"operation_independent":false}}` + "\n"
		unknown  = `{"Err":{"kind":"operation-not-supported"}}` + "\n"
	)
	want := func(kind, operation, crate, version, checksum string) *cargo.ProviderRequest {
		return &cargo.ProviderRequest{Kind: kind, Index: index, Operation: operation, Crate: crate, Version: version, Checksum: checksum}
	}
	const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	tests := []struct {
		name, line, answer string
		request            *cargo.ProviderRequest // nil: the handler is not asked
	}{
		{"read", `{"v":1,` + registry + `,"kind":"get","operation":"read"}`, expires, want("get", "read", "", "", "")},
		{"read with all that cargo may add", `{"v":1,"registry":{"index-url":"` + index + `","name":"lab","headers":["WWW-Authenticate: Cargo login_url=\"x\""]},"kind":"get","operation":"read","args":["--key","other"]}`, expires, want("get", "read", "", "", "")},
		{"publish", `{"v":1,` + registry + `,"kind":"get","operation":"publish","name":"foo","vers":"1.2.3",` + checked + `}`, never, want("get", "publish", "foo", "1.2.3", sum)},
		{"yank", `{"v":1,` + registry + `,"kind":"get","operation":"yank","name":"foo","vers":"1.2.3"}`, never, want("get", "yank", "foo", "1.2.3", "")},
		{"unyank", `{"v":1,` + registry + `,"kind":"get","operation":"unyank","name":"foo","vers":"1.2.3"}`, never, want("get", "unyank", "foo", "1.2.3", "")},
		{"owners", `{"v":1,` + registry + `,"kind":"get","operation":"owners","name":"foo"}`, never, want("get", "owners", "foo", "", "")},
		{"unknown operation", `{"v":1,` + registry + `,"kind":"get","operation":"rename"}`, unknown, nil},
		{"unknown kind", `{"v":1,` + registry + `,"kind":"whoami"}`, unknown, nil},
		{"login", `{"v":1,` + registry + `,"kind":"login","login-url":"https://x/me"}`, `{"Ok":{"kind":"login"}}` + "\n", want("login", "", "", "", "")},
		{"login with token", `{"v":1,` + registry + `,"kind":"login","token":"` + secret + `"}`, `{"Ok":{"kind":"login"}}` + "\n",
			&cargo.ProviderRequest{Kind: "login", Index: index, TokenGiven: true}},
		{"logout", `{"v":1,` + registry + `,"kind":"logout"}`, `{"Ok":{"kind":"logout"}}` + "\n", want("logout", "", "", "", "")},
		{"unknown fields", `{"later":{"a":[1,{}]},"v":1,"registry":{"index-url":"` + index + `","later":null},"kind":"get","operation":"read","later2":true}`, expires, want("get", "read", "", "", "")},
		{"fields of another operation", `{"v":1,` + registry + `,"kind":"get","operation":"yank","name":"foo","vers":"1.2.3","token":"x",` + checked + `}`, never, want("get", "yank", "foo", "1.2.3", "")},
		{"CRLF", `{"v":1,` + registry + `,"kind":"get","operation":"read"}` + "\r", expires, want("get", "read", "", "", "")},
		{"escapes", `{"v":1,"registry":{"index-url":"sparse+https:\/\/crates.example.com\u002findex/"},"kind":"get","operation":"read"}`, expires, want("get", "read", "", "", "")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			handler := &recorder{}
			if answer := serve(t, test.line+"\n", handler); answer != test.answer {
				t.Errorf("answer is\n%s instead of\n%s", answer, test.answer)
			}
			switch {
			case test.request == nil && len(handler.seen) != 0:
				t.Errorf("the handler was asked %+v", handler.seen)
			case test.request != nil && (len(handler.seen) != 1 || handler.seen[0] != *test.request):
				t.Errorf("the handler was asked %+v instead of %+v", handler.seen, *test.request)
			}
		})
	}
}

func TestProviderRefusesBadRequests(t *testing.T) {
	const good = `{"v":1,"registry":{"index-url":"` + index + `"},"kind":"get","operation":"publish","name":"foo","vers":"1.2.3",` + checked + `}`
	change := func(old, new string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("nothing to change: %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	tests := []struct{ name, line, cause string }{
		{"empty line", "", "the request is an empty line"},
		{"blank line", " \t\r", "the request is an empty line"},
		{"truncated", good[:len(good)-1], "the request ends in the middle"},
		{"truncated in a string", good[:35], "the request ends in the middle"},
		{"no JSON", "hello", "the request is not valid JSON at byte 0"},
		{"array", "[" + good + "]", "the request is not a JSON object"},
		{"null", "null", "the request is not a JSON object"},
		{"two on one line", good + good, "the request goes on after its JSON object"},
		{"byte order mark", "\ufeff" + good, "the request is not valid JSON at byte 0"},
		{"duplicate name", change(`"name":"foo"`, `"name":"foo","name":"bar"`), "the request has a name twice in one object, before byte "},
		{"duplicate name, escaped", change(`"name":"foo"`, `"name":"foo","n\u0061me":"bar"`), "the request has a name twice in one object, before byte "},
		{"duplicate name inside registry", change(`{"index-url"`, `{"index-url":"x","index-url"`), "the request has a name twice in one object, before byte "},
		{"duplicate name inside an unknown field", change(`"v":1`, `"v":1,"later":{"a":1,"a":2}`), "the request has a name twice in one object, before byte "},
		{"invalid UTF-8", change("foo", "f\xffo"), "the request is not valid JSON at byte "},
		{"invalid UTF-8 in an unknown field", change(`"v":1`, "\"v\":1,\"later\":\"\xc3\""), "the request is not valid JSON at byte "},
		{"half a surrogate pair", change("foo", `f\ud800o`), "the request is not valid JSON at byte "},
		{"raw control character", change("foo", "f\x1bo"), "the request is not valid JSON at byte "},
		{"no version", change(`"v":1,`, ``), `the request has no "v", or an empty one`},
		{"version 2", change(`"v":1`, `"v":2`), `"v" is not 1, the version that this provider offered`},
		{"version as text", change(`"v":1`, `"v":"1"`), `"v" is not 1, the version that this provider offered`},
		{"version in upper case", change(`"v":1`, `"V":1`), `the request has no "v", or an empty one`},
		{"registry as text", change(`{"index-url":"`+index+`"}`, `"x"`), `"registry" is not a JSON object`},
		{"no registry", change(`"registry":{"index-url":"`+index+`"},`, ``), `the request has no "index-url", or an empty one`},
		{"no index", change(`"index-url":"`+index+`"`, ``), `the request has no "index-url", or an empty one`},
		{"index as number", change(`"`+index+`"`, `1`), `"index-url" is not a string`},
		{"index null", change(`"`+index+`"`, `null`), `"index-url" is not a string`},
		{"long index", change(index, strings.Repeat("x", 5000)), `"index-url" is longer than 4096 bytes`},
		{"registry name as number", change(`{"index-url"`, `{"name":1,"index-url"`), `"name" has another type than the protocol says`},
		{"headers as text", change(`{"index-url"`, `{"headers":"x","index-url"`), `"headers" is not an array`},
		{"headers of numbers", change(`{"index-url"`, `{"headers":["x",1],"index-url"`), `"headers" has another type than the protocol says`},
		{"args as object", change(`"v":1`, `"v":1,"args":{}`), `"args" is not an array`},
		{"token as object", change(`"v":1`, `"v":1,"token":{"a":"`+secret+`"}`), `"token" has another type than the protocol says`},
		{"broken inside the token", change(`"v":1`, `"v":1,"token":"`+secret+`\z"`), "the request is not valid JSON at byte "},
		{"no kind", change(`"kind":"get",`, ``), `the request has no "kind", or an empty one`},
		{"kind as array", change(`"kind":"get"`, `"kind":["get"]`), `"kind" is not a string`},
		{"no operation", change(`"operation":"publish",`, ``), `the request has no "operation", or an empty one`},
		{"no name", change(`"name":"foo",`, ``), `the request has no "name", or an empty one`},
		{"empty version", change(`"1.2.3"`, `""`), `the request has no "vers", or an empty one`},
		{"no checksum", change(`,`+checked, ``), `the request has no "cksum", or an empty one`},
		{"deep nesting", change(`"v":1`, `"v":1,"later":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)), "the request is not valid JSON at byte "},
		{"oversized", change(`"v":1`, `"v":1,"later":"`+strings.Repeat("x", 64<<10)+`"`), "the request is longer than 65536 bytes"},
		{"much oversized", change(`"v":1`, `"v":1,"later":"`+strings.Repeat("x", 1<<20)+`"`), "the request is longer than 65536 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// A good request follows, to show that the conversation goes on.
			handler := &recorder{}
			answers := strings.SplitAfter(serve(t, test.line+"\n"+good+"\n", handler), "\n")
			const frame = `{"Err":{"kind":"other","message":"regkey could not read cargo's request; this cargo may need a newer regkey","caused-by":["`
			if len(answers) != 3 || answers[2] != "" {
				t.Fatalf("answers are %q instead of two", answers)
			}
			quoted := strings.ReplaceAll(test.cause, `"`, `\"`)
			if !strings.HasPrefix(answers[0], frame+quoted) || !strings.HasSuffix(answers[0], "\"]}}\n") {
				t.Errorf("answer is %s instead of %s", answers[0], frame+quoted)
			}
			if strings.Contains(answers[0], secret) {
				t.Errorf("the answer repeats the token: %s", answers[0])
			}
			if !strings.HasPrefix(answers[1], `{"Ok":`) || len(handler.seen) != 1 {
				t.Errorf("the next answer is %s", answers[1])
			}
		})
	}
}

// Every beginning of a request is refused, whatever place it breaks at.
func TestProviderRefusesEveryTruncation(t *testing.T) {
	const good = `{"v":1,"registry":{"index-url":"` + index + `","headers":["a"]},"kind":"get","operation":"read","args":["x"],"later":{"a":[1]}}`
	if _, err := cargo.ParseProviderRequest([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for i := range len(good) {
		if _, err := cargo.ParseProviderRequest([]byte(good[:i])); err == nil {
			t.Errorf("accepted %s", good[:i])
		}
	}
}

func TestProviderFailures(t *testing.T) {
	tests := []struct {
		err    error
		answer string
	}{
		{cargo.ErrURLNotSupported, `{"Err":{"kind":"url-not-supported"}}`},
		{fmt.Errorf("looking: %w", cargo.ErrNotFound), `{"Err":{"kind":"not-found"}}`},
		{cargo.ErrOperationNotSupported, `{"Err":{"kind":"operation-not-supported"}}`},
		{errors.New("no luck"), `{"Err":{"kind":"other","message":"no luck","caused-by":[]}}`},
		{&cargo.ProviderError{Message: "a & <b>", CausedBy: []string{"c", "d"}}, `{"Err":{"kind":"other","message":"a & <b>","caused-by":["c","d"]}}`},
		{&cargo.ProviderError{Message: "up\x1b[1A\u202e\xff", CausedBy: []string{"\r\n"}}, `{"Err":{"kind":"other","message":"up\\x1b[1A\\u202e\\xff","caused-by":["\\r\\n"]}}`},
	}
	for _, test := range tests {
		for _, request := range []string{`"kind":"get","operation":"read"`, `"kind":"login"`, `"kind":"logout"`} {
			line := `{"v":1,"registry":{"index-url":"` + index + `"},` + request + "}\n"
			if answer := serve(t, line, &recorder{err: test.err}); answer != test.answer+"\n" {
				t.Errorf("%s: answer is %s instead of %s", request, answer, test.answer)
			}
		}
	}
}

func TestProviderConversation(t *testing.T) {
	const read = `{"v":1,"registry":{"index-url":"` + index + `"},"kind":"get","operation":"read"}`
	if answers := serve(t, "", &recorder{}); answers != "" {
		t.Errorf("end of input is answered with %q", answers)
	}
	if answers := serve(t, read+"\n"+read+"\n", &recorder{}); strings.Count(answers, `{"Ok"`) != 2 {
		t.Errorf("two requests are answered with %q", answers)
	}
	if answers := serve(t, read, &recorder{}); !strings.HasPrefix(answers, `{"Ok"`) {
		t.Errorf("a last line without line break is answered with %q", answers)
	}
	if answers := serve(t, strings.Repeat("x", 200000), &recorder{}); strings.Count(answers, "\n") != 1 || !strings.Contains(answers, "longer than") {
		t.Errorf("an endless line is answered with %q", answers)
	}

	broken := errors.New("broken pipe")
	var out bytes.Buffer
	err := cargo.ServeProvider(t.Context(), io.MultiReader(strings.NewReader(read+"\n"+read), iotest.ErrReader(broken)), &out, &recorder{})
	if !errors.Is(err, broken) || strings.Count(out.String(), `{"Ok"`) != 1 {
		t.Errorf("a failing input gives %v and %q", err, out.String())
	}
	if err := cargo.ServeProvider(t.Context(), strings.NewReader(read), failingWriter{broken}, &recorder{}); !errors.Is(err, broken) {
		t.Errorf("a failing output gives %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// The longest request that is read, and the first that is not.
func TestProviderRequestLimit(t *testing.T) {
	const head, tail = `{"v":1,"registry":{"index-url":"` + index + `"},"kind":"logout","later":"`, "\"}\n"
	for _, test := range []struct {
		length int
		answer string
	}{{64 << 10, `{"Ok"`}, {64<<10 + 1, `{"Err"`}} {
		line := head + strings.Repeat("x", test.length-len(head)-len(tail)) + tail
		if answer := serve(t, line, &recorder{}); !strings.HasPrefix(answer, test.answer) {
			t.Errorf("%d bytes are answered with %s", len(line), answer)
		}
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "",
		"plain & <text>":           "plain & <text>",
		"grün 版":                   "grün 版",
		"a\nb\tc":                  `a\nb\tc`,
		"\x1b]0;title\x07":         `\x1b]0;title\a`,
		"\u202egpj":                `\u202egpj`,
		"zero\u200bwidth":          `zero\u200bwidth`,
		"\xff\xfe":                 `\xff\xfe`,
		"replacement \ufffd stays": "replacement \ufffd stays",
		"\u0085\u2028":             `\u0085\u2028`,
	} {
		if got := cargo.Printable(text); got != want {
			t.Errorf("Printable(%q) is %q instead of %q", text, got, want)
		}
	}
}
