// What of a request goes to the log.

package verify_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/registry/verify"
)

func TestLoggedPath(t *testing.T) {
	for path, want := range map[string]string{
		"/me":                                 "/me",
		"/me?token=secret":                    "/me",
		"/" + strings.Repeat("a", 199):        "/" + strings.Repeat("a", 199),
		"/" + strings.Repeat("a", 200):        "/" + strings.Repeat("a", 199) + "…",
		"/" + strings.Repeat("a", 198) + "äb": "/" + strings.Repeat("a", 198) + "…",
		"/" + strings.Repeat("%80", 9000):     "/…",
	} {
		if got := verify.LoggedPath(httptest.NewRequest("GET", path, nil)); got != want {
			t.Errorf("%.300q is logged as %q", path, got)
		}
	}
}
