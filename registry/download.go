// Downloads of crate files.

package registry

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cargo-regkey/regkey/registry/crate"
	"github.com/cargo-regkey/regkey/registry/storage"
)

func (s *Server) download(w http.ResponseWriter, r *http.Request) error {
	version, err := findVersion(r.Context(), s.storage, r.PathValue("crate"), r.PathValue("version"))
	if err != nil {
		return err
	}
	file, err := s.storage.OpenCrate(version.Checksum)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	header := w.Header()
	header.Set("Content-Type", "application/gzip")
	header.Set("ETag", `"`+version.Checksum+`"`)
	header.Set("Cache-Control", s.caching())
	header.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, file)
	return nil
}

// versions is where a version can be looked up: storage, or a transaction on it.
type versions interface {
	Crate(ctx context.Context, canonical string) (storage.Crate, error)
	Version(ctx context.Context, canonical, precedence string) (storage.Version, error)
}

// findVersion finds a version by the very names it was published under, and none that the operator has deleted.
func findVersion(ctx context.Context, in versions, name, version string) (storage.Version, error) {
	none := refuse(http.StatusNotFound, "version-unknown", "this registry has no version %.100q of a crate %.100q: check how they are spelt", version, name)
	if crate.CheckName(name) != nil || crate.CheckVersion(version) != nil {
		return storage.Version{}, none
	}
	found, err := in.Crate(ctx, crate.CanonicalName(name))
	if err == nil {
		var v storage.Version
		v, err = in.Version(ctx, found.Canonical, crate.VersionKey(version))
		if err == nil && found.Name == name && v.Version == version && v.Deleted.IsZero() {
			return v, nil
		}
	}
	if err == nil || errors.Is(err, storage.ErrNotFound) {
		return storage.Version{}, none
	}
	return storage.Version{}, err
}
