// What was attested of a key outlives the keysets that list it.

package storage_test

import (
	"context"
	"math"
	"testing"

	"github.com/cargo-regkey/regkey/registry/storage"
)

func TestHardwareStays(t *testing.T) {
	db := open(t, t.TempDir())
	hard, soft := newKey(t), newKey(t)
	first := storage.Hardware{Serial: math.MaxUint32, Firmware: "5.7.4", Slot: "9a", PIN: "once", Touch: "cached", Form: "USB-C nano"}
	second := storage.Hardware{Firmware: "4.3.5", Slot: "82", PIN: "never", Touch: "never"} // a token that tells no serial number
	update(t, db, func(ctx context.Context, tx *storage.Tx) error { return tx.CreateAccount(ctx, "team", noon) })
	for version, step := range []struct{ given, want *storage.Hardware }{
		{nil, nil}, {&first, &first}, {nil, &first}, {&second, &second}, {nil, &second},
	} {
		update(t, db, func(ctx context.Context, tx *storage.Tx) error {
			listed := []storage.Key{{Public: hard, Can: "manage", Since: noon, Hardware: step.given}, {Public: soft, Can: "read", Since: noon}}
			return tx.SaveKeyset(ctx, storage.Keyset{Account: "team", Epoch: 1, Version: version + 1, Note: "x", Accepted: noon}, listed)
		})
		k, err := db.Key(t.Context(), hard.ID().String())
		if err != nil || (k.Hardware == nil) != (step.want == nil) || k.Hardware != nil && *k.Hardware != *step.want {
			t.Errorf("version %d: %+v, %v", version+1, k.Hardware, err)
		}
		if k, err := db.Key(t.Context(), soft.ID().String()); err != nil || k.Hardware != nil {
			t.Errorf("version %d: a software key has %+v, %v", version+1, k.Hardware, err)
		}
	}
	all, err := db.Keys(t.Context(), "team")
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
}
