// How a registry written in Go uses the package.

package token_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

// accounts is where a registry keeps its users' keys.
type accounts map[keys.ID]keys.PublicKey

func (a accounts) LookupKey(_ context.Context, id keys.ID) (token.Key, error) {
	public, ok := a[id]
	if !ok {
		return token.Key{}, token.ErrUnknownKey
	}
	may := func(op token.Operation, crate string) bool { return op == token.Read || crate == "demo" }
	return token.Key{Public: public, Account: "crates-team", May: may}, nil
}

// A registry authenticates each request when its headers are there and holds the grant against
// what it found in path and body. Here, one yank, and then the same request again.
func ExampleVerifier() {
	const index = "sparse+https://crates.example.com/index/"
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		panic(err)
	}
	verifier := &token.Verifier{
		Index: index,
		Keys:  accounts{key.Public().ID(): key.Public()},
		Spent: &token.MemorySpent{},
	}
	yank := func(w http.ResponseWriter, r *http.Request) {
		grant, err := verifier.Authenticate(r.Context(), r.Header.Get("Authorization"), token.Yank, time.Now())
		if err == nil {
			err = grant.Authorize(r.PathValue("crate"), r.PathValue("version"), "")
		}
		if refusal := new(token.Error); errors.As(err, &refusal) {
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": refusal.Code, "detail": refusal.Detail}}})
			return
		}
		if err != nil {
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%s yanks %s %s\n", grant.Account, grant.Claims.Name, grant.Claims.Version)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("DELETE /api/v1/crates/{crate}/{version}/yank", yank)

	text, err := token.Mint(context.Background(), key,
		token.Request{Index: index, Operation: token.Yank, Name: "demo", Version: "1.0.0"}, time.Now())
	if err != nil {
		panic(err)
	}
	for range 2 {
		request := httptest.NewRequest("DELETE", "/api/v1/crates/demo/1.0.0/yank", nil)
		request.Header.Set("Authorization", text)
		response := httptest.NewRecorder()
		mux.ServeHTTP(response, request)
		fmt.Print(response.Code, " ", response.Body)
	}
	// Output:
	// 200 crates-team yanks demo 1.0.0
	// 403 {"errors":[{"code":"token-replayed","detail":"this yank token for \"demo\" was used before, and each serves one request: run the command again to sign a new one"}]}
}
