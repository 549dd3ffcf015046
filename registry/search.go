// Search: cargo search.

package registry

import (
	"net/http"
	"strconv"
	"strings"
)

// The number of crates in an answer: what cargo asks for by default, and the most that it may (The Cargo Book,
// "Registry Web API", Search).
const (
	searchDefault = 10
	searchMost    = 100
	searchWords   = 200 // bytes of a query that are looked at
	searchSummary = 500 // characters of a description that are kept
)

// summary is what search keeps of a description, in one line: a manifest has room for 1 MiB, and an answer for 100 of them. It holds
// nothing that steers a terminal.
func summary(description string) string {
	line := strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return ' '
	}, description)
	line = strings.Join(strings.Fields(line), " ")
	characters := 0
	for i := range line {
		if characters == searchSummary {
			return line[:i] + "…"
		}
		characters++
	}
	return line
}

func (s *Server) search(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	limit := searchDefault
	if text := query.Get("per_page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return refuse(http.StatusBadRequest, "request-invalid", "the parameter per_page is not a number: give one from 1 to %d", searchMost)
		}
		limit = min(n, searchMost)
	}
	words := query.Get("q")
	if len(words) > searchWords {
		words = words[:searchWords]
	}
	found, total, err := s.storage.Search(r.Context(), words, limit)
	if err != nil {
		return err
	}
	type entry struct {
		Name        string `json:"name"`
		Version     string `json:"max_version"`
		Description string `json:"description"`
	}
	entries := make([]entry, 0, len(found))
	for _, c := range found {
		entries = append(entries, entry{c.Name, c.Newest, c.Description})
	}
	return answer(w, http.StatusOK, map[string]any{"crates": entries, "meta": map[string]int{"total": total}})
}
