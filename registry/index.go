// The sparse index: one file of lines for each crate.

package registry

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/registry/crate"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/registry/verify"
)

func crateUnknown(name string) *verify.Error {
	return refuse(http.StatusNotFound, "crate-unknown", "this registry has no crate %.100q: check how it is spelt", name)
}

// serveIndex answers for the one path at which a crate's file is (The Cargo Book, "Index Format", "Index files").
func (s *Server) serveIndex(w http.ResponseWriter, r *http.Request) error {
	path := r.PathValue("path")
	name := path[strings.LastIndexByte(path, '/')+1:]
	if crate.CheckName(name) != nil || crate.IndexPath(name) != path {
		return crateUnknown(name)
	}
	found, err := s.storage.CrateAt(r.Context(), name)
	if errors.Is(err, storage.ErrNotFound) {
		return crateUnknown(name)
	}
	if err != nil {
		return err
	}
	versions, err := s.storage.Versions(r.Context(), found.Canonical)
	if err != nil {
		return err
	}
	var lines [][]byte
	for _, v := range versions {
		if v.Deleted.IsZero() {
			lines = append(lines, []byte(v.Line))
		}
	}
	if len(lines) == 0 {
		return crateUnknown(name)
	}
	s.serveContent(w, r, "text/plain; charset=utf-8", crate.IndexFile(lines), found.Changed)
	return nil
}

// serveContent answers with content or, to a client that has it, 304. A time of change is told only once its
// second is over: two changes in one second would else look like one to a client that asks by time.
func (s *Server) serveContent(w http.ResponseWriter, r *http.Request, kind string, content []byte, changed time.Time) {
	header := w.Header()
	header.Set("Content-Type", kind)
	header.Set("ETag", crate.ETag(content))
	header.Set("Cache-Control", s.caching())
	header.Set("X-Content-Type-Options", "nosniff")
	if s.now().Sub(changed) < 2*time.Second {
		changed = time.Time{}
	}
	http.ServeContent(w, r, "", changed, bytes.NewReader(content))
}

// caching lets caches keep what they ask about again each time, and shared ones only what everybody may read.
func (s *Server) caching() string {
	if s.config.AuthRequired {
		return "private, no-cache"
	}
	return "no-cache"
}
