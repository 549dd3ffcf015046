// Index URLs as cargo compares and spells them.

package cargo

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// spellIndex returns an index URL as cargo 1.95 gives it to a credential provider: scheme in lower
// case, dot segments resolved; for http and https (a git index) the host in lower case
// and the default port left out as well. The rest, such as case in the host of a sparse index, stays.
func spellIndex(index string) (string, error) {
	u, err := url.Parse(index)
	if err != nil {
		return "", errors.New("not a URL") // the library's error quotes it whole, password and all
	}
	switch {
	case u.Scheme == "":
		return "", errors.New("not a URL with a scheme")
	case u.User != nil:
		if _, set := u.User.Password(); set {
			return "", errors.New("a URL with a password in it")
		}
	}
	sparse := strings.HasPrefix(u.Scheme, "sparse+")
	if sparse && !strings.HasSuffix(u.Path, "/") {
		return "", errors.New("a sparse index URL must end in a slash")
	}
	if u.Opaque != "" || u.Host == "" {
		return index, nil
	}
	u = u.ResolveReference(&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, ForceQuery: u.ForceQuery, Fragment: u.Fragment})
	if !sparse {
		u.Host = strings.ToLower(u.Host)
		u.Host = strings.TrimSuffix(u.Host, map[string]string{"http": ":80", "https": ":443"}[u.Scheme])
		if u.Path == "" {
			u.Path = "/"
		}
	}
	return u.String(), nil
}

// sameIndex says whether cargo takes two index URLs for one registry: spelt alike, but for a slash
// at the end. What is no URL equals itself alone.
func sameIndex(a, b string) bool {
	return a == b || canonicalIndex(a) == canonicalIndex(b)
}

func canonicalIndex(index string) string {
	withSlash := strings.TrimRight(index, "/") + "/"
	if spelt, err := spellIndex(withSlash); err == nil {
		return strings.TrimRight(spelt, "/")
	}
	return index
}

// showIndex is an index URL as a message may show it: a password masked, nothing that moves a
// terminal's cursor. It may come from somebody else's checkout.
func showIndex(index string) string {
	u, err := url.Parse(index)
	if err != nil || u.Scheme == "" {
		return "(not a URL)" // a password in it would not be found
	}
	return strings.Trim(strconv.QuoteToGraphic(u.Redacted()), `"`)
}
