// What a token tells of itself and of its slots, to anybody.

package hardware

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/keys"
)

// An Answer is yes, no, or unknown.
type Answer string

// The answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

// Origins of keys in [SlotInfo].
const (
	OriginGenerated = "generated"
	OriginImported  = "imported"
	OriginUnknown   = "unknown"
)

// Info is what a token tells of itself.
type Info struct {
	Reader     string
	Serial     uint32
	Firmware   Version
	FormFactor FormFactor
	PINTries   int // -1 unknown
	PUKTries   int // -1 unknown: told from firmware 5.3 on
	// Whether these are still the factory's, told from firmware 5.3 on; no PIN is ever tried to find out.
	DefaultPIN, DefaultPUK, DefaultManagementKey Answer
	Slots                                        []SlotInfo // all 24
	// Err is what kept a token from telling; only Reader is certain then.
	Err error
}

// SlotInfo is what a token tells of a slot.
type SlotInfo struct {
	Slot Slot
	// Occupied says that there is a key, or a certificate for one. Before firmware 5.3 a key that was imported
	// without a certificate can't be seen.
	Occupied           bool
	Public             keys.PublicKey // zero for an algorithm that this project doesn't have
	Algorithm          string         // "ed25519", "p384", "p256", "rsa2048", …; "unknown" where something is there that can't be told
	PIN                PINPolicy      // "" unknown
	Touch              TouchPolicy    // "" unknown
	Origin             string         // generated, imported or unknown
	CertificateSubject string         // of the certificate that programs stored beside the key
}

// List tells of every token that is plugged in. Each reader is looked into once; a token that is busy, or fails, is listed with
// its Err. Readers without a PIV card are left out. The errors are those of [Open] for the service.
func List(ctx context.Context) ([]Info, error) { return newOpener().list(ctx) }

func (o *opener) list(ctx context.Context) ([]Info, error) {
	readers, err := o.readers(ctx)
	if err != nil {
		return nil, err
	}
	var list []Info
	for _, reader := range readers {
		t, err := o.take(ctx, reader, false)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err != nil {
			list = append(list, failedInfo(reader, err))
			continue
		}
		if t == nil {
			continue
		}
		info, err := t.Info(ctx)
		if err != nil {
			info = failedInfo(reader, err)
			info.Serial, info.Firmware = t.serial, t.firmware
		}
		list = append(list, info)
		if err := t.Close(); err != nil && info.Err == nil {
			list[len(list)-1].Err = err
		}
	}
	return list, nil
}

func failedInfo(reader string, err error) Info {
	return Info{
		Reader: reader, PINTries: -1, PUKTries: -1, Err: err,
		DefaultPIN: Unknown, DefaultPUK: Unknown, DefaultManagementKey: Unknown,
	}
}

// Info asks the token for all that it tells, in some 60 commands. A PIN that was verified is not any more.
func (t *Token) Info(ctx context.Context) (Info, error) {
	info := failedInfo(t.reader, nil)
	info.Serial, info.Firmware = t.serial, t.firmware
	err := t.use(ctx, func(u *use) (err error) {
		if err := u.secrets(&info); err != nil {
			return err
		}
		if info.FormFactor, err = u.formFactor(); err != nil {
			return err
		}
		for _, slot := range attestation.Slots() {
			s, err := u.slot(slot)
			if err != nil {
				return err
			}
			info.Slots = append(info.Slots, s)
		}
		return nil
	})
	return info, err
}

// formFactor asks another applet, which forgets the PIN. A token that has none leaves it unknown.
func (u *use) formFactor() (FormFactor, error) {
	u.verified = false
	return ask(u, "asking for the form factor", func() (FormFactor, error) {
		form, err := u.card.formFactor()
		if errors.As(err, new(readerError)) {
			return 0, err
		}
		return form, nil
	})
}

// secrets tells of PIN, PUK and management key.
func (u *use) secrets(info *Info) error {
	pin, err := u.reference(referencePIN)
	if err != nil {
		return err
	}
	puk, err := u.reference(referencePUK)
	if err != nil {
		return err
	}
	management, err := u.reference(referenceManagement)
	if err != nil {
		return err
	}
	info.PINTries, info.PUKTries = pin.tries, puk.tries
	info.DefaultPIN, info.DefaultPUK, info.DefaultManagementKey = pin.original, puk.original, management.original
	if info.PINTries >= 0 {
		return nil
	}
	info.PINTries, err = ask(u, "asking for the PIN's tries", func() (int, error) {
		left, _, err := u.card.tries()
		if err != nil && !errors.As(err, new(readerError)) {
			return -1, nil
		}
		return left, err
	})
	return err
}

// Slot tells what a slot holds.
func (t *Token) Slot(ctx context.Context, slot Slot) (SlotInfo, error) {
	var info SlotInfo
	err := t.use(ctx, func(u *use) error {
		var err error
		info, err = u.slot(slot)
		return err
	})
	return info, err
}

// FreeSlot is the first slot that holds nothing, of 9a and 82 to 95. Where there is none it fails with [*FullError].
func (t *Token) FreeSlot(ctx context.Context) (Slot, error) {
	var free SlotInfo
	err := t.use(ctx, func(u *use) error {
		var err error
		free, err = u.freeSlot()
		return err
	})
	return free.Slot, err
}

func (u *use) freeSlot() (SlotInfo, error) {
	for _, slot := range attestation.Slots() {
		if slot >= attestation.SlotSignature {
			continue // they have purposes that other programs rely on
		}
		info, err := u.slot(slot)
		if err != nil {
			return SlotInfo{}, err
		}
		if !info.Occupied {
			return info, nil
		}
	}
	return SlotInfo{}, &FullError{u.serial}
}

// slot asks for the metadata, then for an attestation where that didn't tell, then for the certificate.
func (u *use) slot(slot Slot) (SlotInfo, error) {
	return ask(u, "reading slot "+slot.String(), func() (SlotInfo, error) {
		info := SlotInfo{Slot: slot, Origin: OriginUnknown}
		if err := u.lookKey(&info); err != nil {
			return info, err
		}
		if err := u.lookCertificate(&info); err != nil {
			return info, err
		}
		if info.Occupied && info.Algorithm == "" {
			info.Algorithm = algorithmUnknown
		}
		return info, nil
	})
}

// algorithmUnknown is that of something which is there and can't be told.
const algorithmUnknown = "unknown"

// lookKey asks for the metadata, or for an attestation where there is none or it says nothing.
func (u *use) lookKey(info *SlotInfo) error {
	if err := u.lookMetadata(info); err != nil {
		return err
	}
	if info.Algorithm == "" && (info.Occupied || !u.hasMetadata()) {
		return u.lookAttestation(info)
	}
	return nil
}

func (u *use) hasMetadata() bool { return u.firmware.AtLeast(5, 3, 0) }

// lookMetadata takes an answer that says nothing, or can't be read, for a sign that there is a key.
func (u *use) lookMetadata(info *SlotInfo) error {
	if !u.hasMetadata() {
		return nil
	}
	d, err := u.card.describe(info.Slot)
	switch {
	case errors.Is(err, errNotFound):
		return nil
	case errors.As(err, new(readerError)):
		return err
	}
	info.Occupied = true
	if err == nil && d.algorithm != "" {
		info.Public, info.Algorithm, info.PIN, info.Touch = d.public, d.algorithm, d.pin, d.touch
		if d.origin != "" {
			info.Origin = d.origin
		}
	}
	return nil
}

// lookAttestation finds keys that were made on the token.
func (u *use) lookAttestation(info *SlotInfo) error {
	statement, err := u.card.attest(info.Slot)
	if errors.As(err, new(readerError)) {
		return err
	}
	if err != nil {
		return nil
	}
	info.Occupied, info.Origin = true, OriginGenerated
	info.describe(statement)
	if facts, err := attestation.Read(statement.Raw); err == nil {
		info.PIN, info.Touch = facts.PIN, facts.Touch
	}
	return nil
}

// lookCertificate finds what other programs stored. It describes the key only where nothing better did.
func (u *use) lookCertificate(info *SlotInfo) error {
	certificate, err := u.card.certificate(info.Slot)
	switch {
	case errors.As(err, new(readerError)):
		return err
	case errors.Is(err, errNotFound):
		return nil
	case err != nil:
		info.Occupied = true // something is there, if not a certificate
		return nil
	}
	info.CertificateSubject = certificate.Subject.String()
	if !info.Occupied && !u.hasMetadata() {
		info.describe(certificate)
	}
	info.Occupied = true
	return nil
}

// describe takes key and algorithm from a certificate.
func (info *SlotInfo) describe(c *x509.Certificate) {
	info.Algorithm = certificateAlgorithm(c)
	if public, err := attestation.PublicKey(c.PublicKey); err == nil {
		info.Public = public
	}
}
