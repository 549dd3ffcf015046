// The key that a rotation brings in: where it is made, and whether the registry would take it.

package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

// parsePlace reads where the new key is to be.
func (o *rotateOptions) parsePlace(c *cli.Context) (err error) {
	o.toHardware, o.toSoftware = c.Bool("to-hardware"), c.Bool("to-software")
	if o.protect, err = parseProtection(c); err != nil {
		return err
	}
	if o.place, err = parseTokenPlace(c); err != nil {
		return err
	}
	switch {
	case o.toHardware && o.toSoftware:
		return usage("--to-hardware and --to-software: the new key can't be both")
	case o.toHardware && o.protect != "":
		return usage("--keychain, --passphrase and --none don't go with --to-hardware: a token has a PIN, and --pin says when it is asked for")
	}
	for _, name := range []string{"serial", "slot", "touch", "pin"} {
		if o.toSoftware && c.IsSet(name) {
			return usage("--%s doesn't go with --to-software", name)
		}
	}
	return nil
}

// notes are where it is written down what is about to be made.
type notes interface {
	Making(store *keys.Store, name string) error
	slotNotes
}

// prepareRotation makes the keys that come in, where they are not there yet, and notes each before.
func (a *app) prepareRotation(
	ctx context.Context, e *enroll.Enrolment, life *enroll.Lifecycle, client *registryclient.Client, plan *enroll.RotatePlan, o rotateOptions,
	n notes,
) error {
	discovery, err := client.Discover(ctx)
	if err != nil {
		return err
	}
	refused := !o.intoToken(plan.OldKey) || discovery.Hardware.Touch && o.place.touch == hardware.TouchNever
	if discovery.Hardware.Required && plan.Entry.Can != enroll.Read && refused {
		if _, err := life.Keys.Lookup(plan.New); errors.Is(err, fs.ErrNotExist) {
			return &policyError{label(e), describePolicy(discovery.Hardware)}
		}
	}
	if err := n.Making(life.Keys, plan.New); err != nil {
		return err
	}
	newKey, err := a.successor(ctx, life.Keys, plan.OldKey, plan.New, o, n)
	if err != nil {
		return err
	}
	if err := a.checkPolicy(label(e), discovery, newKey, plan.Entry.Can); err != nil {
		return err
	}
	wantsReader, err := plan.WantsReader(newKey)
	if err != nil || !wantsReader {
		return err
	}
	reader, err := readerName(life, plan.New)
	if err != nil {
		return err
	}
	if err := n.Making(life.Keys, reader); err != nil {
		return err
	}
	plan.Read, err = a.readerKey(ctx, life, plan.New)
	return err
}

// intoToken reports whether the new key is to be made on a token.
func (o rotateOptions) intoToken(old keys.Record) bool {
	return o.toHardware || old.Protection == keys.Hardware && !o.toSoftware
}

// successorPlace fills in what was left open: the old key's token.
func (o rotateOptions) successorPlace(old keys.Record) tokenPlace {
	if o.place.serial == 0 && old.Token != nil {
		o.place.serial = old.Token.Serial
	}
	return o.place
}

// successor is the key that takes over; it is made if there is none of that name.
func (a *app) successor(ctx context.Context, store *keys.Store, old keys.Record, name string, o rotateOptions, n slotNotes) (keys.Record, error) {
	record, err := store.Lookup(name)
	if err == nil && (record.Public.IsZero() || record.Protection == keys.Unprotected) {
		// An earlier run may have been stopped before it wrote the record: opening the key does that.
		if _, err := a.unlock(ctx, store, name); err != nil {
			return keys.Record{}, err
		}
		return store.Lookup(name)
	}
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return record, err
	}
	if o.intoToken(old) {
		return a.makeNoted(ctx, store, name, o.successorPlace(old), n)
	}
	if o.place != (tokenPlace{algorithm: o.place.algorithm}) {
		return keys.Record{}, usage("--serial, --slot, --touch and --pin go with --to-hardware")
	}
	algorithm := old.Public.Algorithm()
	if o.algorithm != "" {
		if algorithm, err = keys.ParseAlgorithm(o.algorithm); err != nil {
			return keys.Record{}, err
		}
	}
	w := newKey(name, o.protect)
	w.keep = true // whoever has just typed its passphrase need not do so again for cargo
	if w.is == "" && inFile(old) {
		w.is = old.Protection
	}
	return a.makeKey(ctx, store, w, algorithm)
}
