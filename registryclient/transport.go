// Whom a client speaks to: which URLs, through which connections, along which redirects.

package registryclient

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// transport is shared by all clients, so that they share connections. It is not
// [http.DefaultTransport], which takes 10 MB of headers and which any package may replace.
var transport http.RoundTripper = &http.Transport{
	Proxy:                  http.ProxyFromEnvironment,
	DialContext:            (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
	ForceAttemptHTTP2:      true,
	TLSHandshakeTimeout:    15 * time.Second,
	IdleConnTimeout:        time.Minute,
	MaxResponseHeaderBytes: 64 << 10,
}

// errRedirect is what a redirect that leads astray ends in.
var errRedirect = errors.New("not followed")

func (c *Client) checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) > 3:
		return fmt.Errorf("it redirects in circles: %w", errRedirect)
	case next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host || next.URL.User != nil:
		return c.stray("the registry redirects to another origin, which is not followed",
			"an answer of "+first.URL.Scheme+"://"+first.URL.Host, fmt.Sprintf("a redirect to %.200q", next.URL.Scheme+"://"+next.URL.Host))
	case next.Method != first.Method:
		// 301, 302 and 303 make a GET of a POST: the page's 200 would pass for the document's acceptance.
		return fmt.Errorf("it redirects a document to a page: %w", errRedirect)
	}
	return nil
}

// ErrPlainHTTP says that a URL would send in clear text over a network.
var ErrPlainHTTP = errors.New("plain http to another machine")

// maxURL is the length in bytes of the longest URL that a client speaks to or shows.
const maxURL = 2000

// checkURL allows https, and http where nobody else is on the path or the user allows it. The error
// does not show a URL that may hold a password.
func (c *Client) checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL || u.Opaque != "" || u.Hostname() == "" || strings.ContainsFunc(text, notInURL) {
		return errors.New("its address is not a URL to speak to")
	}
	switch {
	case u.User != nil:
		return errors.New("a URL with a user name or password is not spoken to")
	case u.Scheme == "https", u.Scheme == "http" && (c.options.InsecureHTTP || loopback(u.Hostname())):
		return nil
	case u.Scheme == "http":
		return fmt.Errorf("speaking to %s: %w", u.Host, ErrPlainHTTP)
	}
	return fmt.Errorf("not an https URL: %.200q", text)
}

// notInURL is what never stands in a URL as it is sent (RFC 3986, section 2). A backslash is a
// slash to some programs.
func notInURL(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"\\<>`{}|^", r) }

// checkBase is checkURL for a URL that paths are put behind.
func (c *Client) checkBase(text string) (*url.URL, error) {
	if err := c.checkURL(text); err != nil {
		return nil, err
	}
	if strings.ContainsAny(text, "?#") {
		return nil, fmt.Errorf("a URL with a query or fragment has nothing below it: %.200q", text)
	}
	return url.Parse(text)
}

// loopback reports whether host names this machine: localhost, or an address of 127.0.0.0/8 or
// ::1. A name below localhost is not one: it is looked up like any other, and may be anybody's.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// shown is an index URL as an error may show it: without a user name and password.
func shown(index string) string {
	rest, sparse := strings.CutPrefix(index, "sparse+")
	u, err := url.Parse(rest)
	if err != nil {
		return "the registry"
	}
	u.User = nil
	if sparse {
		return "sparse+" + u.String()
	}
	return u.String()
}
