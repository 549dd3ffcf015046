// Tests that each fault strikes where it was ordered to, and only there.

package virtualpiv

import (
	"testing"
)

func TestFaultsOfSignatures(t *testing.T) {
	for _, kind := range []FaultKind{WrongLength, TruncatedMessage, WrongSignature} {
		for _, algorithm := range []byte{AlgorithmP384, AlgorithmEd25519} {
			u := take(t, v574)
			message := digest[:]
			if algorithm == AlgorithmEd25519 {
				message = longMessage
			}
			point := u.generate(0x9a, algorithm, Never, Never)
			u.card.Order(Fault{Kind: kind, Nth: 2})
			for i, good := range []bool{true, false, true} {
				signature := u.signed(statusOK, 0x9a, algorithm, message)
				if verifies(t, algorithm, point, message, signature) != good {
					t.Errorf("%s, %02x: signature %d verifies: %v", kind, algorithm, i+1, !good)
				}
				if kind == TruncatedMessage && !good && !verifies(t, algorithm, point, truncate(algorithm, message), signature) {
					t.Error("not a signature of the truncated message")
				}
			}
		}
	}
}

func TestFaultPulledOut(t *testing.T) {
	for _, kind := range []FaultKind{PulledBefore, PulledAfter} {
		u := take(t, v574)
		u.admin()
		u.card.Order(Fault{Kind: kind, Instruction: insGenerate})
		u.want(statusOK, insVersion, 0, 0, nil)
		body := appendTLV(nil, 0xac, []byte{0x80, 1, AlgorithmP384})
		u.want(0, insGenerate, 0, 0x9a, body)
		u.want(0, insVersion, 0, 0, nil)
		if made := len(u.card.Slots()) == 1; made != (kind == PulledAfter) {
			t.Errorf("%s: key made: %v", kind, made)
		}
		u.card.Reset()
		u.selectPIV()
		u.want(statusOK, insVersion, 0, 0, nil)
	}
}

func TestFaultsThatAnswer(t *testing.T) {
	u := take(t, v574)
	u.generate(0x9a, AlgorithmP384, PINOnce, TouchAlways)
	u.login(statusOK, "123456")
	u.card.Order(Fault{Kind: TouchTimeout, Always: true})
	u.signed(statusSecurity, 0x9a, AlgorithmP384, digest[:])
	u.signed(statusSecurity, 0x9a, AlgorithmP384, digest[:])
	u.card.Forgive()
	u.signed(statusOK, 0x9a, AlgorithmP384, digest[:])
	u.card.Order(Fault{Kind: EmptyMetadata})
	if answer := u.want(statusOK, insMetadata, 0, 0x9a, nil); len(answer) != 0 {
		t.Errorf("metadata %x", answer)
	}
	u.want(statusOK, insMetadata, 0, 0x9a, nil)
	u.card.Order(Fault{Kind: Answer, Instruction: insVerify, Status: 0x6f00, Nth: 2})
	u.login(statusOK, "123456")
	u.login(0x6f00, "123456")
	u.card.Order(Fault{Kind: BlockedPIN})
	u.login(statusBlocked, "123456")
	if u.card.PINTries() != 0 {
		t.Errorf("%d tries left", u.card.PINTries())
	}
}
