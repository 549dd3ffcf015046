// A registry that answers every request just in time: it is not waited for without end.

package registryclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slow answers whatever is asked after a pause, honestly in form; with more to follow.
type slow struct {
	pause    time.Duration
	requests int
}

func (s *slow) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests++
	select {
	case <-time.After(s.pause):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	body := `{"notes":["x"],"more":true}`
	if strings.HasSuffix(r.URL.Path, "/config.json") {
		body = `{"regkey":` + member(https) + `}`
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// drip asks until something fails, and says how long that took.
func drip(t *testing.T, c *Client, ctx context.Context) (time.Duration, error) {
	t.Helper()
	begun := time.Now()
	for from := 1; from < 1000; from++ {
		if _, _, err := c.Keysets(ctx, "team", from); err != nil {
			return time.Since(begun), err
		}
	}
	t.Fatal("a thousand slow answers are waited for")
	return 0, nil
}

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 3 * time.Minute
		patience := NewPatience(limit)
		registry := &slow{pause: 25 * time.Second}
		open := func() *Client {
			return New(https, Options{Transport: registry, Patience: patience})
		}
		took, err := drip(t, open(), t.Context())
		if took != limit || !errors.As(err, new(*NetworkError)) || !strings.Contains(err.Error(), "within 3m0s in all") {
			t.Errorf("after %v and %d requests: %v", took, registry.requests, err)
		}
		// Another client of the same command has none left either, and asks nothing.
		asked := registry.requests
		if took, err := drip(t, open(), t.Context()); took != 0 || err == nil || registry.requests != asked {
			t.Errorf("again: after %v and %d requests more: %v", took, registry.requests-asked, err)
		}
		// A person was asked: that begins it anew.
		patience.Renew()
		if took, err := drip(t, open(), t.Context()); took != limit || err == nil {
			t.Errorf("anew: after %v: %v", took, err)
		}
	})
}

// What is done while nobody waits for the registry does not count, and Ctrl-C ends a request at once.
func TestPatienceOfPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := &slow{pause: time.Second}
		c := New(https, Options{
			Transport: registry, Patience: NewPatience(time.Minute),
		})
		for range 20 {
			if _, _, err := c.Keysets(t.Context(), "team", 1); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Hour)
		}
		registry.pause = 20 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		if took, err := drip(t, c, ctx); took != 5*time.Second || !errors.Is(err, context.Canceled) {
			t.Errorf("after %v: %v", took, err)
		}
	})
}
