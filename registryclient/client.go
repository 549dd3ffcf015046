// Package registryclient speaks to a registry's key API over HTTP: it discovers it, submits
// documents and fetches them. It carries bytes and knows no meaning; what a registry answers is
// verified by package enroll.
//
// It speaks https, and plain http only to this machine itself unless the user says otherwise. It
// follows no redirect to another origin. Every answer is limited in size and time. A request is
// repeated, at most twice, only where sending it again can't do more than sending it once: all
// requests here are of that kind, as a registry takes the same document twice as one.
package registryclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Limits of one request.
const (
	timeout   = 30 * time.Second
	maxAnswer = 16 << 20 // a batch of 100 keysets at 64 KiB, and some
	maxTries  = 3
	maxWait   = 10 * time.Second // the longest Retry-After that is waited for
)

// Options are what a caller may set.
type Options struct {
	// InsecureHTTP allows plain http to other machines.
	InsecureHTTP bool
	// UserAgent is sent with every request.
	UserAgent string
	// Token makes a read token. It is asked only where the registry wants one.
	Token func(ctx context.Context) (string, error)
}

// A Client speaks to one registry.
type Client struct {
	index   string // as cargo writes it
	options Options
	http    *http.Client
	wait    func(ctx context.Context, d time.Duration) error

	discovered *Discovery
	authorize  bool // the registry has asked for a token
}

// New is a client for the registry with that index URL, exactly as cargo writes it. Nothing is
// sent yet.
func New(index string, o Options) *Client {
	return &Client{
		index: index, options: o,
		http: &http.Client{Timeout: timeout, CheckRedirect: sameOrigin},
		wait: sleep,
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errRedirect is what a redirect to elsewhere ends in.
var errRedirect = errors.New("the registry redirects to another origin, which is not followed")

func sameOrigin(next *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return errors.New("the registry redirects in circles")
	}
	if next.URL.Scheme != via[0].URL.Scheme || next.URL.Host != via[0].URL.Host {
		return errRedirect
	}
	return nil
}

// ErrPlainHTTP says that a URL would send in clear text over a network.
var ErrPlainHTTP = errors.New("plain http to another machine")

// checkURL allows https, and http where nobody else is on the path or the user allows it.
func (c *Client) checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("not a URL to speak to: %.200q", text)
	}
	if u.Scheme == "https" || u.Scheme == "http" && (c.options.InsecureHTTP || Loopback(u.Hostname())) {
		return nil
	}
	if u.Scheme == "http" {
		return fmt.Errorf("speaking to %s: %w", u.Host, ErrPlainHTTP)
	}
	return fmt.Errorf("not an https URL: %.200q", text)
}

// Loopback reports whether host names this machine: localhost, or an address of 127.0.0.0/8 or ::1.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// get fetches url and decodes its JSON into answer.
func (c *Client) get(ctx context.Context, url string, answer any) error {
	return c.do(ctx, http.MethodGet, url, nil, answer)
}

// do sends a request that is safe to repeat, repeats it where that may help, and decodes the answer.
func (c *Client) do(ctx context.Context, method, url string, body, answer any) error {
	if err := c.checkURL(url); err != nil {
		return err
	}
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encoding request: %w", err)
		}
	}
	for try := 1; ; try++ {
		err := c.once(ctx, method, url, data, answer)
		delay, again := c.retry(err, try)
		if !again {
			return err
		}
		if err := c.wait(ctx, delay); err != nil {
			return err
		}
	}
}

// retry says whether, and after how long, a request that ended in err is sent again. A registry
// that asks for a token is asked again with one, at once.
func (c *Client) retry(err error, try int) (time.Duration, bool) {
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusUnauthorized && !c.authorize && c.options.Token != nil {
		c.authorize = true
		return 0, true
	}
	if err == nil || try == maxTries {
		return 0, false
	}
	if errors.As(err, &status) {
		switch status.Status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return status.RetryAfter, status.RetryAfter <= maxWait
		}
		return 0, false
	}
	var network *NetworkError
	return time.Duration(try) * 300 * time.Millisecond, errors.As(err, &network) && network.passing()
}

func (c *Client) once(ctx context.Context, method, url string, body []byte, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("making request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	if c.options.UserAgent != "" {
		request.Header.Set("User-Agent", c.options.UserAgent)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.authorize {
		token, err := c.options.Token(ctx)
		if err != nil {
			return fmt.Errorf("making a read token: %w", err)
		}
		request.Header.Set("Authorization", token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return &NetworkError{URL: url, err: err}
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return &NetworkError{URL: url, err: err}
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("reading answer from %s: larger than %d bytes", url, maxAnswer)
	}
	if response.StatusCode/100 != 2 {
		return answerError(url, response, data)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("reading answer from %s: not the JSON that was asked for: %w", url, err)
	}
	return nil
}
