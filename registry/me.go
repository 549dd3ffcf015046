// The page that cargo names to a user who has no token for this registry.

package registry

import (
	"fmt"
	"html"
	"net/http"
)

const mePage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Publishing to this registry</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44em;margin:3em auto;padding:0 1em}pre{background:#8881;padding:1em;overflow-x:auto}</style>
<h1>Publishing to this registry</h1>
<p>This registry takes no passwords and no stored tokens: each request is signed with a key of yours that stays on your machine.
There is nothing to copy from this page.</p>
<ol>
<li>Name the registry in <code>$CARGO_HOME/config.toml</code>:
<pre>[registries.NAME]
index = "%[1]s"</pre></li>
<li>Make a key, if you have none yet:
<pre>regkey init laptop</pre></li>
<li>Ask the operator for an account's one-time code, and enrol the key with it:
<pre>regkey enroll --registry NAME --account ACCOUNT</pre></li>
</ol>
<p>From then on <code>cargo publish --registry NAME</code> and every other command sign by themselves. <code>regkey status</code> shows what is enrolled where.</p>
</html>
`

func (s *Server) me(w http.ResponseWriter, _ *http.Request) error {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = fmt.Fprintf(w, mePage, html.EscapeString(s.index))
	return nil
}
