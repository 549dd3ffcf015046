// regkey hardware attest: what a token's maker vouches for.

package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

type attestOptions struct {
	key, roots string
	json       bool
}

func (a *app) hardwareAttestCommand() *cli.Command {
	return &cli.Command{
		Name:      "attest",
		Usage:     "verify and show what the maker of a token vouches for",
		ArgsUsage: "KEY",
		Description: `Verifies, up to the maker's root, the certificates that the token gave when the key was made:
that it was made on the token and can't leave it, on which one, with which firmware, and what
each signature demands of you. It is what a registry verifies that wants keys in hardware. The
token need not be plugged in.

Yubico's roots are built in. For tokens of another maker, --roots names a file with its roots.

Examples:
   regkey hardware attest yk
   regkey hardware attest yk --json`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "roots", Usage: "trust the certificates in the file `PATH` (PEM) too"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			key, err := oneArgument(c, "KEY")
			if err != nil {
				return err
			}
			return a.runHardwareAttest(c.Context, attestOptions{key, c.String("roots"), c.Bool("json")})
		},
	}
}

// attestFacts is the outcome in JSON.
type attestFacts struct {
	Key       string `json:"key"`
	ID        string `json:"id"`
	Algorithm string `json:"algorithm"`
	Serial    uint32 `json:"serial"`
	Firmware  string `json:"firmware"`
	Form      string `json:"form,omitzero"`
	Slot      string `json:"slot"`
	PIN       string `json:"pin"`
	Touch     string `json:"touch"`
}

func (a *app) runHardwareAttest(ctx context.Context, o attestOptions) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	record, err := a.key(ctx, a.store(home), o.key)
	if err != nil {
		return err
	}
	if record.Protection != keys.Hardware {
		return fmt.Errorf("key %s is not in a token: its secret is a file", record.Name)
	}
	facts, err := a.verifyAttestation(record, o.roots)
	if err != nil {
		return err
	}
	f := attestFacts{
		record.Name, record.Public.ID().String(), record.Public.Algorithm().String(), facts.Serial, facts.Firmware.String(),
		facts.FormFactor.String(), facts.Slot.String(), string(facts.PIN), string(facts.Touch),
	}
	if o.json {
		return a.printJSON(f)
	}
	return a.printFacts(
		fact{"key", f.Key + " (" + f.Algorithm + "), made on the token, which it can't leave"}, fact{"id", f.ID},
		fact{"YubiKey", fmt.Sprint(f.Serial)}, fact{"form", f.Form}, fact{"firmware", f.Firmware}, fact{"slot", f.Slot},
		fact{"PIN", f.PIN}, fact{"touch", f.Touch},
	)
}

// verifyAttestation verifies the record's chain, and that it is about the record's key.
func (a *app) verifyAttestation(r keys.Record, rootsFile string) (attestation.Facts, error) {
	if len(r.Token.Attestation) == 0 {
		return attestation.Facts{}, advised(fmt.Errorf("nothing attests key %s: it was not made on the token, or the token can't say so", r.Name),
			"a key that was made elsewhere may have copies; \"regkey rotate --to-hardware\" makes one on the token")
	}
	roots, err := extraRoots(rootsFile)
	if err != nil {
		return attestation.Facts{}, err
	}
	facts, err := attestation.Verify(r.Token.Attestation, roots, a.now())
	if errors.Is(err, attestation.ErrUntrusted) {
		return attestation.Facts{}, advised(fmt.Errorf("verifying the attestation of %s: %w", r.Name, err),
			"Yubico's roots are built in; for a token of another maker give its roots with --roots PATH")
	}
	if err != nil {
		return attestation.Facts{}, err
	}
	if facts.Public != r.Public {
		return attestation.Facts{}, fmt.Errorf("the attestation of %s is about another key, %v", r.Name, facts.Public.ID())
	}
	return facts, nil
}

// extraRoots are Yubico's and those in the file; nil, which means Yubico's, without a file.
func extraRoots(file string) ([]*x509.Certificate, error) {
	if file == "" {
		return nil, nil
	}
	text, err := atomicfile.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading --roots: %w", err)
	}
	extra, err := attestation.ParseRoots(text)
	return append(attestation.Roots(), extra...), err
}
