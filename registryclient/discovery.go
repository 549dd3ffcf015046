// Discovery: what a registry says of its key API.

package registryclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cargo-regkey/regkey/enroll"
)

// A Discovery is the member "regkey" of a registry's config.json, checked.
type Discovery struct {
	Version   int      `json:"version"`
	Index     string   `json:"index"`     // the same as the user's
	Former    []string `json:"former"`    // index URLs from before a move, if the registry is to be believed
	API       string   `json:"api"`       // without a slash at its end
	Tokens    []string `json:"tokens"`    // "v4.public", "v3.public"
	MaxAge    int      `json:"max-age"`   // seconds that a token is good for
	Bootstrap []string `json:"bootstrap"` // "code", "bearer", "oidc"
	Challenge bool     `json:"challenge"` // every mutation carries a challenge

	Hardware HardwareWanted `json:"hardware"` // of keys that may do more than read

	AuthRequired bool `json:"-"` // reads need a token
}

// HardwareWanted is what a registry asks of keys that may do more than read, to be told before one
// is made. The zero value asks for nothing.
type HardwareWanted struct {
	Required    bool   `json:"required"`     // made in a hardware token, and attested
	Touch       bool   `json:"touch"`        // with the touch policy always or cached
	MinFirmware string `json:"min-firmware"` // of the token, such as "5.7.0"; "": any
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
		return nil, fmt.Errorf("asking %s for its key API: %w, as it is not a sparse index", shown(c.index), ErrNoKeyAPI)
	}
	d, err := c.fetchDiscovery(ctx, base)
	if err != nil {
		return nil, fmt.Errorf("asking %s for its key API: %w", shown(c.index), err)
	}
	c.discovered, c.authorize = d, d.AuthRequired && c.options.Token != nil
	return d, nil
}

func (c *Client) fetchDiscovery(ctx context.Context, base string) (*Discovery, error) {
	origin, err := c.checkBase(base)
	if err != nil {
		return nil, err
	}
	var config struct {
		Regkey       jsontext.Value `json:"regkey"`
		AuthRequired bool           `json:"auth-required"`
	}
	err = c.anonymous().get(ctx, strings.TrimSuffix(base, "/")+"/config.json", &config)
	switch answered(err) {
	case http.StatusUnauthorized, http.StatusForbidden:
		return c.wellKnown(ctx, origin)
	}
	if err != nil {
		return nil, err
	}
	if config.Regkey == nil || config.Regkey.Kind() == 'n' {
		return nil, ErrNoKeyAPI
	}
	d := &Discovery{AuthRequired: config.AuthRequired}
	return d, c.check(config.Regkey, d)
}

// wellKnown is open where config.json is not.
func (c *Client) wellKnown(ctx context.Context, origin *url.URL) (*Discovery, error) {
	var document jsontext.Value
	err := c.anonymous().get(ctx, origin.Scheme+"://"+origin.Host+"/.well-known/regkey.json", &document)
	switch answered(err) {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
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

// answered is the status of the answer that err is about, or 0.
func answered(err error) int {
	var refused *Error
	var status *StatusError
	switch {
	case errors.As(err, &refused):
		return refused.Status
	case errors.As(err, &status):
		return status.Status
	}
	return 0
}

// anonymous is the client without a token: discovery must work before a key is trusted.
func (c *Client) anonymous() *Client {
	plain := *c
	plain.authorize, plain.options.Token = false, nil
	return &plain
}

// maxMaxAge is the largest max-age that is believed, in seconds: a year. What is beyond could
// overflow where it is counted in nanoseconds.
const maxMaxAge = 366 * 24 * 3600

// check reads a regkey member, which comes from somebody whom nothing is known of yet.
func (c *Client) check(document jsontext.Value, d *Discovery) error {
	// The version first: another one may mean other members.
	var speaks struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(document, &speaks); err != nil {
		return fmt.Errorf("its regkey member can't be read: %s", printable(err.Error()))
	}
	if speaks.Version != 1 {
		return fmt.Errorf("it speaks version %d of the key API, and this program version 1", speaks.Version)
	}
	if err := json.Unmarshal(document, d); err != nil {
		return fmt.Errorf("its regkey member can't be read: %s", printable(err.Error()))
	}
	if err := checkFormer(d); err != nil {
		return err
	}
	if d.Index != c.index {
		if !indexForm.MatchString(d.Index) || len(d.Index) > maxURL {
			return fmt.Errorf("what it calls its index is no index URL: %.200q", d.Index)
		}
		return &IndexError{Want: c.index, Said: d.Index, Moved: slices.Contains(d.Former, c.index)}
	}
	if d.MaxAge < 0 || d.MaxAge > maxMaxAge {
		return fmt.Errorf("the max-age of its tokens, %d seconds, is none that a registry has", d.MaxAge)
	}
	d.Hardware.MinFirmware = printable(d.Hardware.MinFirmware)
	d.API = strings.TrimSuffix(d.API, "/")
	return c.checkAPI(d.API)
}

// maxFormer is how many moves a registry is believed.
const maxFormer = 100

// checkFormer refuses former index URLs that no document can name. The present one is not among the former, though a registry
// that has moved back may list it.
func checkFormer(d *Discovery) error {
	if len(d.Former) > maxFormer {
		return fmt.Errorf("it lists %d former index URLs: more than a registry has moved", len(d.Former))
	}
	for _, former := range d.Former {
		if enroll.CheckIndex(former) != nil {
			return fmt.Errorf("what it lists as a former index is no index URL: %.200q", former)
		}
	}
	d.Former = slices.DeleteFunc(d.Former, func(former string) bool { return former == d.Index })
	return nil
}

// indexForm is what an index URL that may be shown to the user, as one to type, is made of: nothing
// that a shell reads as more than text.
var indexForm = regexp.MustCompile(`^sparse\+https?://[A-Za-z0-9._\[\]:-]+(/[A-Za-z0-9._~%+:/-]*)?$`)

// checkAPI keeps a registry from leading its users to where it could not speak itself: to a service
// on their own machine, or out of TLS.
func (c *Client) checkAPI(text string) error {
	api, err := c.checkBase(text)
	if err != nil {
		return fmt.Errorf("checking the address of its key API: %w", err)
	}
	index, err := url.Parse(strings.TrimPrefix(c.index, "sparse+"))
	if err != nil {
		return errors.New("its address is not a URL to speak to")
	}
	switch {
	case index.Scheme == "https" && api.Scheme != "https":
		return fmt.Errorf("its index is on https and its key API, %s, is not: %w", api.Host, ErrPlainHTTP)
	case loopback(api.Hostname()) && !loopback(index.Hostname()):
		return fmt.Errorf("its index is not on this machine and its key API, %s, would be", api.Host)
	}
	return nil
}

// An IndexError says that a registry calls itself by another index URL than the user does.
// Tokens and keysets name the index, so none made for one is good at the other.
type IndexError struct {
	Want, Said string
	// Moved says that the registry lists Want among its former index URLs. Whoever answers at the old address can say so: the
	// new one is the user's to confirm.
	Moved bool
}

// Error shows both URLs.
func (e *IndexError) Error() string { return e.distrust().Error() }

// Unwrap makes it an [enroll.DistrustError]: whoever is enrolled there has verified the other URL.
func (e *IndexError) Unwrap() error { return e.distrust() }

func (e *IndexError) distrust() *enroll.DistrustError {
	detail := "it calls its index otherwise"
	if e.Moved {
		detail = "it says that it has moved"
	}
	return &enroll.DistrustError{Registry: e.Want, Detail: detail, Expected: "the index " + e.Want, Came: e.Said}
}
