// A registry of somebody else's that takes tokens. docs/registry.md shows a part of this file.

package verify_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/verify"
	"github.com/cargo-regkey/regkey/token"
)

// database stands for what a registry has already.
type database struct {
	token.MemorySpent // a registry that may restart within the window keeps these on disk
	keys              map[keys.ID]keys.PublicKey
	owner             map[string]string // of each crate
}

// LookupKey is asked anew for each request, so that a key which is revoked ends at once.
func (d *database) LookupKey(_ context.Context, id keys.ID) (token.Key, error) {
	public, known := d.keys[id]
	if !known {
		return token.Key{}, token.ErrUnknownKey
	}
	may := func(op token.Operation, crate string) bool {
		return op == token.Read || d.owner[crate] == "crates-team"
	}
	return token.Key{Public: public, Account: "crates-team", May: may}, nil
}

// routes puts the judging of tokens in front of the registry's own handlers.
func (d *database) routes() http.Handler {
	tokens := &verify.Middleware{
		Verifier: &token.Verifier{
			Index: "sparse+https://crates.example.com/index/", // exactly as users configure it
			Keys:  d,                                          // LookupKey: a key as it stands now
			Spent: d,                                          // Spend: true once for each token
		},
		LoginURL: "https://crates.example.com/me",
	}
	mux := http.NewServeMux()
	mux.Handle("DELETE /api/v1/crates/{crate}/{version}/yank", tokens.Require(token.Yank, http.HandlerFunc(d.yank)))
	return mux
}

func (d *database) yank(w http.ResponseWriter, r *http.Request) {
	grant := verify.GrantOf(r.Context())
	// What the request is about, found by the registry itself, must be what was signed.
	err := grant.Authorize(r.PathValue("crate"), r.PathValue("version"), "")
	if err == nil {
		err = grant.Recheck(r.Context()) // the key may have ended meanwhile: ask again where you commit
	}
	if err != nil {
		verify.Write(w, verify.Refusal(err))
		return
	}
	fmt.Fprintf(w, "%s yanks %s %s\n", grant.Account, grant.Claims.Name, grant.Claims.Version)
}

// A registry looks keys up where it has them, remembers used tokens, and puts the middleware before
// its handlers.
func ExampleMiddleware() {
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		panic(err)
	}
	d := &database{
		keys:  map[keys.ID]keys.PublicKey{key.Public().ID(): key.Public()},
		owner: map[string]string{"demo": "crates-team"},
	}
	text, err := token.Mint(context.Background(), key, token.Request{
		Index: "sparse+https://crates.example.com/index/", Operation: token.Yank, Name: "demo", Version: "1.0.0",
	}, time.Now())
	if err != nil {
		panic(err)
	}
	handler := d.routes()
	for range 2 {
		request := httptest.NewRequest("DELETE", "/api/v1/crates/demo/1.0.0/yank", nil)
		request.Header.Set("Authorization", text)
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, request)
		fmt.Print(response.Code, " ", response.Body)
	}
	// Output:
	// 200 crates-team yanks demo 1.0.0
	// 403 {"errors":[{"code":"token-replayed","detail":"this yank token for \"demo\" was used before, and each serves one request: run the command again to sign a new one"}]}
}
