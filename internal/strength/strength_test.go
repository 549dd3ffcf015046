// What is called weak and why, what is not, and what is suggested instead.

package strength_test

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/strength"
	"github.com/cargo-regkey/regkey/keys"
)

func judge(text string, names ...string) string {
	return strength.Judge(keys.NewSecret([]byte(text)), names...)
}

func TestWeak(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "it is empty",
		"password":                     "tried first",
		"Password123!":                 "tried first",
		"p4$$w0rd":                     "tried first",
		"correct horse battery staple": "tried first",
		"letmein2026":                  "tried first",
		"pass-phrase":                  "tried first",
		"p":                            "it has only 1 characters",
		"x7#Kq":                        "it has only 5 characters",
		"äöü":                          "it has only 3 characters",
		"aaaaaaaaaaaaaaaaaaaaaaaa":     "it repeats itself",
		"xk4xk4xk4xk4":                 "it repeats itself",
		"qwertyuiop":                   "it follows the keyboard",
		"123456789":                    "it follows the keyboard",
		"zyxwvutsrq":                   "it follows the keyboard",
		"abcdef-123456":                "it follows the keyboard",
		"elephant":                     "too few words",
		"Elephant1987":                 "too few words",
		"3l3ph4nt!":                    "too few words",
		"correct horse":                "too few words",
		"blue elephant 42":             "too few words",
		"Schmetterling":                "too few words",
		"0172-4455661":                 "it is mostly digits",
		"24121987":                     "it is mostly digits",
		"kwmtvrhq":                     "it is short",
	} {
		if got := judge(text); want == "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestGood(t *testing.T) {
	for _, text := range []string{
		"quiver lantern mosaic drift",
		"quiver-lantern-mosaic-drift-7",
		"QuiverLanternMosaicDrift",
		"Xk9#mQ2$vL7pWz",
		"kwmtvrhqpzkn",
		"the cat that ate my crates in 2019 was orange",
		"9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d",
		"zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich",
		"五つの赤い風船が空へ飛んで行く",
	} {
		if got := judge(text); got != "" {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestNames(t *testing.T) {
	const good = "laptop-kwmtvrhqpz"
	if got := judge(good, "ci", ""); got != "" {
		t.Errorf("%q: %q", good, got)
	}
	for _, text := range []string{"laptop-kwmtv", "kwmtvLAPTOP"} {
		if got := judge(text, "laptop"); !strings.Contains(got, "a name") {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// A clause that repeats the passphrase would put it on a screen, or into a log.
func TestJudgeIsSilent(t *testing.T) {
	for _, text := range []string{"zugspitze", "zugspitze1987", "zug-zug-zug"} {
		if got := judge(text, "zug"); got == "" || strings.Contains(got, "zug") || strings.Contains(got, "1987") {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestSuggest(t *testing.T) {
	form := regexp.MustCompile("^[a-hjkmnp-z]{6}-[a-hjkmnp-z]{6}-[a-hjkmnp-z]{6}$")
	seen := map[string]bool{}
	counts := map[byte]int{}
	const many = 1000
	for range many {
		secret, err := strength.Suggest()
		if err != nil {
			t.Fatal(err)
		}
		text := string(secret.Reveal())
		if !form.MatchString(text) || seen[text] || judge(text) != "" {
			t.Errorf("%q is suggested", text)
		}
		seen[text] = true
		for i := range len(text) {
			counts[text[i]]++
		}
	}
	if delete(counts, '-'); len(counts) != 23 {
		t.Errorf("of %d letters", len(counts))
	}
	// Six standard deviations of a fair draw.
	mean := 18.0 * many / 23
	for letter, n := range counts {
		if math.Abs(float64(n)-mean) > 6*math.Sqrt(mean) {
			t.Errorf("%c comes %d times instead of %.0f", letter, n, mean)
		}
	}
}

func FuzzJudge(f *testing.F) {
	seeds := []string{"password", "Xk9#mQ2$vL7pWz", "ä\xff\x00", strings.Repeat("ab", 2000), "12 34"}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := judge(text, "name"); got == "" && len(text) < 6 {
			t.Errorf("%q is called good", text)
		}
	})
}
