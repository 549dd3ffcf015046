// What one key has published: the question after it was stolen.

package registry

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/storage"
)

const publishedBatch = 1000 // versions in one answer, each of some 300 bytes

// publishedVersion is one version in the answer of GET …/keys/{id}/published.
type publishedVersion struct {
	Name     string `json:"name"`
	Version  string `json:"vers"`
	Checksum string `json:"cksum"`
	At       string `json:"at"`
	Yanked   bool   `json:"yanked"`
	Deleted  bool   `json:"deleted,omitzero"` // by the operator
}

// servePublished lists what a key has published, oldest first, in batches: from the time "since" on, without the first "skip".
func (s *Server) servePublished(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	var since time.Time
	var skip int
	var err error
	if text := query.Get("since"); text != "" {
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			return refuse(http.StatusBadRequest, "request-invalid", "the parameter since is not a time: give one as in 2026-11-22T12:00:00Z, or leave it out")
		}
	}
	if text := query.Get("skip"); text != "" {
		if skip, err = strconv.Atoi(text); err != nil || skip < 0 {
			return refuse(http.StatusBadRequest, "request-invalid", "the parameter skip is not a number of versions: give one from 0 on, or leave it out")
		}
	}
	id, err := keys.ParseID(r.PathValue("key"))
	if err != nil {
		return keyUnknown()
	}
	if _, err := s.storage.Key(r.Context(), id.String()); errors.Is(err, storage.ErrNotFound) {
		return keyUnknown()
	} else if err != nil {
		return err
	}
	found, err := s.storage.PublishedBy(r.Context(), id.String(), since, skip, publishedBatch+1)
	if err != nil {
		return err
	}
	more := len(found) > publishedBatch
	published := make([]publishedVersion, 0, len(found))
	for _, v := range found[:min(len(found), publishedBatch)] {
		published = append(published, publishedVersion{
			Name: v.Name, Version: v.Version, Checksum: v.Checksum, At: v.Published.Format(time.RFC3339), Yanked: v.Yanked, Deleted: !v.Deleted.IsZero(),
		})
	}
	return answer(w, http.StatusOK, struct {
		Published []publishedVersion `json:"published"`
		More      bool               `json:"more"`
	}{published, more})
}
