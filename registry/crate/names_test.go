// Names, versions and index paths.

package crate

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "A", "serde", "serde_json", "a-b_c", "Mixed9", "nulx", strings.Repeat("a", 64)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "9a", "-a", "_a", "a.b", "a/b", "..", "a b", "a+b", "é", "aé", "a\x00", "a\n", "nul", "CON", "Lpt1", strings.Repeat("a", 65)} {
		wantCode(t, CheckName(name), NameInvalid)
	}
}

func TestCanonicalName(t *testing.T) {
	for _, same := range [][2]string{{"Foo_Bar", "foo-bar"}, {"a__b", "A--b"}, {"x", "X"}} {
		if CanonicalName(same[0]) != CanonicalName(same[1]) {
			t.Errorf("%s and %s do not collide", same[0], same[1])
		}
	}
	if CanonicalName("foobar") == CanonicalName("foo-bar") {
		t.Error("foobar and foo-bar collide")
	}
}

func TestCheckVersion(t *testing.T) {
	// The lists of semver.org's own test (https://regex101.com/r/vkijKf), in part.
	good := []string{
		"0.0.4", "1.2.3", "10.20.30", "1.1.2-prerelease+meta", "1.1.2+meta", "1.0.0-alpha", "1.0.0-alpha.beta.1",
		"1.0.0-alpha0.valid", "1.0.0-rc.1+build.1", "1.2.3----RC-SNAPSHOT.12.9.1--.12+788", "2.0.0+build.1848",
		"1.0.0+0.build.1-rc.10000aaa-kk-0.1", "1.0.0-0A.is.legal", "18446744073709551615.0.0",
	}
	bad := []string{
		"", "1", "1.2", "v1.2.3", "1.2.3.4", "01.1.1", "1.01.1", "1.1.01", "1.2.3-0123", "1.2.3-", "1.2.3+", "+invalid",
		"1.2.3-a..b", "1.2.3-a_b", "1.2.3+a+b", " 1.2.3", "1.2.3 ", "1.2.x", "-1.0.0", "1.2.3-é", "1.2.3\n", "1..3",
		"18446744073709551616.0.0", "0.0.99999999999999999999999", "1.0.0-" + strings.Repeat("a", maxVersionLength),
	}
	for _, v := range good {
		if err := CheckVersion(v); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	for _, v := range bad {
		if err := CheckVersion(v); err == nil {
			t.Errorf("%q is accepted", v)
		} else {
			wantCode(t, err, VersionInvalid)
		}
	}
}

func TestVersionKey(t *testing.T) {
	for version, key := range map[string]string{"1.0.0+a": "1.0.0", "1.0.0-rc.1+a-b": "1.0.0-rc.1", "1.0.0": "1.0.0"} {
		if got := VersionKey(version); got != key {
			t.Errorf("key of %s is %s; want %s", version, got, key)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	rising := []string{"0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.10", "2.0.0"}
	for i, a := range rising {
		for j, b := range rising {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := CompareVersions(a+"+x", b+"+y"); got != want {
				t.Errorf("comparing %s with %s gives %d; want %d", a, b, got, want)
			}
		}
	}
}

func TestIndexPath(t *testing.T) {
	for name, path := range map[string]string{
		"a": "1/a", "ab": "2/ab", "Abc": "3/a/abc", "abcd": "ab/cd/abcd", "MyCrate": "my/cr/mycrate", "a_b-c": "a_/b-/a_b-c",
	} {
		if got := IndexPath(name); got != path {
			t.Errorf("path of %s is %s; want %s", name, got, path)
		}
	}
}
