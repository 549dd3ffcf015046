// Package registryclient speaks to a registry's key API over HTTP: it discovers it, submits
// documents and fetches them. It carries bytes and knows no meaning; what a registry answers is
// verified by package enroll.
//
// It speaks https, and plain http only to this machine itself unless the user says otherwise. It
// follows no redirect to another origin. Every answer is limited in size and time, and with a
// [Patience] all of them together. A request is repeated, at most twice, only where sending it
// again can't do more than sending it once: all requests here are of that kind, as a registry takes
// the same document twice as one.
//
// Proxies are those of the environment, HTTPS_PROXY, HTTP_PROXY and NO_PROXY, by the rules of
// [http.ProxyFromEnvironment]: a proxy sees which host an https request goes to and no more, and
// nothing for this machine itself is ever sent to one.
package registryclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of one request.
const (
	timeout   = 30 * time.Second
	maxAnswer = 1 << 20  // bytes of an answer, unpacked
	maxBatch  = 16 << 20 // the same of one that holds documents: 100 keysets at 64 KiB, and some
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
	// Patience bounds how long the registry is waited for in all; nil: each request alone is bounded. What Token takes
	// is not counted: it may ask a person.
	Patience *Patience
	// Transport carries the requests instead of the network, and Wait passes the time between two
	// tries. Both are for tests; nil is as it says above.
	Transport http.RoundTripper
	Wait      func(ctx context.Context, d time.Duration) error
}

// A Client speaks to one registry. It is not for use by several goroutines at once.
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
	if o.Transport == nil {
		o.Transport = transport
	}
	if o.Wait == nil {
		o.Wait = sleep
	}
	c := &Client{index: index, options: o, wait: o.Wait}
	c.http = &http.Client{Transport: o.Transport, Timeout: timeout, CheckRedirect: c.checkRedirect}
	return c
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

// get fetches url and decodes its JSON into answer.
func (c *Client) get(ctx context.Context, url string, answer any) error {
	return c.do(ctx, http.MethodGet, url, nil, answer)
}

// getBatch is get for an answer that may be large.
func (c *Client) getBatch(ctx context.Context, url string, answer any) error {
	return c.send(ctx, &call{method: http.MethodGet, url: url, answer: answer, limit: maxBatch})
}

// do sends a request that is safe to repeat, repeats it where that may help, and decodes the answer.
func (c *Client) do(ctx context.Context, method, url string, body, answer any) error {
	request := &call{method: method, url: url, answer: answer, limit: maxAnswer}
	if body != nil {
		var err error
		if request.body, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encoding request: %w", err)
		}
	}
	return c.send(ctx, request)
}

// A call is one request and where its answer goes. A nil answer is still checked to be JSON: a page
// that something else put in the registry's place must not pass for its yes.
type call struct {
	method, url string
	body        []byte
	answer      any
	limit       int64 // bytes of the answer
}

func (c *Client) send(ctx context.Context, request *call) error {
	if err := c.checkURL(request.url); err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := c.once(ctx, request)
		delay, again := c.retry(err, try)
		if !again {
			return err
		}
		pause := func(ctx context.Context) error { return c.wait(ctx, delay) }
		if stopped := c.options.Patience.while(ctx, request.url, pause); stopped != nil {
			return fmt.Errorf("waiting to try again, as %v: %w", err, stopped)
		}
	}
}

// retry says whether, and after how long, a request that ended in err is sent again. A registry
// that asks for a token is asked again with one, at once.
func (c *Client) retry(err error, try int) (time.Duration, bool) {
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusUnauthorized && !c.authorize && c.options.Token != nil && try < maxTries {
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

// once makes the read token that the registry wants, if it does, and sends the request.
func (c *Client) once(ctx context.Context, request *call) error {
	token := ""
	if c.authorize {
		var err error
		if token, err = c.options.Token(ctx); err != nil {
			return fmt.Errorf("making a read token: %w", err)
		}
	}
	return c.options.Patience.while(ctx, request.url, func(ctx context.Context) error { return c.exchange(ctx, request, token) })
}

func (c *Client) exchange(ctx context.Context, request *call, token string) error {
	response, err := c.ask(ctx, request, token)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode < 200 {
		// 101 hands over the bare connection, whose reading neither ctx nor the timeout would end.
		return answerError(request.url, response, nil)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, request.limit+1))
	if err != nil {
		return &NetworkError{URL: request.url, err: err}
	}
	if int64(len(data)) > request.limit {
		return fmt.Errorf("reading answer from %s: %w", request.url,
			c.stray("the registry answers without end", fmt.Sprintf("an answer of at most %d bytes", request.limit), "more"))
	}
	// Every answer of the protocol is 200 or 201. Another success, such as 202 or 204, is not the
	// registry's yes.
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated {
		return answerError(request.url, response, data)
	}
	answer := request.answer
	if answer == nil {
		answer = &struct{}{}
	}
	if kind := jsontext.Value(data).Kind(); kind != '{' {
		return fmt.Errorf("reading answer from %s: not the JSON object that was asked for", request.url)
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("reading answer from %s: not the JSON that was asked for: %s", request.url, printable(err.Error()))
	}
	return nil
}

// ask sends one request, with the token if there is one.
func (c *Client) ask(ctx context.Context, r *call, token string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	if c.options.UserAgent != "" {
		request.Header.Set("User-Agent", c.options.UserAgent)
	}
	if r.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, &NetworkError{URL: r.url, err: err}
	}
	return response, nil
}
