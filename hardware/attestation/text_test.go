// The texts of versions, slots, policies and forms.

package attestation

import "testing"

func TestVersion(t *testing.T) {
	for _, text := range []string{"0.0.0", "4.3.5", "5.7.4", "255.255.255"} {
		if v, err := ParseVersion(text); err != nil || v.String() != text {
			t.Errorf("%s: %v, %v", text, v, err)
		}
	}
	for _, text := range []string{"", "5", "5.7", "5.7.4.1", "5.7.256", "5.07.4", "+5.7.4", " 5.7.4", "5.7.x", "5..4"} {
		if v, err := ParseVersion(text); err == nil {
			t.Errorf("%q: %v", text, v)
		}
	}
	ordered := []Version{{}, {4, 3, 5}, {4, 3, 7}, {4, 10, 0}, {5, 2, 7}, {5, 7, 4}}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := a.Compare(b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%v to %v: %d", a, b, got)
			}
			if a.AtLeast(b.Major, b.Minor, b.Patch) != (i >= j) {
				t.Errorf("%v at least %v", a, b)
			}
		}
	}
}

func TestSlot(t *testing.T) {
	if slots := Slots(); len(slots) != 24 || slots[0] != 0x9a || slots[1] != 0x82 || slots[20] != 0x95 {
		t.Errorf("%v", slots)
	}
	valid := 0
	for n := range 256 {
		s := Slot(n)
		got, err := ParseSlot(s.String())
		if (err == nil) != s.Valid() || err == nil && got != s {
			t.Errorf("%v: %v, %v", s, got, err)
		}
		if text, err := s.MarshalText(); (err == nil) != s.Valid() || err == nil && got.UnmarshalText(text) != nil {
			t.Errorf("%v: %s, %v", s, text, err)
		}
		if s.Valid() {
			valid++
		}
	}
	if valid != len(Slots()) {
		t.Errorf("%d slots are valid", valid)
	}
	for _, text := range []string{"", "9", "9A", "09a", "0x9a", "9b", "f9", "81", "96", "9a "} {
		if s, err := ParseSlot(text); err == nil {
			t.Errorf("%q: %v", text, s)
		}
	}
}

func TestPolicies(t *testing.T) {
	for _, text := range []string{"once", "always", "never"} {
		if p, err := ParsePINPolicy(text); err != nil || string(p) != text {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"", "Once", "cached", "match-once", "default"} {
		if p, err := ParsePINPolicy(text); err == nil {
			t.Errorf("%q: %v", text, p)
		}
	}
	for _, text := range []string{"always", "cached", "never"} {
		if p, err := ParseTouchPolicy(text); err != nil || string(p) != text {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"", "once", "Always"} {
		if p, err := ParseTouchPolicy(text); err == nil {
			t.Errorf("%q: %v", text, p)
		}
	}
}

func TestFormFactor(t *testing.T) {
	for form, want := range map[FormFactor]string{0: "", 1: "USB-A keychain", 4: "USB-C nano", 0x85: "USB-C and Lightning keychain FIPS", 9: "form 0x09"} {
		if got := form.String(); got != want {
			t.Errorf("%d: %q", form, got)
		}
	}
}
