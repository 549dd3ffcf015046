// Discovery: what a registry says of its key API.

package registryclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Discovery is the member "regkey" of a registry's config.json, checked.
type Discovery struct {
	Version   int      `json:"version"`
	Index     string   `json:"index"`     // the same as the user's
	Former    []string `json:"former"`    // index URLs from before a move
	API       string   `json:"api"`       // without a slash at its end
	Tokens    []string `json:"tokens"`    // "v4.public", "v3.public"
	MaxAge    int      `json:"max-age"`   // seconds that a token is good for
	Bootstrap []string `json:"bootstrap"` // "code", "bearer", "oidc"
	Challenge bool     `json:"challenge"` // every mutation carries a challenge

	AuthRequired bool `json:"-"` // reads need a token
}

// ErrNoKeyAPI says that the registry has no regkey API: its keys, if it knows any, are managed
// on its website.
var ErrNoKeyAPI = errors.New("the registry has no key API")

// Discover fetches config.json, and where that needs a token already, /.well-known/regkey.json
// of the same origin. A document that names another index than the user's is an error, before
// anything is signed. The result is kept for the client's further calls.
func (c *Client) Discover(ctx context.Context) (*Discovery, error) {
	if c.discovered != nil {
		return c.discovered, nil
	}
	base, sparse := strings.CutPrefix(c.index, "sparse+")
	if !sparse {
		return nil, fmt.Errorf("asking %s for its key API: %w, as it is not a sparse index", c.index, ErrNoKeyAPI)
	}
	d, err := c.fetchDiscovery(ctx, base)
	if err != nil {
		return nil, fmt.Errorf("asking %s for its key API: %w", c.index, err)
	}
	c.discovered, c.authorize = d, d.AuthRequired && c.options.Token != nil
	return d, nil
}

func (c *Client) fetchDiscovery(ctx context.Context, base string) (*Discovery, error) {
	var config struct {
		Regkey       jsontext.Value `json:"regkey"`
		AuthRequired bool           `json:"auth-required"`
	}
	config.AuthRequired = false
	err := c.anonymous().get(ctx, strings.TrimSuffix(base, "/")+"/config.json", &config)
	var refused *Error
	var status *StatusError
	switch {
	case errors.As(err, &status) && status.Status == http.StatusUnauthorized,
		errors.As(err, &refused) && refused.Status == http.StatusForbidden:
		return c.wellKnown(ctx, base)
	case err != nil:
		return nil, err
	case config.Regkey == nil:
		return nil, ErrNoKeyAPI
	}
	d := &Discovery{AuthRequired: config.AuthRequired}
	return d, c.check(config.Regkey, d)
}

// wellKnown is open where config.json is not.
func (c *Client) wellKnown(ctx context.Context, base string) (*Discovery, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	var document jsontext.Value
	err = c.anonymous().get(ctx, u.Scheme+"://"+u.Host+"/.well-known/regkey.json", &document)
	var refused *Error
	var status *StatusError
	if errors.As(err, &refused) || errors.As(err, &status) && status.Status/100 == 4 {
		return nil, ErrNoKeyAPI
	}
	if err != nil {
		return nil, err
	}
	// Either the member itself or an object that holds it, as in config.json.
	var wrapped struct {
		Regkey jsontext.Value `json:"regkey"`
	}
	if json.Unmarshal(document, &wrapped) == nil && wrapped.Regkey != nil {
		document = wrapped.Regkey
	}
	d := &Discovery{AuthRequired: true}
	return d, c.check(document, d)
}

// anonymous is the client without a token: discovery must work before a key is trusted.
func (c *Client) anonymous() *Client {
	plain := *c
	plain.authorize, plain.options.Token = false, nil
	return &plain
}

func (c *Client) check(document jsontext.Value, d *Discovery) error {
	if err := json.Unmarshal(document, d); err != nil {
		return fmt.Errorf("its regkey member can't be read: %w", err)
	}
	if d.Version != 1 {
		return fmt.Errorf("it speaks version %d of the key API, and this program version 1", d.Version)
	}
	if d.Index != c.index {
		return &IndexError{Want: c.index, Said: printable(d.Index)}
	}
	d.API = strings.TrimSuffix(d.API, "/")
	return c.checkURL(d.API)
}

// An IndexError says that a registry calls itself by another index URL than the user does.
// Tokens and keysets name the index, so none made for one is good at the other.
type IndexError struct{ Want, Said string }

// Error shows both URLs.
func (e *IndexError) Error() string {
	return fmt.Sprintf("it calls its index %s, and the user calls it %s", e.Said, e.Want)
}
