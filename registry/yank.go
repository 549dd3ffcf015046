// Yanking a version, and taking that back.

package registry

import (
	"net/http"

	"github.com/cargo-regkey/regkey/registry/crate"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/registry/verify"
)

func (s *Server) yank(w http.ResponseWriter, r *http.Request) error { return s.setYanked(w, r, true) }

func (s *Server) unyank(w http.ResponseWriter, r *http.Request) error {
	return s.setYanked(w, r, false)
}

// setYanked changes one bit of one line of the index. Doing it again changes nothing and is no error.
func (s *Server) setYanked(w http.ResponseWriter, r *http.Request, yanked bool) error {
	ctx, grant := r.Context(), verify.GrantOf(r.Context())
	name, version := r.PathValue("crate"), r.PathValue("version")
	if err := grant.Authorize(name, version, ""); err != nil {
		return err
	}
	did := map[bool]string{true: "yanked", false: "unyanked"}[yanked]
	err := s.storage.Update(ctx, func(tx *storage.Tx) error {
		if err := s.recheck(ctx, tx, grant); err != nil {
			return err
		}
		v, err := findVersion(ctx, tx, name, version)
		if err != nil {
			return err
		}
		if err := checkOwner(ctx, tx, grant.Account, storage.Crate{Canonical: v.Crate, Name: name}); err != nil {
			return err
		}
		if err := tx.TokenDone(ctx, grant.ReplayKey, name+" "+version+" was "+did); err != nil {
			return err
		}
		if v.Yanked == yanked {
			return nil
		}
		line, err := crate.SetYanked([]byte(v.Line), yanked)
		if err != nil {
			return err
		}
		if err := tx.SetYanked(ctx, v, yanked, string(line)); err != nil {
			return err
		}
		return refreshCrate(ctx, tx, v.Crate, "", s.now())
	})
	if err != nil {
		return err
	}
	s.log.InfoContext(ctx, did, "crate", name, "version", version, "account", grant.Account, "key", grant.KeyID.String())
	return answer(w, http.StatusOK, map[string]bool{"ok": true})
}
