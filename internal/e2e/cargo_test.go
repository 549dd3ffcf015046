// What a crate author does every day, with the real cargo: stable, no flags.

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/lab"
)

func TestEveryday(t *testing.T) {
	needCargo(t)
	for _, algorithm := range []string{"ed25519", "p384"} {
		for _, auth := range []string{"", "--auth-required"} {
			t.Run(algorithm+auth, func(t *testing.T) {
				t.Parallel()
				everyday(t, algorithm, auth)
			})
		}
	}
}

func everyday(t *testing.T, algorithm, auth string) {
	l := newLab(t)
	var args []string
	if auth != "" {
		args = append(args, auth)
	}
	r := serve(t, l, args...)
	enrolled(t, l, r, "laptop", "crates-team", "--algorithm", algorithm)

	one := sample(t, l, "one", "0.1.0")
	must(t, l, one, "", "cargo", "publish", "--registry", "lab")
	two := sample(t, l, "two", "0.1.0", "one")
	must(t, l, two, "", "cargo", "build")
	must(t, l, two, "", "cargo", "publish", "--registry", "lab")

	must(t, l, one, "", "cargo", "yank", "--registry", "lab", "--version", "0.1.0", "one")
	contains(t, "index line after yank", indexFile(t, r, l, "one"), `"yanked":true`)
	must(t, l, one, "", "cargo", "yank", "--undo", "--registry", "lab", "--version", "0.1.0", "one")
	contains(t, "index line after unyank", indexFile(t, r, l, "one"), `"yanked":false`)

	// A second account, so that there is somebody to add.
	other, err := lab.New(t.TempDir(), bin)
	if err != nil {
		t.Fatal(err)
	}
	code, err := r.Invite(t.Context(), "friend")
	if err != nil {
		t.Fatal(err)
	}
	must(t, other, "", "", "regkey", "init", "their-key", "--no-passphrase")
	must(t, other, "", code, "regkey", "enroll", "--registry", r.Index, "--key", "their-key", "--account", "friend", "--code-stdin", "--name", "lab")
	list := must(t, l, one, "", "cargo", "owner", "--registry", "lab", "--list", "one")
	contains(t, "owner list", list, "crates-team")
	must(t, l, one, "", "cargo", "owner", "--registry", "lab", "--add", "friend", "one")
	contains(t, "owner list", must(t, l, one, "", "cargo", "owner", "--registry", "lab", "--list", "one"), "crates-team", "friend")
	must(t, l, one, "", "cargo", "owner", "--registry", "lab", "--remove", "friend", "one")
	list = must(t, l, one, "", "cargo", "owner", "--registry", "lab", "--list", "one")
	if strings.Contains(list, "friend") {
		t.Errorf("friend is still an owner: %s", list)
	}
	both := ends(t, l, 101, one, "", "cargo", "owner", "--registry", "lab", "--add", "friend", "--remove", "friend", "one")
	contains(t, "one token, two requests", both.Stderr, "friend", "cargo owner --remove friend")

	contains(t, "search", must(t, l, one, "", "cargo", "search", "--registry", "lab", "tw"), "two = \"0.1.0\"")
	login := ends(t, l, 0, one, "", "cargo", "login", "--registry", "lab")
	contains(t, "login", login.Stderr, "lab needs no login", `"laptop"`)
	logout, err := l.Run(t.Context(), one, "", "cargo", "logout", "--registry", "lab")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, "logout", logout.Stderr, "regkey revoke")
}

// indexFile is what the registry says of a crate, read as cargo would.
func indexFile(t *testing.T, r *lab.Registry, l *lab.Lab, name string) string {
	t.Helper()
	token, err := l.Token(t.Context(), r.Index, lab.Operation{Kind: "read"})
	if err != nil {
		t.Fatal(err)
	}
	if len(name) != 3 {
		t.Fatalf("%s is not three letters long", name)
	}
	status, body, err := r.Send(t.Context(), "GET", "/index/3/"+name[:1]+"/"+name, token, nil)
	if err != nil || status != 200 {
		t.Fatalf("reading the index: %d %v", status, err)
	}
	return body
}

// TestSpawns counts how often cargo starts the provider: each start may be a passphrase or a touch.
func TestSpawns(t *testing.T) {
	needCargo(t)
	l := newLab(t)
	r := serve(t, l, "--auth-required")
	enrolled(t, l, r, "laptop", "crates-team")
	spawns := counted(t, l)

	one := sample(t, l, "one", "0.1.0")
	must(t, l, one, "", "cargo", "publish", "--registry", "lab")
	if n := spawns(); n != 2 {
		t.Errorf("a publish started the provider %d times instead of 2", n)
	}
	user := sample(t, l, "user", "0.1.0", "one")
	must(t, l, user, "", "cargo", "build")
	if n := spawns(); n != 1 {
		t.Errorf("a cold build started the provider %d times instead of 1", n)
	}
	workspace := threeCrates(t, l)
	must(t, l, workspace, "", "cargo", "publish", "--workspace", "--registry", "lab")
	if n := spawns(); n != 4 {
		t.Errorf("publishing a workspace of three started the provider %d times instead of 4", n)
	}
}

// counted puts a counting script before the provider, and returns what it counted since it was last asked.
func counted(t *testing.T, l *lab.Lab) func() int {
	t.Helper()
	log := filepath.Join(l.Dir, "spawns")
	script := filepath.Join(l.Dir, "counting-provider")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho start >>"+log+"\nexec "+filepath.Join(l.Bin, "cargo-credential-regkey")+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(l.CargoHome(), "config.toml")
	config := read(t, path)
	edited := strings.ReplaceAll(config, filepath.Join(l.Bin, "cargo-credential-regkey"), script)
	if edited == config {
		t.Fatalf("cargo's configuration does not name the provider:\n%s", config)
	}
	if err := os.WriteFile(path, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
	return func() int {
		data, _ := os.ReadFile(log)
		os.Remove(log)
		return strings.Count(string(data), "start")
	}
}

// threeCrates is a workspace of three, each depending on the one before.
func threeCrates(t *testing.T, l *lab.Lab) string {
	t.Helper()
	root := filepath.Join(l.Dir, "workspace")
	files := map[string]string{"Cargo.toml": "[workspace]\nresolver = \"2\"\nmembers = [\"low\", \"mid\", \"top\"]\n"}
	for name, dep := range map[string]string{"low": "", "mid": "low", "top": "mid"} {
		manifest := "[package]\nname = \"" + name + "\"\nversion = \"1.0.0\"\nedition = \"2021\"\ndescription = \"x\"\nlicense = \"MIT\"\npublish = [\"lab\"]\n"
		if dep != "" {
			manifest += "[dependencies]\n" + dep + " = { version = \"1\", path = \"../" + dep + "\", registry = \"lab\" }\n"
		}
		files[name+"/Cargo.toml"] = manifest
		files[name+"/src/lib.rs"] = "// nothing\n"
	}
	for name, content := range files {
		if err := l.WriteFile(filepath.Join(root, name), content); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestRotateAndRevoke is the rest of a key's life, seen from cargo.
func TestRotateAndRevoke(t *testing.T) {
	needCargo(t)
	l := newLab(t)
	r := serve(t, l)
	enrolled(t, l, r, "laptop", "crates-team")
	config := filepath.Join(l.CargoHome(), "config.toml")
	before := read(t, config)
	must(t, l, sample(t, l, "one", "0.1.0"), "", "cargo", "publish", "--no-verify", "--registry", "lab")

	must(t, l, "", "", "regkey", "rotate", "--registry", "lab", "--key", "laptop", "--to", "laptop-2", "--no-passphrase", "--yes")
	must(t, l, "", "", "regkey", "rotate", "--registry", "lab", "--key", "laptop", "--to", "laptop-2", "--no-passphrase", "--yes")
	must(t, l, sample(t, l, "one", "0.2.0"), "", "cargo", "publish", "--no-verify", "--registry", "lab")

	refused := ends(t, l, 1, "", "", "regkey", "revoke", "--registry", "lab", "laptop-2", "--reason", "lost", "--yes")
	contains(t, "revoking the last key", refused.Stderr, "--force-last")
	// A second machine of the same user, which does not learn of the revocation.
	other := filepath.Join(l.Dir, "other-machine")
	if err := os.CopyFS(other, os.DirFS(l.RegkeyHome())); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(other, "keys", "laptop-2.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, l, "", "", "regkey", "revoke", "--registry", "lab", "laptop-2", "--reason", "lost", "--yes", "--force-last")
	must(t, l, "", "", "regkey", "revoke", "--registry", "lab", "laptop-2", "--reason", "lost", "--yes", "--force-last")
	failed := ends(t, l, 101, sample(t, l, "one", "0.3.0"), "", "cargo", "publish", "--no-verify", "--registry", "lab")
	contains(t, "publishing where the key was revoked", failed.Stderr, "no key of this machine")
	l.Env = []string{"REGKEY_HOME=" + other}
	failed = ends(t, l, 101, sample(t, l, "one", "0.3.0"), "", "cargo", "publish", "--no-verify", "--registry", "lab")
	contains(t, "publishing with a revoked key", failed.Stderr, "is revoked and will never be accepted again")
	if after := read(t, config); after != before {
		t.Errorf("cargo's configuration was changed:\n%s\ninstead of\n%s", after, before)
	}
}
