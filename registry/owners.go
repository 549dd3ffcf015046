// Owners of a crate: cargo owner --list, --add and --remove.

package registry

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/registry/crate"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/registry/verify"
	"github.com/cargo-regkey/regkey/token"
)

// What one request may name.
const (
	maxOwnersBody = 64 << 10 // bytes
	maxOwners     = 100
)

func (s *Server) listOwners(w http.ResponseWriter, r *http.Request) error {
	ctx, grant, name := r.Context(), verify.GrantOf(r.Context()), r.PathValue("crate")
	if err := grant.Authorize(name, "", ""); err != nil {
		return err
	}
	found, err := findCrate(ctx, s.storage, name)
	if err != nil {
		return err
	}
	owners, err := s.storage.Owners(ctx, found.Canonical)
	if err != nil {
		return err
	}
	err = s.storage.Update(ctx, func(tx *storage.Tx) error {
		return tx.TokenDone(ctx, grant.ReplayKey, fmt.Sprintf("the owners of crate %q were listed", name))
	})
	if err != nil {
		return err
	}
	type user struct {
		ID    uint32 `json:"id"`
		Login string `json:"login"`
		Name  string `json:"name"`
	}
	users := make([]user, 0, len(owners))
	for _, owner := range owners {
		users = append(users, user{accountNumber(owner), owner, owner})
	}
	return answer(w, http.StatusOK, map[string]any{"users": users})
}

// accountNumber is for cargo, which insists on a number in an answer and looks at it nowhere.
func accountNumber(account string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(account))
	return h.Sum32()
}

func (s *Server) addOwners(w http.ResponseWriter, r *http.Request) error {
	return s.changeOwners(w, r, func(ctx context.Context, tx *storage.Tx, c storage.Crate, account string) (bool, error) {
		known, err := tx.Account(ctx, account)
		if errors.Is(err, storage.ErrNotFound) || err == nil && known.Closed {
			return false, refuse(http.StatusBadRequest, "account-unknown", "this registry has no account %q that could own a crate: "+
				"name one that its operator has invited", account)
		}
		if err != nil {
			return false, err
		}
		return tx.AddOwner(ctx, c.Canonical, account, s.now())
	}, ownersAdded)
}

func (s *Server) removeOwners(w http.ResponseWriter, r *http.Request) error {
	return s.changeOwners(w, r, func(ctx context.Context, tx *storage.Tx, c storage.Crate, account string) (bool, error) {
		removed, err := tx.RemoveOwner(ctx, c.Canonical, account)
		if err != nil {
			return false, err
		}
		if !removed {
			return false, refuse(http.StatusBadRequest, "not-an-owner", "the account %q does not own the crate %q: `cargo owner --list` shows who does", account, c.Name)
		}
		left, err := tx.Owners(ctx, c.Canonical)
		if err != nil {
			return false, err
		}
		if len(left) == 0 {
			return false, refuse(http.StatusBadRequest, "last-owner", "a crate keeps at least one owner: add another to %q before you remove %q", c.Name, account)
		}
		return true, nil
	}, ownersRemoved)
}

func ownersAdded(name string, accounts []string) string {
	return fmt.Sprintf("%s added to the owners of crate %q", listed(accounts), name)
}

func ownersRemoved(name string, accounts []string) string {
	return fmt.Sprintf("%s removed from the owners of crate %q", listed(accounts), name)
}

// listed is `"a" was` or `"a" and "b" were`.
func listed(accounts []string) string {
	last := len(accounts) - 1
	if last == 0 {
		return strconv.Quote(accounts[0]) + " was"
	}
	return `"` + strings.Join(accounts[:last], `", "`) + `" and "` + accounts[last] + `" were`
}

type ownerChange func(ctx context.Context, tx *storage.Tx, c storage.Crate, account string) (changed bool, err error)

// changeOwners applies one change to all accounts that the body names, or to none.
func (s *Server) changeOwners(w http.ResponseWriter, r *http.Request, change ownerChange, say func(string, []string) string) error {
	ctx, grant, name := r.Context(), verify.GrantOf(r.Context()), r.PathValue("crate")
	if err := grant.Authorize(name, "", ""); err != nil {
		return err
	}
	accounts, err := readOwners(r)
	if err != nil {
		return err
	}
	said := say(name, accounts)
	err = s.storage.Update(ctx, func(tx *storage.Tx) error {
		if err := s.recheck(ctx, tx, grant); err != nil {
			return err
		}
		found, err := findCrate(ctx, tx, name)
		if err != nil {
			return err
		}
		if err := checkOwner(ctx, tx, grant.Account, found); err != nil {
			return err
		}
		for _, account := range accounts {
			if _, err := change(ctx, tx, found, account); err != nil {
				return err
			}
		}
		return tx.TokenDone(ctx, grant.ReplayKey, said)
	})
	if err != nil {
		return err
	}
	s.log.InfoContext(ctx, "owners changed", "crate", name, "change", said, "account", grant.Account, "key", grant.KeyID.String())
	return answer(w, http.StatusOK, map[string]any{"ok": true, "msg": said})
}

// findCrate finds a crate by the very name it was published under.
func findCrate(ctx context.Context, in interface {
	Crate(ctx context.Context, canonical string) (storage.Crate, error)
}, name string,
) (storage.Crate, error) {
	if crate.CheckName(name) != nil {
		return storage.Crate{}, crateUnknown(name)
	}
	found, err := in.Crate(ctx, crate.CanonicalName(name))
	if errors.Is(err, storage.ErrNotFound) || err == nil && found.Name != name {
		return storage.Crate{}, crateUnknown(name)
	}
	return found, err
}

// readOwners reads {"users":["a","b"]} (The Cargo Book, "Registry Web API", Owners).
func readOwners(r *http.Request) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxOwnersBody+1))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "request-invalid", "the request ended before its body did: try again")
	}
	var body struct {
		Users []string `json:"users"`
	}
	if len(text) > maxOwnersBody || json.Unmarshal(text, &body) != nil || len(body.Users) == 0 || len(body.Users) > maxOwners {
		return nil, refuse(http.StatusBadRequest, "request-invalid", `the request names no owners: its body must be {"users":[…]} with 1 to %d accounts`, maxOwners)
	}
	for _, account := range body.Users {
		if enroll.CheckAccount(account) != nil {
			return nil, refuse(http.StatusBadRequest, "account-unknown", "this registry has no account %.100q: accounts have 1 to 64 of a-z, 0-9 and -", account)
		}
	}
	slices.Sort(body.Users)
	return slices.Compact(body.Users), nil
}

// explainOwners answers the second of the two requests that `cargo owner --add a --remove b` sends with one token. A token names
// neither who is added nor how, so it pays for one request.
func (s *Server) explainOwners(r *http.Request, used *token.Used) *verify.Error {
	name := used.Claims.Name
	done, err := s.storage.DoneBy(r.Context(), used.ReplayKey)
	if err != nil {
		return nil
	}
	first := "the one before changed nothing"
	if done != "" {
		first = done
	}
	return refuse(http.StatusForbidden, "owners-one-at-a-time", "an owners token serves one request, and this one is used up: %s; %s", first, s.remaining(r, name, done))
}

// remaining is what is left to do of a request that came with a spent owners token.
func (s *Server) remaining(r *http.Request, name, done string) string {
	if r.Method == http.MethodGet {
		return fmt.Sprintf("now run `cargo owner --list %s` with the same --registry", name)
	}
	accounts, err := readOwners(r)
	if err != nil || r.PathValue("crate") != name {
		return "run the command again"
	}
	flag, said := " --add ", ownersAdded(name, accounts)
	if r.Method == http.MethodDelete {
		flag, said = " --remove ", ownersRemoved(name, accounts)
	}
	if said == done {
		return "that is what this request asks for too, so there is nothing more to do"
	}
	return fmt.Sprintf("now run `cargo owner%s%s %s` with the same --registry", flag, strings.Join(accounts, flag), name)
}
