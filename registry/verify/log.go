// What of a request goes to the log.

package verify

import (
	"net/http"
	"unicode/utf8"
)

// maxLoggedPath is how many bytes of a path are logged: anybody can send a long one, a hundred times a second.
const maxLoggedPath = 200

// LoggedPath is the path of a request, for a log: without the query, and at most 200 bytes of it, with a mark where it was cut.
func LoggedPath(r *http.Request) string {
	path := r.URL.Path
	if len(path) <= maxLoggedPath {
		return path
	}
	end := maxLoggedPath
	for end > 1 && !utf8.RuneStart(path[end]) {
		end--
	}
	return path[:end] + "…"
}
