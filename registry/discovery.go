// What clients fetch first: config.json of the index, and regkey's part of it in the open.

package registry

import (
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/keys"
)

// discovery is the "regkey" member of config.json (docs/protocol.md, section 5).
type discovery struct {
	Version   int      `json:"version"`
	Index     string   `json:"index"`
	Former    []string `json:"former"`
	API       string   `json:"api"`
	Tokens    []string `json:"tokens"`
	MaxAge    int      `json:"max-age"` // seconds
	Bootstrap []string `json:"bootstrap"`
	Challenge bool     `json:"challenge"`

	Hardware *hardwareWanted `json:"hardware,omitzero"` // only where it is asked for
}

// hardwareWanted is the policy for keys that may do more than read, so that a client can say it before it makes one.
type hardwareWanted struct {
	Required    bool   `json:"required"`
	Touch       bool   `json:"touch"`
	MinFirmware string `json:"min-firmware,omitempty"`
}

// indexConfig is config.json (The Cargo Book, "Index Format"). Cargo passes over the member that it does not know.
type indexConfig struct {
	Download     string    `json:"dl"`
	API          string    `json:"api"`
	AuthRequired bool      `json:"auth-required,omitzero"`
	Regkey       discovery `json:"regkey"`
}

// tokenFormats names the PASETO format of each algorithm.
var tokenFormats = map[keys.Algorithm]string{keys.Ed25519: "v4.public", keys.P384: "v3.public"}

func (s *Server) discovery() discovery {
	d := discovery{
		Version: 1, Index: s.index, Former: s.origin.Former, API: s.base + apiPath,
		MaxAge: int(s.config.Window.Seconds()), Bootstrap: []string{"code"}, Challenge: s.config.Challenge,
	}
	if p := s.config.Hardware; p.required() {
		d.Hardware = &hardwareWanted{Required: true, Touch: p.Touch}
		if !p.MinFirmware.IsZero() {
			d.Hardware.MinFirmware = p.MinFirmware.String()
		}
	}
	for _, a := range s.verify.Verifier.Algorithms {
		d.Tokens = append(d.Tokens, tokenFormats[a])
	}
	return d
}

func (s *Server) serveConfig(w http.ResponseWriter, r *http.Request) error {
	text, err := json.Marshal(indexConfig{
		Download: s.base + "/api/v1/crates", API: s.base,
		AuthRequired: s.config.AuthRequired, Regkey: s.discovery(),
	})
	if err != nil {
		return err
	}
	s.serveContent(w, r, "application/json", append(text, '\n'), time.Time{})
	return nil
}

// serveDiscovery is open also where config.json is not: a client reads it before it has a key to sign with.
func (s *Server) serveDiscovery(w http.ResponseWriter, r *http.Request) error {
	return answer(w, http.StatusOK, struct {
		Regkey discovery `json:"regkey"`
	}{s.discovery()})
}
