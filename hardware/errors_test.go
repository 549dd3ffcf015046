// The sentences of errors: what a person reads, and what they wrap.

package hardware

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

func TestSentences(t *testing.T) {
	software, err := keys.NewEd25519Key(keys.NewSecret(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	key := software.Public()
	id := key.ID().String()
	for _, c := range []struct {
		err  error
		want string
	}{
		{&NotFoundError{}, "no PIV token is plugged in"},
		{&NotFoundError{Serial: 7}, "token 7 is not plugged in"},
		{&NotFoundError{Serial: 7, Present: []uint32{8, 9}}, "token 7 is not plugged in (there is 8, 9)"},
		{&AmbiguousError{[]uint32{8, 9}}, "2 tokens are plugged in (8, 9): say which"},
		{&BusyError{Reader: "r"}, `the token in reader "r" is in use by another program`},
		{&BusyError{"r", []string{"scdaemon (process 1)"}}, `the token in reader "r" is in use by another program: likely scdaemon (process 1)`},
		{&RemovedError{7, codeRemoved}, "token 7 was pulled out"},
		{&ServiceError{codeNoService}, "reaching the smart card service: it is not running (PC/SC error 8010001d)"},
		{&ServiceError{codeDenied}, "reaching the smart card service: access is denied (PC/SC error 8010006a)"},
		{&PINError{2}, "wrong PIN: 2 tries are left"},
		{&PINError{1}, "wrong PIN: 1 try is left"},
		{&PINError{0}, "the PIN is blocked"},
		{&PUKError{1}, "wrong PUK: 1 try is left"},
		{&PUKError{0}, "the PUK is blocked"},
		{&FewTriesError{false, 2}, "not sending the PIN: 2 tries are left"},
		{&FewTriesError{true, 1}, "not sending the PUK: 1 try is left"},
		{&FormatError{Length: 5}, "a PIN has 6 to 8 characters: 5 were given"},
		{&FormatError{PUK: true, Length: 9}, "a PUK has 6 to 8 characters: 9 were given"},
		{&FormatError{OTP: true, Length: 44}, "that is a one-time password, which the token types when it is touched, and not its PIN"},
		{&TouchTimeoutError{7}, "token 7 was not touched in time"},
		{&KeyChangedError{7, 0x9a, key, keys.PublicKey{}}, "slot 9a of token 7 doesn't hold the key " + id + " any more"},
		{&KeyChangedError{7, 0x9a, key, key}, "slot 9a of token 7 holds the key " + id + " instead of " + id},
		{&OccupiedError{SlotInfo{Slot: 0x9a, Algorithm: "rsa2048"}}, "slot 9a holds a key (rsa2048)"},
		{&FullError{7}, "all slots of token 7 are taken"},
		{&ManagementKeyError{}, "the token refused the management key"},
		{&ManagementKeyError{Default: true}, "the management key is not the factory's: it, or the PIN that protects it, is needed"},
		{&UnfinishedError{7, 0x82, keys.PublicKey{}, codeRemoved}, "slot 82 of token 7 may hold a new key now: PC/SC error 80100069"},
		{&UnfinishedError{7, 0x82, key, codeRemoved}, "slot 82 of token 7 holds the new key " + id + ": PC/SC error 80100069"},
		{explain(7, "doing so", statusUnknown), "doing so: the card answered 6d00"},
		{guard(func() error { panic("oh") }), "the card's answer makes no sense (oh)"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%T:\n got %s\nwant %s", c.err, got, c.want)
		}
	}
	if err := explain(7, "doing so", context.Canceled); err != context.Canceled {
		t.Errorf("%v", err)
	}
	unfinished := &UnfinishedError{Err: &RemovedError{7, codeRemoved}}
	if !errors.As(error(unfinished), new(*RemovedError)) || !errors.Is(unfinished, codeRemoved) {
		t.Error("an unfinished key doesn't tell why")
	}
	if remedy := (&ServiceError{codeDenied}).Remedy(); !strings.Contains(remedy, "polkit") {
		t.Error(remedy)
	}
}

// What piv-go and virtual cards can't be made to answer is handed to the parser of values directly.
func TestTLV(t *testing.T) {
	long := strings.Repeat("x", 300)
	run := appendTLV(appendTLV(appendTLV(nil, 1, []byte("a")), 2, []byte(long[:200])), 3, []byte(long))
	for tag, want := range map[byte]string{1: "a", 2: long[:200], 3: long, 4: ""} {
		if got := string(findTLV(run, tag)); got != want {
			t.Errorf("tag %d: %d bytes", tag, len(got))
		}
	}
	for n := range len(run) - 1 {
		if got := findTLV(run[:n], 3); got != nil {
			t.Errorf("found %d bytes in the first %d", len(got), n)
		}
	}
	for _, bad := range []string{"\x03", "\x03\x80", "\x03\x83\x00\x00\x01x", "\x03\x81", "\x03\x82\x00", "\x03\x02x"} {
		if got := findTLV([]byte(bad), 3); got != nil {
			t.Errorf("%q: %x", bad, got)
		}
	}
}
