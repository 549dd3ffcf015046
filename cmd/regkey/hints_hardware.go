// What to do about a token that does not do what it should.

package main

import (
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware"
)

// hintToken is advice for each way in which a token fails.
func hintToken(err error) []string {
	for _, find := range []func(error) []string{hintReaching, hintSlot, hintPIN} {
		if lines := find(err); lines != nil {
			return lines
		}
	}
	return nil
}

// hintReaching is about tokens that can't be spoken to.
func hintReaching(err error) []string {
	var service *hardware.ServiceError
	var absent *hardware.NotFoundError
	var several *hardware.AmbiguousError
	var busy *hardware.BusyError
	var removed *hardware.RemovedError
	switch {
	case errors.Is(err, hardware.ErrNotBuilt):
		return []string{"this regkey was built without hardware support: build it with cgo, or install the package with it",
			`"make install" builds ` + twin + ` too, where a C compiler and libpcsclite-dev are there; it lies beside regkey`}
	case errors.As(err, &service):
		return []string{service.Remedy()}
	case errors.As(err, &absent):
		return []string{`plug it in; "regkey hardware list" shows which tokens are there`}
	case errors.As(err, &several):
		return []string{"give --serial; the number is printed on the token"}
	case errors.As(err, &busy):
		return []string{"end that program, or wait for it (gpg's keeps tokens: gpgconf --kill scdaemon), then run the same command again"}
	case errors.As(err, new(*hardware.UnfinishedError)):
		return nil // what the slot holds comes first
	case errors.As(err, &removed):
		return []string{"plug it in and run the same command again: it completes what was begun"}
	}
	return nil
}

// hintSlot is about what a slot holds.
func hintSlot(err error) []string {
	var unfinished *hardware.UnfinishedError
	var occupied *hardware.OccupiedError
	var changed *hardware.KeyChangedError
	var full *hardware.FullError
	var policy *policyError
	switch {
	case errors.As(err, &policy):
		return []string{"nothing was signed; \"regkey init NAME --hardware\" makes a key on a token, \"regkey rotate --to-hardware\" replaces one by such a key"}
	case errors.As(err, &unfinished) && (errors.As(err, new(*leftError)) || errors.As(err, new(*enroll.LeftError))):
		return []string{"the slot may hold the new key: the same command, run again, takes it up"}
	case errors.As(err, &unfinished):
		return []string{
			"no key of regkey has this slot; look what it holds with \"regkey hardware list\", then take the new key up:",
			fmt.Sprintf("regkey init NAME --hardware --adopt --serial %d --slot %v", unfinished.Serial, unfinished.Slot),
		}
	case errors.As(err, &occupied):
		return []string{
			"nothing was changed; leave --slot out for the first free one, or take this key up with --adopt",
			fmt.Sprintf("to destroy that key for ever: --force on a terminal, or --overwrite-slot %v", occupied.Slot.Slot),
		}
	case errors.As(err, &changed):
		return []string{
			"nothing was signed: the key of this name was overwritten or deleted, and is gone",
			`enrol another one with "regkey enroll", and end this one with "regkey revoke"`,
		}
	case errors.As(err, &full):
		return []string{`"regkey hardware list" shows what they hold; --slot 9a --force overwrites one`}
	}
	return nil
}

// hintPIN is about what the person at the token gives: PIN, PUK, management key, a finger.
func hintPIN(err error) []string {
	var pin *hardware.PINError
	var puk *hardware.PUKError
	var few *hardware.FewTriesError
	var format *hardware.FormatError
	var touch *hardware.TouchTimeoutError
	var management *hardware.ManagementKeyError
	switch {
	case errors.As(err, &pin) && pin.Retries == 0:
		return []string{`"regkey hardware unblock" sets a new PIN with the PUK`}
	case errors.As(err, &pin):
		return []string{"nothing was signed; check " + envPINFile + ", or run this on a terminal and type it"}
	case errors.As(err, &puk) && puk.Retries == 0:
		return []string{
			"neither PIN nor PUK can be set again: only a reset helps, which destroys all PIV keys of the token (ykman piv reset)",
			"before it, end the token's keys with their revocation certificates: regkey revoke --certificate PATH",
		}
	case errors.As(err, &puk):
		return []string{"nothing was changed; check " + envPUKFile + ", or run this on a terminal and type it"}
	case errors.As(err, &few):
		return []string{"nothing was sent: run this on a terminal, where you can say that one more may be spent"}
	case errors.As(err, &format):
		return []string{"nothing was sent, so it cost no try"}
	case errors.Is(err, hardware.ErrPINNeeded):
		return []string{"run this on a terminal, or set " + envPINFile + " to a file that holds it"}
	case errors.As(err, &touch):
		return []string{"nothing was signed; run the same command again and touch the token while it blinks"}
	case errors.As(err, &management) && management.Default:
		return []string{"give the PIN, if the token keeps its management key: " + envPINFile + ", or on a terminal",
			"else set " + envManagementFile + " to a file with the key in hexadecimal digits"}
	case errors.As(err, &management):
		return []string{"set " + envManagementFile + " to a file with the management key in hexadecimal digits"}
	}
	return nil
}
