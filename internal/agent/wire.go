// The lines that go over the wire, and their limits.

package agent

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Version is the wire's.
const Version = 1

// MaxLine bounds a request and an answer, in bytes, its line break included.
const MaxLine = 64 << 10

// The kinds of requests.
const (
	AskToken   = "token"
	AskAdd     = "add"
	AskRelease = "release"
	AskLock    = "lock"
	AskStatus  = "status"
	AskStop    = "stop"
)

// The kinds of answers.
const (
	SayWait    = "wait"
	SayTouch   = "touch"
	SayTouched = "touched"
	SayToken   = "token"
	SayLocked  = "locked"
	SayRefused = "refused"
	SayDenied  = "denied"
	SayStatus  = "status"
	SayDone    = "done"
)

// A TokenRequest is what a token is asked for, in the words of cargo's credential-provider protocol.
// What does not belong to the operation is "".
type TokenRequest struct {
	Index     string `json:"index,omitzero"` // the index URL, exactly as cargo gives it
	Operation string `json:"operation,omitzero"`
	Name      string `json:"name,omitzero"`
	Version   string `json:"vers,omitzero"`
	Checksum  string `json:"cksum,omitzero"`
	Challenge string `json:"challenge,omitzero"`
}

// A Request is one line to the agent.
type Request struct {
	V            int    `json:"v"`
	Kind         string `json:"request"`
	TokenRequest `json:",inline"`
	Key          string `json:"key,omitzero"`
	Serial       uint32 `json:"serial,omitzero"`
	// Secret is wiped by whoever has made or read the request, when it is done. It is base64 in JSON.
	Secret []byte `json:"secret,omitzero"`
}

// An Answer is one line from the agent.
type Answer struct {
	Kind   string  `json:"answer"`
	Key    string  `json:"key,omitzero"`
	Serial uint32  `json:"serial,omitzero"`
	Token  string  `json:"token,omitzero"`
	Detail string  `json:"detail,omitzero"`
	Status *Status `json:"status,omitzero"`
}

// A Status is what an agent tells of itself. Nothing in it is secret.
type Status struct {
	PID      int         `json:"pid"`
	Since    time.Time   `json:"since"`
	TTL      string      `json:"ttl"` // a Go duration: how long after its last use something is kept
	Max      string      `json:"max"` // how long after it was added, at most
	Confirm  bool        `json:"confirm"`
	Hardware bool        `json:"hardware"` // whether this agent can reach tokens
	Keys     []HeldKey   `json:"keys"`
	Tokens   []HeldToken `json:"tokens"`
	// Weakness is why the system may write what is kept to swap; "" if it may not.
	Weakness string `json:"weakness,omitzero"`
}

// A HeldKey is a software key that is unlocked.
type HeldKey struct {
	Name  string    `json:"name"`
	ID    string    `json:"id"`
	Idle  time.Time `json:"idle-until"` // when it is dropped if it is not used before
	Until time.Time `json:"until"`      // when it is dropped at the latest
}

// A HeldToken is a hardware token whose PIN is kept, or that the agent has open.
type HeldToken struct {
	Serial uint32    `json:"serial"`
	Open   bool      `json:"open"`                // the agent has the card; others wait
	Idle   time.Time `json:"idle-until,omitzero"` // when the PIN is dropped if it is not used before; zero: none is kept
	Until  time.Time `json:"until,omitzero"`
}

// ParseRequest reads a request line, without or with its line break. It checks its form and which
// members belong to which request, not whether a token may be made of it. The error
// says what is wrong, and repeats nothing of the line: it may hold a secret.
func ParseRequest(line []byte) (*Request, error) {
	if len(line) > MaxLine {
		return nil, fmt.Errorf("parsing request: it is longer than %d bytes", MaxLine)
	}
	r := &Request{}
	err := json.Unmarshal(line, r, json.RejectUnknownMembers(true))
	if err == nil {
		err = r.check()
	} else {
		err = errors.New("it is not a JSON object of the members that a request has")
	}
	if err != nil {
		clear(r.Secret)
		return nil, fmt.Errorf("parsing request: %w", err)
	}
	return r, nil
}

// maxText bounds each text of a token request, in bytes: none is near it, and a token has to fit
// into 8 KiB.
const maxText = 4 << 10

func (r *Request) check() error {
	if r.V != Version {
		return fmt.Errorf("it is of version %d, and this agent speaks version %d: stop it with \"regkey agent stop\", and the next one will do", r.V, Version)
	}
	noToken := r.TokenRequest == (TokenRequest{})
	noSecret := r.Key == "" && r.Serial == 0 && r.Secret == nil
	switch r.Kind {
	case AskToken:
		if !noSecret {
			return errors.New("a request for a token comes with a secret")
		}
		return r.TokenRequest.check()
	case AskAdd:
		if !noToken || (r.Key == "") == (r.Serial == 0) || len(r.Secret) == 0 || len(r.Secret) > maxText {
			return errors.New("what is added is one secret, of a key or of a token")
		}
		return nil
	case AskRelease, AskLock, AskStatus, AskStop:
		if !noToken || !noSecret {
			return fmt.Errorf("%s comes with more than its name", r.Kind)
		}
		return nil
	}
	return errors.New("its kind is unknown")
}

func (r *TokenRequest) check() error {
	if r.Index == "" || r.Operation == "" {
		return errors.New("a request for a token has neither an index nor an operation, or only one of them")
	}
	for _, text := range []string{r.Index, r.Operation, r.Name, r.Version, r.Checksum, r.Challenge} {
		if len(text) > maxText {
			return fmt.Errorf("a text is longer than %d bytes", maxText)
		}
		if !isPlain(text) {
			return errors.New("a text holds control characters")
		}
	}
	return nil
}

// isPlain refuses what can steer a terminal, or break a line that a person reads.
func isPlain(text string) bool {
	for _, c := range text {
		if c < ' ' || 0x7f <= c && c < 0xa0 {
			return false
		}
	}
	return true
}

// ParseAnswer reads an answer line, without or with its line break.
func ParseAnswer(line []byte) (*Answer, error) {
	if len(line) > MaxLine {
		return nil, fmt.Errorf("parsing answer: it is longer than %d bytes", MaxLine)
	}
	a := &Answer{}
	if err := json.Unmarshal(line, a, json.RejectUnknownMembers(true)); err != nil {
		return nil, errors.New("parsing answer: it is not a JSON object of the members that an answer has")
	}
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("parsing answer: %w", err)
	}
	return a, nil
}

func (a *Answer) check() error {
	bare := *a
	bare.Kind = ""
	switch a.Kind {
	case SayTouch:
		bare.Serial = 0
	case SayLocked:
		if (a.Key == "") == (a.Serial == 0) {
			return errors.New("it does not say what is locked")
		}
		bare.Key, bare.Serial = "", 0
	case SayToken:
		if a.Token == "" || !isPlain(a.Token) {
			return errors.New("there is no token in it")
		}
		bare.Token = ""
	case SayRefused, SayDenied:
		if a.Detail == "" || !isPlain(a.Detail) {
			return errors.New("it does not say why")
		}
		bare.Detail = ""
	case SayStatus:
		if a.Status == nil {
			return errors.New("there is no status in it")
		}
		bare.Status = nil
	case SayDone, SayTouched, SayWait:
	default:
		return errors.New("its kind is unknown")
	}
	if bare != (Answer{}) {
		return fmt.Errorf("%s comes with more than belongs to it", a.Kind)
	}
	return nil
}

// Line is the request as it is sent. It holds the secret: who gets it wipes it.
func (r *Request) Line() ([]byte, error) { return line(r) }

// Line is the answer as it is sent.
func (a *Answer) Line() ([]byte, error) { return line(a) }

// line encodes into a buffer of its own: one that the library shares would keep a secret.
func line(value any) ([]byte, error) {
	buffer := bytes.NewBuffer(make([]byte, 0, 1<<10))
	if err := json.MarshalWrite(buffer, value); err != nil {
		clear(buffer.Bytes())
		return nil, fmt.Errorf("encoding a line for the agent: %w", err)
	}
	buffer.WriteByte('\n')
	if buffer.Len() > MaxLine {
		clear(buffer.Bytes())
		return nil, fmt.Errorf("encoding a line for the agent: it is longer than %d bytes", MaxLine)
	}
	return buffer.Bytes(), nil
}
