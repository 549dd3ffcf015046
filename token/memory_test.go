// Spent tokens in memory: once each, until their time is over, never more than the limit.

package token

import (
	"encoding/binary"
	"testing"
	"time"
)

func TestMemorySpent(t *testing.T) {
	now := testTime
	m := &MemorySpent{Limit: 3, Now: func() time.Time { return now }}
	spend := func(key byte, until time.Time) (bool, error) { return m.Spend(t.Context(), [32]byte{key}, until) }
	for _, key := range []byte{1, 2, 3} {
		if first, err := spend(key, testTime.Add(time.Duration(key)*time.Minute)); !first || err != nil {
			t.Fatalf("key %d: %v, %v", key, first, err)
		}
	}
	if first, err := spend(4, testTime.Add(time.Hour)); first || err == nil {
		t.Errorf("a fourth one: %v, %v", first, err)
	}
	now = testTime.Add(time.Minute) // the first is at its end, not past it
	if first, err := spend(1, testTime.Add(time.Hour)); first || err != nil {
		t.Errorf("the first once more: %v, %v", first, err)
	}
	now = now.Add(1)
	if first, err := spend(4, testTime.Add(time.Hour)); !first || err != nil {
		t.Errorf("with room again: %v, %v", first, err)
	}
	if first, err := spend(2, testTime.Add(time.Hour)); first || err != nil {
		t.Errorf("the second once more: %v, %v", first, err)
	}
}

func TestMemorySpentForgets(t *testing.T) {
	now := testTime
	m := &MemorySpent{Now: func() time.Time { return now }}
	for i := range 100_000 {
		var key [32]byte
		binary.LittleEndian.PutUint32(key[:], uint32(i))
		if first, err := m.Spend(t.Context(), key, now.Add(time.Second)); !first || err != nil {
			t.Fatalf("%d: %v, %v", i, first, err)
		}
		now = now.Add(10 * time.Millisecond)
		if len(m.until) > 1024 {
			t.Fatalf("%d held of which 100 are of use", len(m.until))
		}
	}
}
