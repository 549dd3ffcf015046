//go:build cgo && linux

// Each fault that a token can have: a clear error, nothing half done, the PIN's counter where it should be.

package hardware

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
)

// keyed plugs in a token with a key in 9a, and opens it.
func keyed(t testing.TB, firmware [3]byte, pin PINPolicy, touch TouchPolicy) (*virtualpiv.Card, string, *Token, Key) {
	t.Helper()
	card, reader := insert(t, virtualpiv.Options{Firmware: firmware})
	maker, err := Open(t.Context(), testSerial)
	if err != nil {
		t.Fatal(err)
	}
	key, err := maker.Generate(t.Context(), GenerateOptions{PIN: pin, Touch: touch})
	if err != nil || maker.Close() != nil {
		t.Fatalf("generating: %v", err)
	}
	return card, reader, open(t, testSerial), key
}

// quiet makes the clock of a token's touches stand still.
func quiet(token *Token) *Token {
	token.after = never
	return token
}

func TestFaultySignatures(t *testing.T) {
	for _, firmware := range [][3]byte{v435, v574} {
		for _, kind := range []virtualpiv.FaultKind{virtualpiv.WrongLength, virtualpiv.TruncatedMessage, virtualpiv.WrongSignature} {
			card, reader, token, key := keyed(t, firmware, PINOnce, TouchNever)
			card.Order(virtualpiv.Fault{Kind: kind})
			signer := token.Signer(key, &person{pin: pin123})
			if signature, err := keys.Sign(t.Context(), signer, longMessage); err == nil {
				t.Errorf("%s: signed %x", kind, signature)
			}
			if _, err := keys.Sign(t.Context(), signer, longMessage); err != nil {
				t.Errorf("%s: the next signature: %v", kind, err)
			}
			if err := token.Close(); err != nil || card.PINTries() != 3 {
				t.Errorf("%s: %d tries left, %v", kind, card.PINTries(), err)
			}
			daemon.Remove(reader)
		}
	}
}

func TestTouchThatNeverComes(t *testing.T) {
	for _, pin := range []PINPolicy{PINOnce, PINAlways, PINNever} {
		for _, touch := range []TouchPolicy{TouchAlways, TouchCached} {
			card, reader, token, key := keyed(t, v574, pin, touch)
			card.SetFinger(func() bool { return false })
			p := &person{pin: pin123}
			var late *TouchTimeoutError
			if _, err := keys.Sign(t.Context(), token.Signer(key, p), longMessage); !errors.As(err, &late) || late.Serial != testSerial {
				t.Errorf("%s %s: %v", pin, touch, err)
			}
			if card.PINTries() != 3 || len(p.asked) > 1 {
				t.Errorf("%d tries left, asked %v", card.PINTries(), p.asked)
			}
			card.SetFinger(nil)
			if _, err := keys.Sign(t.Context(), token.Signer(key, p), longMessage); err != nil {
				t.Errorf("with a finger: %v", err)
			}
			if err := token.Close(); err != nil || card.Verified() {
				t.Error(err)
			}
			daemon.Remove(reader)
		}
	}
}

func TestTouchIsTold(t *testing.T) {
	card, _, token, key := keyed(t, v574, PINNever, TouchAlways)
	token.after = atOnce
	p := &person{told: make(chan struct{})}
	card.SetFinger(func() bool { <-p.told; return true }) // comes when it has been asked for
	if _, err := keys.Sign(t.Context(), token.Signer(key, p), longMessage); err != nil || p.touches != 1 || p.done != 1 {
		t.Errorf("told %d times, taken away %d times: %v", p.touches, p.done, err)
	}
	token.after = never
	if _, err := keys.Sign(t.Context(), token.Signer(key, p), longMessage); err != nil || p.touches != 1 {
		t.Errorf("a quick finger was asked for: %v", err)
	}
}

func TestPulledOutWhileSigning(t *testing.T) {
	for _, firmware := range firmwares {
		for nth := 1; ; nth++ {
			card, reader, token, key := keyed(t, firmware, PINOnce, TouchNever)
			card.Order(virtualpiv.Fault{Kind: virtualpiv.PulledBefore, Nth: nth})
			_, err := keys.Sign(t.Context(), token.Signer(key, &person{pin: pin123}), longMessage)
			var removed *RemovedError
			if err != nil && (!errors.As(err, &removed) || removed.Serial != testSerial) {
				t.Errorf("%v, command %d: %v", firmware, nth, err)
			}
			if err := token.Close(); err != nil {
				t.Errorf("%v, command %d, closing: %v", firmware, nth, err)
			}
			daemon.Remove(reader)
			if err == nil {
				if nth < 4 {
					t.Errorf("%v: only %d commands", firmware, nth)
				}
				break
			}
			card.Forgive()
			daemon.Insert(reader, card)
			again := open(t, testSerial)
			if _, err := keys.Sign(t.Context(), again.Signer(key, &person{pin: pin123}), longMessage); err != nil || card.PINTries() != 3 {
				t.Errorf("plugged in again: %d tries, %v", card.PINTries(), err)
			}
			if err := again.Close(); err != nil {
				t.Error(err)
			}
			daemon.Remove(reader)
		}
	}
}

func TestPulledOutWhileGenerating(t *testing.T) {
	for _, kind := range []virtualpiv.FaultKind{virtualpiv.PulledBefore, virtualpiv.PulledAfter} {
		for _, firmware := range [][3]byte{v435, v574} {
			for nth := 1; pulledWhileGenerating(t, kind, firmware, nth); nth++ {
				if nth > 200 {
					t.Fatal("it never ends")
				}
			}
		}
	}
}

// pulledWhileGenerating pulls the token at its nth command, and reports whether there was one.
func pulledWhileGenerating(t *testing.T, kind virtualpiv.FaultKind, firmware [3]byte, nth int) bool {
	t.Helper()
	card, reader := insert(t, virtualpiv.Options{Firmware: firmware})
	defer daemon.Remove(reader)
	token := open(t, testSerial)
	card.Order(virtualpiv.Fault{Kind: kind, Nth: nth})
	o := GenerateOptions{Slot: 0x82, Touch: TouchNever, PINSecret: secret(pin123)}
	key, err := token.Generate(t.Context(), o)
	if closing := token.Close(); closing != nil {
		t.Errorf("closing: %v", closing)
	}
	if err == nil {
		return false
	}
	where := fmt.Sprintf("%v, %s command %d", firmware, kind, nth)
	var unfinished *UnfinishedError
	if !errors.As(err, new(*RemovedError)) {
		t.Errorf("%s: %v", where, err)
	}
	if made := len(card.Slots()) == 1; made && !errors.As(err, &unfinished) {
		t.Errorf("%s: a key was made, and nothing said of it: %v", where, err)
	} else if unfinished != nil && (unfinished.Slot != 0x82 || unfinished.Public != key.Public) {
		t.Errorf("%s: %+v", where, unfinished)
	}
	if card.PINTries() != 3 {
		t.Errorf("%s: %d tries left", where, card.PINTries())
	}
	card.Forgive()
	daemon.Insert(reader, card)
	again := open(t, testSerial)
	defer again.Close()
	var occupied *OccupiedError
	switch _, err := again.Generate(t.Context(), o); {
	case errors.As(err, &occupied):
		if adopted, err := again.Adopt(t.Context(), 0x82); err != nil || adopted.Public != occupied.Slot.Public || len(adopted.Attestation) < 2 {
			t.Errorf("%s: adopting: %+v, %v", where, adopted, err)
		}
	case err != nil:
		t.Errorf("%s: again: %v", where, err)
	}
	return true
}

func TestSwappedKeys(t *testing.T) {
	for _, firmware := range firmwares {
		card, reader, token, key := keyed(t, firmware, PINOnce, TouchNever)
		if err := token.Close(); err != nil {
			t.Fatal(err)
		}
		makeKey(t, reader, piv.SlotAuthentication, piv.Key{Algorithm: piv.AlgorithmEC384, PINPolicy: piv.PINPolicyNever, TouchPolicy: piv.TouchPolicyNever})
		token = open(t, testSerial)
		p := &person{pin: pin123}
		var changed *KeyChangedError
		if _, err := token.Signer(key, p).Sign(t.Context(), longMessage); !errors.As(err, &changed) || changed.Found.IsZero() || changed.Want != key.Public {
			t.Errorf("%v: overwritten: %v", firmware, err)
		}
		for name, other := range map[string]Key{
			"an empty slot":  {Serial: testSerial, Slot: 0x83, Public: key.Public, Attestation: key.Attestation},
			"another serial": {Serial: 7, Slot: 0x9a, Public: key.Public},
		} {
			if _, err := token.Signer(other, p).Sign(t.Context(), longMessage); !errors.As(err, &changed) || !changed.Found.IsZero() {
				t.Errorf("%v: %s: %v", firmware, name, err)
			}
		}
		for _, c := range card.Log()[3:] {
			if c.Instruction == 0x87 && c.P2 == 0x9a {
				t.Errorf("%v: the wrong key was used", firmware)
			}
		}
		if len(p.asked) != 0 {
			t.Errorf("%v: the PIN was asked for", firmware)
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
		daemon.Remove(reader)
	}
}

func TestCancelledWhileWaitingForAFinger(t *testing.T) {
	card, reader, token, key := keyed(t, v574, PINNever, TouchAlways)
	ctx, cancel := context.WithCancel(t.Context())
	finger := make(chan bool)
	card.SetFinger(func() bool { cancel(); return <-finger })
	if _, err := quiet(token).Signer(key, &person{}).Sign(ctx, longMessage); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := token.Close(); err != nil {
		t.Errorf("closing while the token is busy: %v", err)
	}
	if _, err := token.Slot(t.Context(), 0x9a); !errors.Is(err, ErrClosed) {
		t.Errorf("used after closing: %v", err)
	}
	if daemon.Open(reader) != 1 {
		t.Error("the connection was cut in the middle of a command")
	}
	finger <- true
	// The queue's file is free, and so the token, when the command has ended.
	if err := open(t, testSerial).Close(); err != nil {
		t.Error(err)
	}
}

func TestPulledOutWhileLooking(t *testing.T) {
	for _, firmware := range [][3]byte{v435, v574} {
		for nth := 1; ; nth++ {
			card, reader := insert(t, virtualpiv.Options{Firmware: firmware})
			card.Order(virtualpiv.Fault{Kind: virtualpiv.PulledBefore, Nth: nth})
			list, err := List(t.Context())
			daemon.Remove(reader)
			if err != nil || len(list) > 1 {
				t.Fatalf("command %d: %+v, %v", nth, list, err)
			}
			if len(list) == 1 && list[0].Err == nil {
				if nth < 40 {
					t.Errorf("only %d commands", nth)
				}
				break
			}
			if len(list) == 1 && (list[0].Serial != testSerial || !errors.As(list[0].Err, new(*RemovedError))) {
				t.Errorf("command %d: %+v", nth, list[0])
			}
		}
	}
	card, _ := insert(t, virtualpiv.Options{})
	card.Order(virtualpiv.Fault{Kind: virtualpiv.PulledBefore, Instruction: 0xf8})
	if _, err := Open(t.Context(), testSerial); !errors.As(err, new(*NotFoundError)) {
		t.Errorf("opening: %v", err)
	}
}

// A token that knows no serial numbers has none. One that only did not answer this time is no other token: a
// key made in it would never be found again.
func TestSerialIsRefused(t *testing.T) {
	card, _ := insert(t, virtualpiv.Options{})
	for status, has := range map[uint16]bool{0x6d00: true, 0x6e00: true, 0x6a81: true, 0x6f00: false, 0x6982: false, 0x6985: false} {
		card.Order(virtualpiv.Fault{Kind: virtualpiv.Answer, Instruction: 0xf8, Status: status})
		token, err := Open(t.Context(), 0)
		if has != (err == nil) || err == nil && token.Serial() != 0 {
			t.Errorf("%04x: %+v, %v", status, token, err)
		}
		if err == nil {
			_ = token.Close()
		}
	}
}

// Tokens without Yubico's other applets end the PIN's status in the way of the standard.
func TestClosingWithoutAnotherApplet(t *testing.T) {
	card, _, token, _ := keyed(t, v574, PINOnce, TouchNever)
	if err := token.VerifyPIN(t.Context(), secret(pin123)); err != nil || !card.Verified() {
		t.Fatal(err)
	}
	card.Order(virtualpiv.Fault{Kind: virtualpiv.Answer, Instruction: 0xa4, Status: 0x6a82})
	if err := token.Close(); err != nil || card.Verified() {
		t.Errorf("verified: %v, %v", card.Verified(), err)
	}
}

// A PIN that the record knows nothing of, or the token wants in spite of it.
func TestRecordsThatAreWrongAboutPolicies(t *testing.T) {
	card, _, token, key := keyed(t, v435, PINOnce, TouchNever)
	key.PIN, key.Touch = "", ""
	if _, err := keys.Sign(t.Context(), token.Signer(key, &person{pin: pin123}), longMessage); err != nil {
		t.Errorf("unknown policies: %v", err)
	}
	card.Order(virtualpiv.Fault{Kind: virtualpiv.Answer, Instruction: 0x87, Status: 0x6982})
	if _, err := token.Signer(key, &person{pin: pin123}).Sign(t.Context(), longMessage); !errors.Is(err, ErrPINNeeded) {
		t.Errorf("refused without a touch to wait for: %v", err)
	}
}
