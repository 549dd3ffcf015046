// The machines that are lied to, and what their user runs on them.

package e2e

import (
	"context"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/keys"
)

// A scene is a registry, an account with a past, and machines that know different parts of it:
//
//	laptop   has pinned version 4, which revokes "gone"; it manages, and knows its key ci
//	six      the same, and has pinned version 6
//	rotating the same, with a rotation whose signed bytes it could not send
//	tablet   a key, and nothing else; newcomer is another name of it
//	asking   the same, with a proposal that waits
//	restored the laptop's keys, and nothing of the registry
type scene struct {
	t        *testing.T
	index    string
	registry *lab.Registry
	address  *url.URL
	machines map[string]*lab.Lab
	chain    []*enroll.SignedKeyset // versions 1 to 6
	revoked  []string               // the notes of the revocations
	waiting  string                 // what the rotating machine has signed and sends again
	other    string                 // the keyset of another account
	code     string                 // of the proposal that waits
	invite   string                 // a code for the account newcomers
}

// honest is a lab whose programs reach the registry as it is.
func (s *scene) honest(name string) *lab.Lab {
	s.t.Helper()
	l := newLab(s.t)
	l.Env = newLiar(s.t, s.address).env()
	s.machines[name] = l
	return l
}

// copied is another machine with the same files.
func (s *scene) copied(from *lab.Lab) *lab.Lab {
	s.t.Helper()
	l := newLab(s.t)
	l.Env = from.Env
	if err := os.RemoveAll(l.Home); err != nil {
		s.t.Fatal(err)
	}
	if output, err := exec.Command("cp", "-a", from.Home, l.Home).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, output)
	}
	return l
}

func (s *scene) run(machine *lab.Lab, stdin string, args ...string) string {
	s.t.Helper()
	return must(s.t, machine, "", stdin, "regkey", args...)
}

func (s *scene) inviteFor(account string) string {
	s.t.Helper()
	code, err := s.registry.Invite(s.t.Context(), account)
	if err != nil {
		s.t.Fatal(err)
	}
	return code + "\n"
}

func newScene(t *testing.T, args ...string) *scene {
	t.Helper()
	s := &scene{t: t, machines: map[string]*lab.Lab{}}
	s.open(args...)
	s.past()
	return s
}

// open starts the registry, which the world knows by a name that the proxies alone can tell.
func (s *scene) open(args ...string) {
	s.t.Helper()
	address, release, err := lab.Reserve()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(release)
	s.address = &url.URL{Scheme: "http", Host: address}
	s.registry = serve(s.t, newLab(s.t), append([]string{"--listen", address, "--url", "http://" + liedAbout}, args...)...)
	s.index = s.registry.Index
}

// past is what has happened before anybody lies.
func (s *scene) past() {
	s.t.Helper()
	laptop := s.honest("laptop")
	s.name(laptop)
	for _, key := range []string{"laptop", "ci", "gone", "new"} {
		s.run(laptop, "", "init", key, "--none")
	}
	s.run(laptop, s.inviteFor("crates-team"), "enroll", "--registry", "lab", "--key", "laptop", "--account", "crates-team", "--code-stdin", "--insecure-http")
	s.run(laptop, "", "enroll", "--registry", "lab", "--key", "gone", "--yes")
	s.run(laptop, "", "enroll", "--registry", "lab", "--key", "ci", "--until", "20d", "--yes")
	s.run(laptop, "", "revoke", "gone", "--registry", "lab", "--yes")

	other := s.copied(laptop)
	s.run(other, "", "init", "desk", "--none")
	s.run(other, "", "enroll", "--registry", "lab", "--key", "desk", "--can", "manage,publish", "--yes")
	s.run(other, "", "keyset", "edit", "ci", "--crates", "foo-*", "--yes")
	s.machines["six"] = other

	friend := s.honest("friend")
	s.name(friend)
	s.run(friend, "", "init", "theirs", "--none")
	s.run(friend, s.inviteFor("friend"), "enroll", "--registry", "lab", "--key", "theirs", "--account", "friend", "--code-stdin", "--insecure-http")
	s.invite = s.inviteFor("newcomers")

	s.rotating(laptop)
	s.joining(laptop)
	s.remember()
}

// name has cargo call the registry lab.
func (s *scene) name(l *lab.Lab) {
	s.t.Helper()
	if err := l.WriteFile(filepath.Join(l.CargoHome(), "config.toml"), "[registries.lab]\nindex = \""+s.index+"\"\n"); err != nil {
		s.t.Fatal(err)
	}
}

// rotating is the laptop, with a rotation that was signed and whose bytes did not arrive.
func (s *scene) rotating(laptop *lab.Lab) {
	s.t.Helper()
	l := s.copied(laptop)
	line := newLiar(s.t, s.address)
	line.instead = func(w http.ResponseWriter, r *http.Request) bool {
		if sends(r) {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return sends(r)
	}
	l.Env = line.env()
	ends(s.t, l, 6, "", "", "regkey", "rotate", "--registry", "lab", "--key", "laptop", "--yes", "--none")
	s.machines["rotating"] = l
	requests, _ := line.forget()
	for _, r := range requests {
		if r.Method == http.MethodPost {
			s.waiting = string(r.Body)
		}
	}
}

// joining are those that the account does not know, or not any more.
func (s *scene) joining(laptop *lab.Lab) {
	s.t.Helper()
	tablet := s.honest("tablet")
	s.name(tablet)
	s.run(tablet, "", "init", "tablet", "--none")
	s.machines["newcomer"] = tablet
	asking := s.copied(tablet)
	s.machines["asking"] = asking
	waits := ends(s.t, asking, 5, "", "", "regkey", "enroll", "--registry", "lab", "--account", "crates-team", "--join", "--no-wait", "--insecure-http", "--json")
	var facts struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal([]byte(waits.Stdout), &facts); err != nil || facts.Code == "" {
		s.t.Fatalf("%v: %s", err, waits.Stdout)
	}
	s.code = facts.Code
	restored := s.copied(laptop)
	if err := os.RemoveAll(filepath.Join(restored.RegkeyHome(), "registries")); err != nil {
		s.t.Fatal(err)
	}
	s.machines["restored"] = restored
}

// remember asks the registry for what it really has.
func (s *scene) remember() {
	s.t.Helper()
	var all struct {
		Notes []string `json:"notes"`
	}
	s.fetch("/accounts/crates-team/keysets?from=1", &all)
	for _, note := range all.Notes {
		k, err := enroll.ParseSignedKeyset([]byte(note))
		if err != nil {
			s.t.Fatal(err)
		}
		s.chain = append(s.chain, k)
	}
	var latest struct {
		Note        string   `json:"note"`
		Revocations []string `json:"revocations"`
	}
	s.fetch("/accounts/crates-team/keysets/latest", &latest)
	s.revoked = latest.Revocations
	s.fetch("/accounts/friend/keysets/latest", &latest)
	s.other = latest.Note
	if len(s.chain) != 6 || len(s.revoked) != 1 {
		s.t.Fatalf("%d versions and %d revocations", len(s.chain), len(s.revoked))
	}
}

func (s *scene) fetch(path string, into any) {
	s.t.Helper()
	response, err := http.Get(s.address.String() + "/api/regkey/v1" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.UnmarshalRead(response.Body, into); err != nil {
		s.t.Fatal(err)
	}
}

// after is a version that follows base, changed and signed.
func (s *scene) after(base *enroll.SignedKeyset, change func(*enroll.Keyset), signers ...keys.Signer) *enroll.SignedKeyset {
	s.t.Helper()
	next := base.Keyset
	next.Version, next.Previous = base.Version+1, base.Hash()
	next.Issued = base.Issued.Add(time.Second)
	next.Keys = append([]enroll.Entry(nil), base.Keys...)
	next.Revoked = append([]keys.ID(nil), base.Revoked...)
	change(&next)
	next.Sort()
	k, err := enroll.SignKeyset(context.Background(), &next, signers...)
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

// spoil makes the keys of a machine useless, so that whoever tries to sign fails.
func spoil(t *testing.T, l *lab.Lab) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(l.RegkeyHome(), "keys", "*.key"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no keys to spoil (%v)", err)
	}
	for _, file := range files {
		if err := os.WriteFile(file, []byte("not a key\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tree is every file below the machine's home, with mode and content.
func tree(t *testing.T, l *lab.Lab) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(l.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == ".package-cache" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content := ""
		if !d.IsDir() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(data)
		}
		name, _ := filepath.Rel(l.Home, path)
		all[name] = info.Mode().String() + " " + content
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// differences names the files that are not the same.
func differences(before, after map[string]string) string {
	var names []string
	for name := range before {
		if _, found := after[name]; !found {
			names = append(names, "-"+name)
		} else if before[name] != after[name] {
			names = append(names, "*"+name)
		}
	}
	for name := range after {
		if _, found := before[name]; !found {
			names = append(names, "+"+name)
		}
	}
	return strings.Join(names, " ")
}
