// Parts that the tests share: a registry on a real connection with a clock of their own, accounts, crates, requests.

package registry_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/token"
)

// A clock stands still until it is set.
type clock struct {
	mutex sync.Mutex
	time  time.Time
}

func (c *clock) now() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.time
}

func (c *clock) pass(d time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.time = c.time.Add(d)
}

// A lab is a registry that listens, and its operator.
type lab struct {
	t        *testing.T
	dir      string
	clock    *clock
	db       *storage.DB
	server   *registry.Server
	operator *registry.Operator
	url      string
	log      bytes.Buffer
	client   *http.Client
}

func newLab(t *testing.T, change ...func(*registry.Config)) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), clock: &clock{time: time.Date(2026, 11, 22, 12, 0, 0, 500, time.UTC)}}
	l.open(change...)
	return l
}

// open serves l.dir on a new port.
func (l *lab) open(change ...func(*registry.Config)) {
	l.t.Helper()
	var err error
	if l.db, err = storage.Open(l.t.Context(), l.dir); err != nil {
		l.t.Fatal(err)
	}
	var handler http.Handler
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	l.url, l.client = listening.URL, listening.Client()
	config := registry.Config{Storage: l.db, URL: l.url, Now: l.clock.now, Log: slog.New(slog.NewTextHandler(&lockedWriter{to: &l.log}, nil))}
	for _, f := range change {
		f(&config)
	}
	if l.server, err = registry.Open(l.t.Context(), config); err != nil {
		l.t.Fatal(err)
	}
	handler = l.server
	l.operator = &registry.Operator{Storage: l.db, Now: l.clock.now}
	db := l.db
	l.t.Cleanup(func() {
		listening.Close()
		if bytes.Contains(l.log.Bytes(), []byte("level=ERROR")) {
			l.t.Errorf("what clients did is logged as the registry's own failure:\n%s", l.log.Bytes())
		}
		if err := db.Close(); err != nil {
			l.t.Error(err)
		}
	})
}

type lockedWriter struct {
	mutex sync.Mutex
	to    io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.to.Write(p)
}

func generate(t testing.TB, a keys.Algorithm) *keys.SoftwareKey {
	t.Helper()
	k, err := keys.Generate(a)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// An answer is what came back.
type answer struct {
	status int
	code   string
	detail string
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s %s", a.status, a.code, a.body) }

// ask sends one request. A token of "" sends no header.
func (l *lab) ask(method, path, authorization string, body []byte, headers ...string) answer {
	l.t.Helper()
	request, err := http.NewRequestWithContext(l.t.Context(), method, l.url+path, bytes.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := l.client.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	a := answer{status: response.StatusCode, header: response.Header}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		l.t.Fatal(err)
	}
	var refused struct {
		Errors []struct {
			Code   string `json:"code"`
			Detail string `json:"detail"`
		} `json:"errors"`
	}
	if response.StatusCode >= 400 {
		if err := json.Unmarshal(a.body, &refused); err != nil || len(refused.Errors) != 1 || refused.Errors[0].Code == "" || refused.Errors[0].Detail == "" {
			l.t.Errorf("%s %s answers %d with a body that cargo can't show: %q", method, path, a.status, a.body)
			return a
		}
		a.code, a.detail = refused.Errors[0].Code, refused.Errors[0].Detail
		if first := a.detail[:1]; strings.ToLower(first) != first || strings.HasSuffix(a.detail, ".") {
			l.t.Errorf("the detail has a capital or a full stop, and stands behind other words: %q", a.detail)
		}
	}
	return a
}

// want checks status and code.
func (l *lab) want(a answer, status int, code string) answer {
	l.t.Helper()
	if a.status != status || a.code != code {
		l.t.Errorf("answered %v, want %d %q", a, status, code)
	}
	return a
}

// An account of a test knows the chain that it has submitted.
type account struct {
	lab      *lab
	name     string
	standing *enroll.SignedKeyset
}

// enrol begins an account whose first key may do everything.
func (l *lab) enrol(name string, first *keys.SoftwareKey, more ...enroll.Entry) *account {
	l.t.Helper()
	code, _, err := l.operator.Invite(l.t.Context(), name, time.Hour)
	if err != nil {
		l.t.Fatal(err)
	}
	invite, err := enroll.InviteKey(code)
	if err != nil {
		l.t.Fatal(err)
	}
	a := &account{lab: l, name: name}
	next := a.draft(append(more, enroll.Entry{Key: first.Public(), Can: enroll.CanEverything})...)
	a.submit(next, 201, "", invite, first)
	return a
}

// draft is the next version with these keys.
func (a *account) draft(entries ...enroll.Entry) *enroll.Keyset {
	k := &enroll.Keyset{Registry: a.lab.server.Index(), Account: a.name, Version: 1, Issued: a.lab.clock.now().Truncate(time.Second), Keys: entries}
	if a.standing != nil {
		k.Version, k.Previous, k.Revoked = a.standing.Version+1, a.standing.Hash(), a.standing.Revoked
	}
	k.Sort()
	return k
}

// submit signs and sends a keyset; if it is accepted it stands.
func (a *account) submit(k *enroll.Keyset, status int, code string, signers ...keys.Signer) answer {
	a.lab.t.Helper()
	signed, err := enroll.SignKeyset(a.lab.t.Context(), k, signers...)
	if err != nil {
		a.lab.t.Fatal(err)
	}
	got := a.lab.want(a.lab.postNote("/accounts/"+a.name+"/keysets", signed.Note), status, code)
	if got.status < 300 {
		a.standing = signed
	}
	return got
}

const api = "/api/regkey/v1"

func (l *lab) postNote(path string, note []byte) answer {
	l.t.Helper()
	body, err := json.Marshal(map[string]string{"note": string(note)})
	if err != nil {
		l.t.Fatal(err)
	}
	return l.ask("POST", api+path, "", body)
}

func (l *lab) revocation(key keys.ID, signer keys.Signer, reason enroll.Reason) []byte {
	l.t.Helper()
	signed, err := enroll.SignRevocation(l.t.Context(), &enroll.Revocation{Registry: l.server.Index(), Key: key, Reason: reason}, signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return signed.Note
}

// mint signs a token for this registry, now.
func (l *lab) mint(signer keys.Signer, r token.Request) string {
	l.t.Helper()
	if r.Index == "" {
		r.Index = l.server.Index()
	}
	text, err := token.Mint(context.Background(), signer, r, l.clock.now())
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

// A sample is a crate as cargo would send it.
type sample struct {
	name, version, checksum string
	body                    []byte
}

func newSample(t testing.TB, name, version string, content ...string) sample {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	tape := tar.NewWriter(zip)
	manifest := fmt.Sprintf("[package]\nedition = \"2021\"\nname = %q\nversion = %q\ndescription = \"About %s\"\n", name, version, name)
	for _, part := range [][2]string{{"Cargo.toml", manifest}, {"src/lib.rs", strings.Join(content, "")}} {
		file, text := part[0], part[1]
		if err := tape.WriteHeader(&tar.Header{Name: name + "-" + version + "/" + file, Size: int64(len(text)), Mode: 0o644, Format: tar.FormatGNU}); err != nil {
			t.Fatal(err)
		}
		if _, err := tape.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tape.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(packed.Bytes())
	metadata := fmt.Sprintf(`{"name":%q,"vers":%q,"deps":[],"features":{},"description":"About %s"}`, name, version, name)
	return sample{name, version, hex.EncodeToString(sum[:]), publishBody([]byte(metadata), packed.Bytes())}
}

func publishBody(metadata, packed []byte) []byte {
	body := binary.LittleEndian.AppendUint32(nil, uint32(len(metadata)))
	body = append(body, metadata...)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(packed)))
	return append(body, packed...)
}

func (s sample) request() token.Request {
	return token.Request{Operation: token.Publish, Name: s.name, Version: s.version, Checksum: s.checksum}
}

func (l *lab) publish(signer keys.Signer, s sample) answer {
	l.t.Helper()
	return l.ask("PUT", "/api/v1/crates/new", l.mint(signer, s.request()), s.body)
}

func (l *lab) yank(signer keys.Signer, name, version string) answer {
	l.t.Helper()
	return l.ask("DELETE", "/api/v1/crates/"+name+"/"+version+"/yank",
		l.mint(signer, token.Request{Operation: token.Yank, Name: name, Version: version}), nil)
}

func (l *lab) owners(signer keys.Signer, method, name string, accounts ...string) answer {
	l.t.Helper()
	return l.ask(method, "/api/v1/crates/"+name+"/owners", l.mint(signer, token.Request{Operation: token.Owners, Name: name}), users(accounts...))
}

func users(accounts ...string) []byte {
	if accounts == nil {
		return nil
	}
	body, err := json.Marshal(map[string][]string{"users": accounts})
	if err != nil {
		panic(err)
	}
	return body
}
