// A regkey for the tests: their own program, which signs with a key file as a token would.

package main_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

// The environment by which the test's own program becomes a regkey that signs with a key file, as a
// token would.
const (
	envFakeKey  = "FAKE_REGKEY_KEY"
	envFakeLies = "FAKE_REGKEY_LIES" // what is wrong with the token
	envFakeLog  = "FAKE_REGKEY_LOG"  // a file for what it was asked
)

// fakeRegkey is regkey token. Nobody but these tests can have set the environment that leads here.
func fakeRegkey() int {
	asked, _ := io.ReadAll(os.Stdin)
	_ = os.WriteFile(os.Getenv(envFakeLog), fmt.Appendf(nil, "%q\n%s", os.Args[1:], asked), 0o600)
	fmt.Fprintln(os.Stderr, "touch your YubiKey")
	key, err := keys.OpenKeyFile(context.Background(), os.Getenv(envFakeKey), nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	request := token.Request{Index: index, Subject: "user-7"}
	word := func(name string) string {
		_, rest, _ := strings.Cut(string(asked), `"`+name+`":"`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	request.Operation, request.Name, request.Version = token.Operation(word("operation")), word("name"), word("vers")
	request.Checksum, request.Challenge = word("cksum"), word("challenge")
	now := time.Now()
	switch os.Getenv(envFakeLies) {
	case "registry":
		request.Index = "sparse+https://evil.example.com/index/"
	case "subject":
		request.Subject = ""
	case "crate":
		request.Name = "bar"
	case "version":
		request.Version = "1.2.4"
	case "content":
		request.Checksum = strings.Repeat("0", 64)
	case "operation":
		request.Operation, request.Checksum = token.Yank, ""
	case "challenge":
		request.Challenge = "c-0"
	case "past":
		now = now.Add(-time.Minute)
	case "future":
		now = now.Add(time.Minute)
	}
	text, err := token.Mint(context.Background(), key, request, now)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if os.Getenv(envFakeLies) == "two lines" {
		text += "\n" + text
	}
	if os.Getenv(envFakeLies) == "signature" {
		text = text[:30] + map[bool]string{true: "B", false: "A"}[text[30] == 'A'] + text[31:]
	}
	fmt.Println(text)
	return 0
}
