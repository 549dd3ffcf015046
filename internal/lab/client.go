// A stand-in for cargo: it asks the credential provider and speaks cargo's web API, so that the
// main job also runs where cargo is not installed, and tests can send what cargo would not.

package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/pelletier/go-toml/v2"
)

// A Crate is a packaged crate and the metadata that cargo would send with it.
type Crate struct {
	Name, Version string
	Checksum      string // SHA-256, lower-case hex
	Body          []byte // what PUT /api/v1/crates/new takes
}

// Pack packages the crate in folder dir, whose dependencies all come from the registry with that
// index, as [Lab.Crate] writes it.
func Pack(dir, index string) (*Crate, error) {
	source, err := os.ReadFile(filepath.Join(dir, "Cargo.toml"))
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Package struct {
			Name, Version string
		}
		Dependencies map[string]map[string]any
	}
	if err := toml.Unmarshal(source, &manifest); err != nil {
		return nil, err
	}
	c := &Crate{Name: manifest.Package.Name, Version: manifest.Package.Version}
	normalized := string(source)
	deps := []map[string]any{}
	for name, dep := range manifest.Dependencies {
		// cargo names the registry by its index in what it packages, and leaves it out of the
		// metadata where it is the one that is published to.
		normalized = strings.ReplaceAll(normalized, fmt.Sprintf("registry = %q }", dep["registry"]), fmt.Sprintf("registry-index = %q }", index))
		deps = append(deps, map[string]any{
			"name": name, "version_req": "^" + dep["version"].(string), "features": []string{}, "optional": false,
			"default_features": true, "target": nil, "kind": "normal",
		})
	}
	file, err := archive(c.Name+"-"+c.Version, dir, normalized)
	if err != nil {
		return nil, err
	}
	metadata, err := json.Marshal(map[string]any{
		"name": c.Name, "vers": c.Version, "deps": deps, "features": map[string]any{}, "authors": []string{},
		"description": "a sample", "license": "MIT", "keywords": []string{}, "categories": []string{}, "badges": map[string]any{},
	})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(file)
	c.Checksum = hex.EncodeToString(sum[:])
	c.Body = binary.LittleEndian.AppendUint32(nil, uint32(len(metadata)))
	c.Body = append(c.Body, metadata...)
	c.Body = binary.LittleEndian.AppendUint32(c.Body, uint32(len(file)))
	c.Body = append(c.Body, file...)
	return c, nil
}

func archive(root, dir, manifest string) ([]byte, error) {
	library, err := os.ReadFile(filepath.Join(dir, "src", "lib.rs"))
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	zipper := gzip.NewWriter(&file)
	w := tar.NewWriter(zipper)
	for _, part := range []struct{ name, content string }{{"Cargo.toml", manifest}, {"src/lib.rs", string(library)}} {
		header := &tar.Header{Name: root + "/" + part.name, Mode: 0o644, Size: int64(len(part.content)), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, part.content); err != nil {
			return nil, err
		}
	}
	err = errors.Join(w.Close(), zipper.Close())
	return file.Bytes(), err
}

// An Operation is what a token is asked for. Name, Version and Checksum are empty where it has none.
type Operation struct {
	Kind, Name, Version, Checksum string
}

// Token asks the credential provider, as cargo would, and returns the token.
func (l *Lab) Token(ctx context.Context, index string, o Operation) (string, error) {
	request := map[string]any{"v": 1, "kind": "get", "registry": map[string]any{"index-url": index}, "operation": o.Kind}
	for member, value := range map[string]string{"name": o.Name, "vers": o.Version, "cksum": o.Checksum} {
		if value != "" {
			request[member] = value
		}
	}
	line, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	result, err := l.Run(ctx, "", string(line)+"\n", "cargo-credential-regkey", "--cargo-plugin")
	if err != nil {
		return "", err
	}
	var answer struct {
		Ok struct {
			Token string `json:"token"`
		} `json:"Ok"`
		Err struct {
			Kind    string `json:"kind"`
			Message string `json:"message"`
		} `json:"Err"`
	}
	_, text, _ := strings.Cut(result.Stdout, "\n")
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return "", fmt.Errorf("the provider answered %q (%s): %w", result.Stdout, result.Stderr, err)
	}
	if answer.Ok.Token == "" {
		return "", fmt.Errorf("the provider refused: %s %s%s", answer.Err.Kind, answer.Err.Message, result.Stderr)
	}
	return answer.Ok.Token, nil
}

// Send sends one request to the registry's web API, with a token unless it is empty, and returns
// status and body.
func (r *Registry) Send(ctx context.Context, method, path, token string, body []byte) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, r.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	return response.StatusCode, string(answer), err
}

// Publish packages the crate in dir, asks the provider for a token, and uploads. It returns the
// token, for those who want to see what an eavesdropper would have.
func (l *Lab) Publish(ctx context.Context, r *Registry, dir string) (crate *Crate, token string, err error) {
	if crate, err = Pack(dir, r.Index); err != nil {
		return nil, "", err
	}
	token, err = l.Token(ctx, r.Index, Operation{"publish", crate.Name, crate.Version, crate.Checksum})
	if err != nil {
		return nil, "", err
	}
	status, answer, err := r.Send(ctx, http.MethodPut, "/api/v1/crates/new", token, crate.Body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("publishing %s: %d %s", crate.Name, status, answer)
	}
	return crate, token, err
}
