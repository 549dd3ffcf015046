// Tests of PIN and PUK: counters, blocking, unblocking, changing, forgetting.

package virtualpiv

import (
	"fmt"
	"strings"
	"testing"
)

func TestPINCounter(t *testing.T) {
	u := take(t, v574)
	u.want(0x63c3, insVerify, 0, referencePIN, nil)
	u.login(0x63c2, "999999")
	u.login(statusOK, "123456")
	u.want(statusOK, insVerify, 0, referencePIN, nil)
	if u.card.PINTries() != 3 || !u.card.Verified() {
		t.Errorf("%d tries after the right PIN", u.card.PINTries())
	}
	u.login(0x63c2, "999999")
	if u.card.Verified() {
		t.Error("a wrong PIN left the status of the right one")
	}
	u.login(0x63c1, "999999")
	u.login(0x63c0, "999999")
	u.login(statusBlocked, "123456")
	u.want(statusBlocked, insVerify, 0, referencePIN, nil)
	u.want(statusBlocked, insChangeReference, 0, referencePIN, append(padded("123456"), padded("654321")...))
	u.want(0x63c2, insResetRetry, 0, referencePIN, append(padded("11111111"), padded("654321")...))
	u.want(statusOK, insResetRetry, 0, referencePIN, append(padded("12345678"), padded("654321")...))
	u.login(statusOK, "654321")
	if u.card.PINTries() != 3 || u.card.PUKTries() != 3 {
		t.Errorf("%d and %d tries after unblocking", u.card.PINTries(), u.card.PUKTries())
	}
}

func TestVerifyEndsItself(t *testing.T) {
	u := take(t, v574)
	u.login(statusOK, "123456")
	u.want(statusOK, insVerify, 0xff, referencePIN, nil)
	u.want(0x63c3, insVerify, 0, referencePIN, nil)
	u.want(statusBadData, insVerify, 0, referencePIN, []byte("123456"))
	u.want(statusNoReference, insVerify, 0, 0x96, []byte{3, 0})
	if u.card.PINTries() != 3 {
		t.Errorf("malformed commands cost tries: %d left", u.card.PINTries())
	}
}

func TestWhatEndsThePINsStatus(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*user)
		left bool
	}{
		{"selecting PIV again", (*user).selectPIV, true},
		{"selecting another applet", func(u *user) { u.want(statusOK, insSelect, 4, 0, applets[appletOTP]) }, false},
		{"losing power", func(u *user) { u.card.Reset() }, false},
		{"selecting nothing that is there", func(u *user) { u.want(statusNotFound, insSelect, 4, 0, []byte("absent")) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := take(t, v543)
			u.login(statusOK, "123456")
			u.admin()
			c.do(u)
			if u.card.Verified() != c.left || u.card.Managed() != c.left {
				t.Errorf("PIN %v, management key %v", u.card.Verified(), u.card.Managed())
			}
		})
	}
}

func TestChangeReferences(t *testing.T) {
	u := take(t, v574)
	for _, bad := range []string{"12345", "\xff\xff\xff\xff\xff\xff\xff\xff", "12\xff45678"} {
		u.want(statusBadData, insChangeReference, 0, referencePIN, append(padded("123456"), padded(bad)...))
	}
	u.want(0x63c2, insChangeReference, 0, referencePIN, append(padded("000000"), padded("1")...))
	u.want(statusOK, insChangeReference, 0, referencePIN, append(padded("123456"), padded("24681357")...))
	u.want(0x63c2, insChangeReference, 0, referencePUK, append(padded("00000000"), padded("87654321")...))
	u.want(statusOK, insChangeReference, 0, referencePUK, append(padded("12345678"), padded("87654321")...))
	u.login(statusOK, "24681357")
	if pin, puk, management := u.card.Defaults(); pin || puk || !management {
		t.Errorf("defaults: %v %v %v", pin, puk, management)
	}
	u.want(statusNoReference, insChangeReference, 0, 0x82, make([]byte, 16))
}

func TestSetRetriesAndReset(t *testing.T) {
	u := take(t, v527)
	u.want(statusSecurity, insSetRetries, 5, 4, nil)
	u.admin()
	u.want(statusSecurity, insSetRetries, 5, 4, nil)
	u.login(statusOK, "123456")
	u.want(statusBadData, insSetRetries, 0, 4, nil)
	u.want(statusOK, insSetRetries, 200, 4, nil)
	u.want(0x63cf, insVerify, 0, referencePIN, nil)
	u.generate(0x9a, AlgorithmP384, PINOnce, Never)
	u.want(statusConditions, insReset, 0, 0, nil)
	for u.card.PINTries() > 0 {
		u.send(insVerify, 0, referencePIN, padded("000000"))
	}
	for u.card.PUKTries() > 0 {
		u.send(insResetRetry, 0, referencePIN, append(padded("0"), padded("0")...))
	}
	u.want(statusOK, insReset, 0, 0, nil)
	if u.card.PINTries() != 3 || u.card.PUKTries() != 3 || len(u.card.Slots()) != 0 || u.card.Managed() {
		t.Error("the reset left something")
	}
}

func TestLogHasNoPIN(t *testing.T) {
	u := take(t, v574)
	u.login(statusOK, "123456")
	log := u.card.Log()
	last := log[len(log)-1]
	if last != (Command{Instruction: insVerify, P2: referencePIN, Length: 8, Status: statusOK}) {
		t.Errorf("logged %+v", last)
	}
	if text := fmt.Sprintf("%+v", log); strings.Contains(text, "123456") || strings.Contains(text, "313233") || strings.Contains(text, "49 50 51") {
		t.Errorf("the log shows a PIN: %s", text)
	}
}
