// What the claim comes to that everything on the server may be published: nothing that signs, and no token, is in its files, rows or log.

package registry_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/token"
)

// dump is every byte that the server keeps, and every row as text.
func (l *lab) dump() []byte {
	l.t.Helper()
	var all bytes.Buffer
	files := 0
	err := filepath.WalkDir(l.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil || files < 3 {
		l.t.Fatalf("dumping: %d files, %v", files, err)
	}
	db, err := sql.Open("sqlite", filepath.Join(l.dir, storage.File))
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows := 0
	for _, table := range []string{"settings", "accounts", "invites", "keysets", "keys", "revocations", "crates", "owners", "versions", "used_tokens", "used_challenges", "proposals"} {
		rows += l.dumpTable(&all, db, table)
	}
	if rows < 10 {
		l.t.Fatalf("the dump has %d rows only", rows)
	}
	return all.Bytes()
}

func (l *lab) dumpTable(to *bytes.Buffer, db *sql.DB, table string) (n int) {
	l.t.Helper()
	rows, err := db.QueryContext(l.t.Context(), "SELECT * FROM "+table)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		l.t.Fatal(err)
	}
	for rows.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			l.t.Fatal(err)
		}
		_, _ = fmt.Fprintln(to, values...)
		n++
	}
	if rows.Err() != nil {
		l.t.Fatal(rows.Err())
	}
	return n
}

func TestNothingOnTheServerSigns(t *testing.T) {
	l := newLab(t)
	secrets := map[string][]byte{}
	keep := func(name string, k *keys.SoftwareKey) *keys.SoftwareKey {
		text := k.Secret().Reveal()
		raw, err := base64.RawURLEncoding.DecodeString(string(text[len("k4.secret."):]))
		if err != nil {
			t.Fatal(err)
		}
		secrets[name], secrets[name+", raw"], secrets[name+", hex"] = text, raw[:32], []byte(hex.EncodeToString(raw[:32]))
		return k
	}
	laptop, server := keep("the ed25519 key", generate(t, keys.Ed25519)), keep("the p384 key", generate(t, keys.P384))
	code, _, err := l.operator.Invite(t.Context(), "team", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	invite, err := enroll.InviteKey(code)
	if err != nil {
		t.Fatal(err)
	}
	secrets["the code"], secrets["the code without hyphens"] = code.Reveal(), bytes.ReplaceAll(code.Reveal(), []byte("-"), nil)
	keep("the code's key", invite)
	open, _, err := l.operator.Invite(t.Context(), "waiting", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	secrets["an open code"] = open.Reveal()

	team := &account{lab: l, name: "team"}
	team.submit(team.draft(manages(laptop)), 201, "", invite, laptop)
	team.submit(team.draft(manages(laptop), manages(server)), 201, "", laptop, server)
	for _, k := range []*keys.SoftwareKey{laptop, server} {
		good := newSample(t, "demo", "0.1.0-"+k.Public().Algorithm().String())
		text := l.mint(k, good.request())
		secrets["a published token of "+k.String()] = []byte(text)
		secrets["the signature by "+k.String()] = []byte(text[len(text)/2:])
		l.want(l.ask("PUT", "/api/v1/crates/new", text, good.body), 200, "")
		refused := l.mint(k, token.Request{Operation: token.Yank, Name: "demo", Version: "9.9.9"})
		secrets["a refused token of "+k.String()] = []byte(refused)
		l.want(l.ask("DELETE", "/api/v1/crates/demo/9.9.9/yank", refused, nil), 404, "version-unknown")
		read := l.mint(k, token.Request{Operation: token.Read})
		secrets["a read token of "+k.String()] = []byte(read)
		l.want(l.ask("GET", "/index/de/mo/demo", read, nil), 200, "")
	}

	kept, log := l.dump(), bytes.Clone(l.log.Bytes())
	if !bytes.Contains(kept, []byte(laptop.Public().String())) || !bytes.Contains(log, []byte("published")) {
		t.Fatal("the dump lacks what it must have, so it can't show what it must not")
	}
	for name, secret := range secrets {
		if len(secret) < 16 {
			t.Fatalf("%s is too short to look for", name)
		}
		if bytes.Contains(kept, secret) {
			t.Errorf("%s is in the server's files", name)
		}
		if bytes.Contains(log, secret) {
			t.Errorf("%s is in the log", name)
		}
	}
	if strings.Contains(string(kept), "k4.secret.") || strings.Contains(string(kept), "k3.secret.") {
		t.Error("a secret key is in the server's files")
	}
}
