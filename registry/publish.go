// Publishing a version.

package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/registry/crate"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/registry/verify"
	"github.com/cargo-regkey/regkey/token"
)

// publish receives cargo's body, holds it against the token, judges the crate, and makes it part of the registry. The
// file is in its place before the row that names it commits, and not before it is sure to.
func (s *Server) publish(w http.ResponseWriter, r *http.Request) error {
	grant := verify.GrantOf(r.Context())
	upload, err := crate.Receive(s.storage.Uploads(), s.uploadBody(w, r), r.ContentLength, s.config.MaxCrate)
	if err != nil {
		return err
	}
	defer func() {
		if err := upload.Discard(); err != nil {
			s.log.WarnContext(r.Context(), "an upload stays behind", "error", err)
		}
	}()
	if err := grant.Authorize(upload.Metadata.Name, upload.Metadata.Version, upload.Checksum); err != nil {
		return err
	}
	// Judged again at commit; here it saves unpacking what will not be taken.
	if err := checkPublisher(r.Context(), s.storage, grant, upload.Metadata.Name, upload.Metadata.Version); err != nil {
		return err
	}
	release, err := upload.Inspect(s.origin, crate.ArchiveLimits{})
	if err != nil {
		return err
	}
	line, err := release.Entry.Line()
	if err != nil {
		return err
	}
	if err := upload.Flush(); err != nil {
		return err
	}
	if err := s.commitRelease(r.Context(), grant, upload, release, string(line)); err != nil {
		return err
	}
	s.log.InfoContext(r.Context(), "published", "crate", release.Entry.Name, "version", release.Entry.Version, "account", grant.Account, "key", grant.KeyID.String())
	return answer(w, http.StatusOK, map[string]any{
		"warnings": map[string][]string{"invalid_categories": {}, "invalid_badges": {}, "other": {}},
	})
}

// uploadBody is the request's body with a limit of size, and of time without a byte.
func (s *Server) uploadBody(w http.ResponseWriter, r *http.Request) *uploadReader {
	limited := http.MaxBytesReader(w, r.Body, s.config.MaxCrate+crate.MaxMetadata+8)
	u := &uploadReader{body: limited.Read, control: http.NewResponseController(w), end: time.Now().Add(longRequest)}
	_ = u.control.SetWriteDeadline(u.end.Add(shortRequest)) // the answer comes after the upload
	return u
}

// uploadReader lets a slow upload go on as long as something arrives, up to longRequest.
type uploadReader struct {
	body    func([]byte) (int, error)
	control *http.ResponseController
	end     time.Time
}

// Read gives the client a minute for the next bytes.
func (u *uploadReader) Read(p []byte) (int, error) {
	deadline := time.Now().Add(shortRequest)
	if deadline.After(u.end) {
		deadline = u.end
	}
	_ = u.control.SetReadDeadline(deadline)
	return u.body(p)
}

// publishing is what checkPublisher reads: storage, or a transaction on it.
type publishing interface {
	versions
	Owns(ctx context.Context, account, canonical string) (bool, error)
}

// checkPublisher refuses an account that does not own the crate, a name that collides with another, and a version that
// was ever there. A crate that nobody has published yet is free.
func checkPublisher(ctx context.Context, in publishing, grant *token.Grant, name, version string) error {
	found, err := in.Crate(ctx, crate.CanonicalName(name))
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if found.Name != name {
		return refuse(http.StatusConflict, "crate-name-taken", "the crate name %.100q is too near to %q, which exists: "+
			"names that differ only in case or in \"-\" and \"_\" are one, so choose another", name, found.Name)
	}
	if err := checkOwner(ctx, in, grant.Account, found); err != nil {
		return err
	}
	stands, err := in.Version(ctx, found.Canonical, crate.VersionKey(version))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !stands.Deleted.IsZero():
		return refuse(http.StatusConflict, "version-deleted", "version %q of crate %q was deleted by the registry's operator and is never used again: publish another version", stands.Version, name)
	case stands.Version != version:
		return refuse(http.StatusConflict, "version-exists", "version %q of crate %q exists already, and %q differs only in build metadata: publish another version", stands.Version, name, version)
	}
	return refuse(http.StatusConflict, "version-exists", "version %q of crate %q exists already, and versions never change: publish another version", stands.Version, name)
}

func checkOwner(ctx context.Context, in interface {
	Owns(ctx context.Context, account, canonical string) (bool, error)
}, account string, c storage.Crate,
) error {
	owns, err := in.Owns(ctx, account, c.Canonical)
	if err != nil {
		return err
	}
	if !owns {
		return refuse(http.StatusForbidden, "not-an-owner", "the account %q does not own the crate %q: "+
			"one of its owners can add it with `cargo owner --add %s %s`", account, c.Name, account, c.Name)
	}
	return nil
}

// commitRelease writes the rows of a release and puts its file in place, if its publisher may still do that.
func (s *Server) commitRelease(ctx context.Context, grant *token.Grant, upload *crate.Upload, release *crate.Release, line string) error {
	entry, now := release.Entry, s.now()
	canonical := crate.CanonicalName(entry.Name)
	return s.storage.Update(ctx, func(tx *storage.Tx) error {
		if err := s.recheck(ctx, tx, grant); err != nil {
			return err
		}
		if err := checkPublisher(ctx, tx, grant, entry.Name, entry.Version); err != nil {
			return err
		}
		_, err := tx.Crate(ctx, canonical)
		if errors.Is(err, storage.ErrNotFound) {
			err = tx.CreateCrate(ctx, storage.Crate{
				Canonical: canonical, Name: entry.Name, Path: strings.ToLower(entry.Name), Created: now, Changed: now,
			}, grant.Account)
		}
		if err != nil {
			return err
		}
		err = tx.SaveVersion(ctx, storage.Version{
			Crate: canonical, Precedence: crate.VersionKey(entry.Version), Version: entry.Version,
			Checksum: upload.Checksum, Size: upload.Size, Line: line,
			Account: grant.Account, KeyID: grant.KeyID.String(), Published: now,
		})
		if err != nil {
			return err
		}
		if err := tx.TokenDone(ctx, grant.ReplayKey, entry.Name+" "+entry.Version+" was published"); err != nil {
			return err
		}
		if err := refreshCrate(ctx, tx, canonical, summary(release.Manifest.Description), now); err != nil {
			return err
		}
		place, err := s.storage.PlaceForCrate(upload.Checksum)
		if err != nil {
			return err
		}
		return upload.Keep(place)
	})
}

// refreshCrate brings up to date what search shows: the newest version that is neither yanked nor a
// pre-release, or else the newest that is left. The description is left as it is for "".
func refreshCrate(ctx context.Context, tx *storage.Tx, canonical, description string, now time.Time) error {
	found, err := tx.Crate(ctx, canonical)
	if err != nil {
		return err
	}
	all, err := tx.Versions(ctx, canonical)
	if err != nil {
		return err
	}
	newest, best := "", 0
	for _, v := range all {
		rank := 1 // yanked
		switch {
		case !v.Deleted.IsZero():
			continue
		case !v.Yanked && !strings.Contains(v.Precedence, "-"):
			rank = 3
		case !v.Yanked:
			rank = 2
		}
		if rank > best || rank == best && crate.CompareVersions(v.Version, newest) > 0 {
			newest, best = v.Version, rank
		}
	}
	if description == "" {
		description = found.Description
	}
	return tx.ChangeCrate(ctx, canonical, description, newest, now)
}
