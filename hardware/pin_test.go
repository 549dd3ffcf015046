//go:build cgo && linux

// PIN and PUK: what is sent, what it costs, what is said.

package hardware

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
)

const otp = "cccccccccccbdefghijklnrtuvcbdefghijklnrtuvcb"

func TestWrongPINs(t *testing.T) {
	for _, firmware := range firmwares {
		card, reader, token, key := keyed(t, firmware, PINOnce, TouchNever)
		p := &person{pin: "654321"}
		signer := token.Signer(key, p)
		for left := 2; left >= 0; left-- {
			var wrong *PINError
			if _, err := signer.Sign(t.Context(), longMessage); !errors.As(err, &wrong) || wrong.Retries != left || card.PINTries() != left {
				t.Errorf("%v: %d tries left: %v", firmware, card.PINTries(), err)
			}
		}
		p.pin = pin123
		var blocked *PINError
		if _, err := signer.Sign(t.Context(), longMessage); !errors.As(err, &blocked) || blocked.Retries != 0 {
			t.Errorf("%v: blocked: %v", firmware, err)
		}
		if !slices.Equal(p.asked, []int{3, 2, 1}) {
			t.Errorf("%v: told %v", firmware, p.asked)
		}
		if err := token.VerifyPIN(t.Context(), secret(pin123)); !errors.As(err, &blocked) || blocked.Retries != 0 {
			t.Errorf("%v: verifying: %v", firmware, err)
		}
		if err := token.Unblock(t.Context(), secret(puk123), secret("abcdef")); err != nil || card.PINTries() != 3 || card.PUKTries() != 3 {
			t.Errorf("%v: unblocking: %d, %d, %v", firmware, card.PINTries(), card.PUKTries(), err)
		}
		p.pin = "abcdef"
		if _, err := keys.Sign(t.Context(), signer, longMessage); err != nil {
			t.Errorf("%v: unblocked: %v", firmware, err)
		}
		if err := token.Close(); err != nil || card.Verified() {
			t.Error(err)
		}
		daemon.Remove(reader)
	}
}

func TestNoPINIsSent(t *testing.T) {
	card, _, token, key := keyed(t, v574, PINOnce, TouchNever)
	gone := errors.New("nobody is there")
	for name, c := range map[string]struct {
		p     Prompter
		check func(error) bool
	}{
		"nobody to ask": {nil, func(err error) bool { return errors.Is(err, ErrPINNeeded) }},
		"no answer":     {&person{err: gone}, func(err error) bool { return err == gone }},
		"empty":         {&person{}, isFormat(false, 0)},
		"too short":     {&person{pin: "12345"}, isFormat(false, 5)},
		"too long":      {&person{pin: "123456789"}, isFormat(false, 9)},
		"an OTP":        {&person{pin: otp}, isFormat(true, 44)},
		"almost an OTP": {&person{pin: strings.Replace(otp, "c", "a", 1)}, isFormat(false, 44)},
	} {
		_, err := token.Signer(key, c.p).Sign(t.Context(), longMessage)
		if !c.check(err) || strings.Contains(err.Error(), "12345") || strings.Contains(err.Error(), otp) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range card.Log() {
		if c.Instruction == 0x20 && c.Length > 0 {
			t.Errorf("a PIN was sent: %+v", c)
		}
	}
	if card.PINTries() != 3 {
		t.Errorf("%d tries left", card.PINTries())
	}
}

func isFormat(otp bool, length int) func(error) bool {
	return func(err error) bool {
		var format *FormatError
		return errors.As(err, &format) && format.OTP == otp && format.Length == length
	}
}

func TestLastTriesAreNotSpentUnasked(t *testing.T) {
	card, _, token, _ := keyed(t, v574, PINOnce, TouchNever)
	wrongPIN := secret("000000")
	if err := token.VerifyPIN(t.Context(), wrongPIN); !errors.As(err, new(*PINError)) {
		t.Fatal(err)
	}
	var few *FewTriesError
	ctx := t.Context()
	for name, use := range map[string]func() error{
		"verifying":  func() error { return token.VerifyPIN(ctx, wrongPIN) },
		"changing":   func() error { return token.ChangePIN(ctx, wrongPIN, secret("abcdef")) },
		"protecting": func() error { return token.ProtectManagementKey(ctx, wrongPIN, keys.Secret{}) },
		"generating": func() error {
			_, err := token.Generate(ctx, GenerateOptions{Slot: 0x82, PINSecret: wrongPIN})
			return err
		},
	} {
		if err := use(); !errors.As(err, &few) || few.Retries != 2 || few.PUK || card.PINTries() != 2 {
			t.Errorf("%s: %d tries left, %v", name, card.PINTries(), err)
		}
	}
	if len(card.Slots()) != 1 {
		t.Errorf("slots: %+v", card.Slots())
	}
	// A yes is for one try.
	if err := token.SpendLastTries(ctx); err != nil {
		t.Fatal(err)
	}
	if err := token.VerifyPIN(ctx, wrongPIN); !errors.As(err, new(*PINError)) || card.PINTries() != 1 {
		t.Fatalf("%d tries left, %v", card.PINTries(), err)
	}
	if err := token.VerifyPIN(ctx, wrongPIN); !errors.As(err, &few) || few.Retries != 1 || card.PINTries() != 1 {
		t.Errorf("the last: %d tries left, %v", card.PINTries(), err)
	}
	if err := token.SpendLastTries(ctx); err != nil {
		t.Fatal(err)
	}
	if err := token.VerifyPIN(ctx, secret(pin123)); err != nil || card.PINTries() != 3 {
		t.Errorf("%d tries left, %v", card.PINTries(), err)
	}
}

func TestPUKTries(t *testing.T) {
	for _, firmware := range firmwares {
		card, reader := insert(t, virtualpiv.Options{Firmware: firmware})
		token := open(t, testSerial)
		var wrong *PUKError
		if err := token.ChangePUK(t.Context(), secret("87654321"), secret("abcdefgh")); !errors.As(err, &wrong) || wrong.Retries != 2 {
			t.Errorf("%v: wrong: %v", firmware, err)
		}
		err := token.Unblock(t.Context(), secret("87654321"), secret("abcdef"))
		// The tries are known, if only from the wrong PUK, so the last but one is not spent unasked; and nor is the last.
		for left := 2; left > 0; left-- {
			if few := new(FewTriesError); !errors.As(err, &few) || !few.PUK || few.Retries != left || card.PUKTries() != left {
				t.Errorf("%v: %d tries left, %v", firmware, card.PUKTries(), err)
			}
			if err := token.SpendLastTries(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := token.Unblock(t.Context(), secret("87654321"), secret("abcdef")); !errors.As(err, &wrong) || wrong.Retries != left-1 {
				t.Errorf("%v: %v", firmware, err)
			}
			err = token.ChangePUK(t.Context(), secret("87654321"), secret("abcdefgh"))
		}
		if !errors.As(err, &wrong) || wrong.Retries != 0 {
			t.Errorf("%v: blocked: %v", firmware, err)
		}
		if err := token.Unblock(t.Context(), secret(puk123), secret("abcdef")); !errors.As(err, &wrong) || wrong.Retries != 0 {
			t.Errorf("%v: blocked: %v", firmware, err)
		}
		if card.PUKTries() != 0 || card.PINTries() != 3 {
			t.Errorf("%v: %d, %d", firmware, card.PUKTries(), card.PINTries())
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
		daemon.Remove(reader)
	}
}

func TestChangePIN(t *testing.T) {
	card, _ := insert(t, virtualpiv.Options{})
	token := open(t, testSerial)
	ctx := t.Context()
	for name, err := range map[string]error{
		"short":  token.ChangePIN(ctx, secret(pin123), secret("12345")),
		"an OTP": token.ChangePIN(ctx, secret(pin123), secret(otp)),
		"PUK":    token.ChangePUK(ctx, secret(puk123), secret("123456789")),
	} {
		if !errors.As(err, new(*FormatError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	card.Order(virtualpiv.Fault{Kind: virtualpiv.Answer, Instruction: 0x24, Status: 0x6a80})
	if err := token.ChangePIN(ctx, secret(pin123), secret("111111")); err == nil || !strings.Contains(err.Error(), "new PIN") {
		t.Errorf("a PIN that the token does not want: %v", err)
	}
	if err := token.ChangePIN(ctx, secret(pin123), secret("abcdef")); err != nil {
		t.Error(err)
	}
	if err := token.VerifyPIN(ctx, secret("abcdef")); err != nil {
		t.Error(err)
	}
	if err := token.Close(); err != nil || card.Verified() {
		t.Errorf("closed: %v, verified: %v", err, card.Verified())
	}
}

// A PIN that another program left verified must not let a signature through unasked.
func TestPINOfAnotherProgram(t *testing.T) {
	card, reader, token, key := keyed(t, v574, PINOnce, TouchNever)
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	tool(t, reader, func(yk *piv.YubiKey) error { return yk.VerifyPIN(pin123) })
	if !card.Verified() {
		t.Fatal("the other program left nothing verified")
	}
	token = open(t, testSerial)
	p := &person{pin: "654321"}
	var wrong *PINError
	if _, err := token.Signer(key, p).Sign(t.Context(), longMessage); !errors.As(err, &wrong) || !slices.Equal(p.asked, []int{3}) {
		t.Errorf("asked %v: %v", p.asked, err)
	}
}

func TestBlockedOnTheWay(t *testing.T) {
	card, _, token, key := keyed(t, v574, PINOnce, TouchNever)
	card.Order(virtualpiv.Fault{Kind: virtualpiv.BlockedPIN, Nth: 3})
	var blocked *PINError
	if _, err := token.Signer(key, &person{pin: pin123}).Sign(t.Context(), longMessage); !errors.As(err, &blocked) || blocked.Retries != 0 {
		t.Errorf("%v", err)
	}
}

func TestProtectManagementKey(t *testing.T) {
	for _, firmware := range firmwares {
		card, reader := insert(t, virtualpiv.Options{Firmware: firmware})
		token := open(t, testSerial)
		for range 2 {
			if err := token.ProtectManagementKey(t.Context(), secret(pin123), keys.Secret{}); err != nil {
				t.Fatalf("%v: %v", firmware, err)
			}
		}
		if _, _, management := card.Defaults(); management {
			t.Errorf("%v: the management key is the factory's", firmware)
		}
		var refused *ManagementKeyError
		if _, err := token.Generate(t.Context(), GenerateOptions{}); err != nil {
			t.Errorf("%v: with the PIN verified: %v", firmware, err)
		}
		if err := token.Close(); err != nil || card.Managed() || card.Verified() {
			t.Errorf("%v: closed: %v", firmware, err)
		}
		token = open(t, testSerial)
		if _, err := token.Generate(t.Context(), GenerateOptions{}); !errors.As(err, &refused) || !refused.Default {
			t.Errorf("%v: without the PIN: %v", firmware, err)
		}
		if _, err := token.Generate(t.Context(), GenerateOptions{ManagementKey: secret(strings.Repeat("k", 24))}); !errors.As(err, &refused) || refused.Default {
			t.Errorf("%v: with a wrong key: %v", firmware, err)
		}
		if _, err := token.Generate(t.Context(), GenerateOptions{PINSecret: secret(pin123)}); err != nil || len(card.Slots()) != 2 {
			t.Errorf("%v: with the PIN: %d slots, %v", firmware, len(card.Slots()), err)
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
		tool(t, reader, func(yk *piv.YubiKey) error {
			m, err := yk.Metadata(pin123)
			if err != nil || m.ManagementKey == nil {
				t.Errorf("%v: another tool finds no key: %v", firmware, err)
				return err
			}
			return yk.SetManagementKey(*m.ManagementKey, piv.DefaultManagementKey)
		})
		daemon.Remove(reader)
	}
}

func TestProtectManagementKeyInterrupted(t *testing.T) {
	for nth := 1; ; nth++ {
		card, reader := insert(t, virtualpiv.Options{})
		token := open(t, testSerial)
		card.Order(virtualpiv.Fault{Kind: virtualpiv.PulledAfter, Nth: nth})
		err := token.ProtectManagementKey(context.Background(), secret(pin123), keys.Secret{})
		if err != nil && !errors.As(err, new(*RemovedError)) {
			t.Errorf("command %d: %v", nth, err)
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
		card.Forgive()
		daemon.Insert(reader, card)
		again := open(t, testSerial)
		if err := again.ProtectManagementKey(t.Context(), secret(pin123), keys.Secret{}); err != nil {
			t.Errorf("command %d, again: %v", nth, err)
		}
		if _, err := again.Generate(t.Context(), GenerateOptions{}); err != nil {
			t.Errorf("command %d, generating: %v", nth, err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
		daemon.Remove(reader)
		if err == nil {
			break
		}
	}
}

func TestProtectManagementKeyKeepsOtherData(t *testing.T) {
	card, _ := insert(t, virtualpiv.Options{})
	token := open(t, testSerial)
	err := token.use(t.Context(), func(u *use) error {
		u.unlocked = true
		if err := u.card.setManagementKey(defaultManagementKey, defaultManagementKey); err != nil {
			return err
		}
		return errors.Join(
			u.card.storeObject(objectPrinted, []byte{0x01, 2, 'M', 'e'}),
			u.card.storeObject(objectAdmin, []byte{tagAdmin, 9, tagAdminFlags, 1, 1, 0x83, 4, 1, 2, 3, 4}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := token.ProtectManagementKey(t.Context(), secret(pin123), keys.Secret{}); !errors.Is(err, errOtherData) {
		t.Errorf("%v", err)
	}
	if _, _, management := card.Defaults(); !management {
		t.Error("the management key was replaced")
	}
	err = token.use(t.Context(), func(u *use) error {
		if err := u.card.storeObject(objectPrinted, nil); err != nil {
			return err
		}
		if err := u.protect(keys.Secret{}); err != nil {
			return err
		}
		admin, err := u.card.object(objectAdmin)
		if string(admin) != "\x53\x0b\x80\x09\x81\x01\x03\x83\x04\x01\x02\x03\x04" {
			t.Errorf("admin data %x", admin)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
