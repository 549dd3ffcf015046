// Lines: what is accepted, what comes back from it, and what no line can do.

package agent_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cargo-regkey/regkey/internal/agent"
)

var goodRequests = []agent.Request{
	{V: 1, Kind: agent.AskToken, TokenRequest: agent.TokenRequest{Index: "sparse+https://crates.example.com/index/", Operation: "read"}},
	{V: 1, Kind: agent.AskToken, TokenRequest: agent.TokenRequest{
		Index: "sparse+https://crates.example.com/index/", Operation: "publish", Name: "grüße", Version: "1.0.0-<b>&",
		Checksum: strings.Repeat("ab", 32), Challenge: "c",
	}},
	{V: 1, Kind: agent.AskAdd, Key: "laptop", Secret: []byte("k4.secret.AAAA")},
	{V: 1, Kind: agent.AskAdd, Serial: 1, Secret: []byte{0, 0xff, '\n'}},
	{V: 1, Kind: agent.AskRelease}, {V: 1, Kind: agent.AskLock}, {V: 1, Kind: agent.AskStatus}, {V: 1, Kind: agent.AskStop},
}

var goodAnswers = []agent.Answer{
	{Kind: agent.SayTouch, Serial: 7}, {Kind: agent.SayTouch}, {Kind: agent.SayTouched}, {Kind: agent.SayWait},
	{Kind: agent.SayToken, Token: "v4.public.AAAA"},
	{Kind: agent.SayLocked, Key: "laptop"}, {Kind: agent.SayLocked, Serial: 7},
	{Kind: agent.SayRefused, Detail: "no key of this machine signs for it"},
	{Kind: agent.SayDone},
	{Kind: agent.SayStatus, Status: &agent.Status{
		PID: 7, Since: time.Unix(1, 0).UTC(), TTL: "15m0s", Max: "8h0m0s", Hardware: true,
		Keys:   []agent.HeldKey{{Name: "laptop", ID: "k4.pid.A", Idle: time.Unix(2, 0).UTC(), Until: time.Unix(3, 0).UTC()}},
		Tokens: []agent.HeldToken{{Serial: 7, Open: true}},
	}},
}

func TestRequestsComeBack(t *testing.T) {
	for _, r := range goodRequests {
		line, err := r.Line()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Errorf("%q is not one line", line)
		}
		got, err := agent.ParseRequest(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff(&r, got); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
}

func TestAnswersComeBack(t *testing.T) {
	for _, a := range goodAnswers {
		line, err := a.Line()
		if err != nil {
			t.Fatal(err)
		}
		got, err := agent.ParseAnswer(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff(&a, got); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
}

func TestBadRequests(t *testing.T) {
	const secret = "c2VjcmV0LW9mLW1pbmU="
	for _, line := range []string{
		"", "\n", "{}", "null", "[]", `"token"`, "{", `{"v":1}`, `{"request":"lock"}`,
		`{"v":2,"request":"lock"}`, `{"v":"1","request":"lock"}`, `{"v":1,"request":"Lock"}`, `{"v":1,"request":"sign"}`,
		`{"v":1,"request":"lock","request":"lock"}`, `{"v":1,"Request":"lock"}`, `{"v":1,"request":"lock","more":1}`,
		`{"v":1,"request":"lock"}{}`, `{"v":1,"request":"lock","key":"a"}`, `{"v":1,"request":"stop","secret":"` + secret + `"}`,
		`{"v":1,"request":"status","index":"x"}`,
		`{"v":1,"request":"token"}`, `{"v":1,"request":"token","index":"x"}`, `{"v":1,"request":"token","operation":"read"}`,
		`{"v":1,"request":"token","index":"x","operation":"read","secret":"` + secret + `"}`,
		`{"v":1,"request":"token","index":"x","operation":"read","key":"a"}`,
		`{"v":1,"request":"token","index":"x","operation":"read","name":"a\u001b[2J"}`,
		`{"v":1,"request":"token","index":"x","operation":"read","name":"a\nb"}`,
		`{"v":1,"request":"token","index":"x","operation":"read","name":"a\u009bb"}`,
		"{\"v\":1,\"request\":\"token\",\"index\":\"\xff\",\"operation\":\"read\"}",
		`{"v":1,"request":"token","index":"` + strings.Repeat("x", 5000) + `","operation":"read"}`,
		`{"v":1,"request":"add","secret":"` + secret + `"}`, `{"v":1,"request":"add","key":"a"}`, `{"v":1,"request":"add","key":"a","secret":""}`,
		`{"v":1,"request":"add","key":"a","serial":1,"secret":"` + secret + `"}`,
		`{"v":1,"request":"add","key":"a","secret":"` + secret + `","index":"x"}`,
		`{"v":1,"request":"add","key":"a","secret":"` + secret + `x"}`,
		`{"v":1,"request":"add","serial":-1,"secret":"` + secret + `"}`, `{"v":1,"request":"add","serial":4294967296,"secret":"` + secret + `"}`,
		`{"v":1,"request":"lock","pad":"` + strings.Repeat(" ", agent.MaxLine) + `"}`,
	} {
		r, err := agent.ParseRequest([]byte(line))
		if err == nil {
			t.Errorf("%.200s is accepted as %+v", line, r)
			continue
		}
		if strings.Contains(err.Error(), secret[:8]) || strings.Contains(err.Error(), "secret-of-mine") {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}

func TestBadAnswers(t *testing.T) {
	for _, line := range []string{
		"", "{}", "null", `{"answer":"yes"}`, `{"answer":"done","token":"x"}`, `{"answer":"token"}`, `{"answer":"token","token":"a\nb"}`,
		`{"answer":"locked"}`, `{"answer":"locked","key":"a","serial":1}`, `{"answer":"refused"}`, `{"answer":"refused","detail":"\u001b[2J"}`,
		`{"answer":"status"}`, `{"answer":"touch","key":"a"}`, `{"answer":"done","answer":"done"}`, `{"answer":"done","more":1}`,
	} {
		if a, err := agent.ParseAnswer([]byte(line)); err == nil {
			t.Errorf("%s is accepted as %+v", line, a)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, r := range goodRequests {
		line, err := r.Line()
		if err != nil {
			f.Fatal(err)
		}
		if _, err := agent.ParseRequest(line); err != nil {
			f.Fatalf("the seed %s is not good: %v", line, err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := agent.ParseRequest(text)
		if err != nil {
			return
		}
		line, err := r.Line()
		if err != nil {
			t.Fatalf("%+v can't be written again: %v", r, err)
		}
		again, err := agent.ParseRequest(line)
		if err != nil || !cmp.Equal(r, again) {
			t.Errorf("%+v became %+v (%v)", r, again, err)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	for _, a := range goodAnswers {
		line, err := a.Line()
		if err != nil {
			f.Fatal(err)
		}
		if _, err := agent.ParseAnswer(line); err != nil {
			f.Fatalf("the seed %s is not good: %v", line, err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := agent.ParseAnswer(text)
		if err != nil {
			return
		}
		line, err := a.Line()
		if err != nil {
			t.Fatalf("%+v can't be written again: %v", a, err)
		}
		again, err := agent.ParseAnswer(line)
		if err != nil || !cmp.Equal(a, again) {
			t.Errorf("%+v became %+v (%v)", a, again, err)
		}
	})
}
