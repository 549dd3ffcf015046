// Requests of a run.

package faults

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
)

// Server answers the run's requests by handler, in this process and without a network. Where one is
// made to fail, the same request fails again if it is repeated at once, as by a client that does not
// give up so soon.
func (r *Run) Server(handler http.Handler) http.RoundTripper { return &transport{r, handler} }

type transport struct {
	run     *Run
	handler http.Handler
}

// RoundTrip is that of [http.RoundTripper].
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	var body []byte
	if request.Body != nil {
		var err error
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
	}
	if err := request.Context().Err(); err != nil {
		return nil, err
	}
	same := request.Method + " " + request.URL.String() + "\n" + string(body)
	mode, err := t.run.request(same, Call{Network, request.Method, request.URL.Path})
	if err != nil {
		return nil, err
	}
	if mode == CrashBefore {
		return nil, ErrCrashed
	}
	if mode == Error {
		return nil, fmt.Errorf("%w: %w", ErrInjected, syscall.ECONNRESET)
	}
	answer := t.serve(request, body)
	switch mode {
	case CrashAfter, PowerCut:
		return nil, ErrCrashed
	case Timeout:
		return nil, fmt.Errorf("%w: %w", ErrInjected, os.ErrDeadlineExceeded)
	case AnswerLost:
		half, _ := io.ReadAll(answer.Body)
		answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(half[:len(half)/2]), broken{}))
	}
	return answer, nil
}

// serve has the request answered. What the handler reads is a copy, as it would be behind a wire.
func (t *transport) serve(request *http.Request, body []byte) *http.Response {
	arrived := httptest.NewRequestWithContext(request.Context(), request.Method, request.URL.String(), bytes.NewReader(body))
	arrived.Header = request.Header.Clone()
	arrived.RemoteAddr = "127.0.0.1:4711"
	recorder := httptest.NewRecorder()
	t.handler.ServeHTTP(recorder, arrived)
	answer := recorder.Result()
	answer.Request = request
	return answer
}

// request is meet for a request, of which repetitions do not count.
func (r *Run) request(same string, c Call) (Mode, error) {
	r.mu.Lock()
	repeated := !r.dead && r.down == same
	if !repeated {
		r.down = ""
	}
	r.mu.Unlock()
	if repeated {
		return Error, nil
	}
	mode, err := r.meet(c)
	if mode != "" && err == nil {
		r.mu.Lock()
		r.down = same
		r.mu.Unlock()
	}
	return mode, err
}

// broken is where a connection ends.
type broken struct{}

func (broken) Read([]byte) (int, error) {
	return 0, fmt.Errorf("%w: %w", ErrInjected, io.ErrUnexpectedEOF)
}
