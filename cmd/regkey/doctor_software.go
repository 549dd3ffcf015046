// What doctor looks at on this side of the card: cargo, the provider, files, registries.

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

const (
	cargoPatience  = 20 * time.Second // rustup may load a toolchain first
	onlinePatience = 10 * time.Second
	// maxSkew is by how much a registry lets a clock be ahead; see docs/protocol.md.
	maxSkew = 30 * time.Second
)

// checkCargo looks for a cargo that knows credential providers: 1.74 or newer.
func (a *app) checkCargo(ctx context.Context, d *diagnosis) {
	const install = "install Rust 1.74 or newer: https://rustup.rs"
	path, err := exec.LookPath("cargo")
	if err != nil {
		d.problem("cargo", "", "cargo is not on PATH", install)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, cargoPatience)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "--version").Output()
	version := strings.TrimSpace(string(output))
	var major, minor int
	if _, scanErr := fmt.Sscanf(version, "cargo %d.%d", &major, &minor); err != nil || scanErr != nil {
		d.problem("cargo", "", fmt.Sprintf("%s does not tell its version%s", path, complaint(err)), install)
		return
	}
	if major == 1 && minor < 74 {
		d.problem("cargo", "", version+" knows no credential providers", install)
		return
	}
	d.ok("cargo", "", "%s, %s", version, path)
}

// complaint is what a program that failed said first, to be put after a sentence.
func complaint(err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(exit.Stderr)), "\n")
	return ": " + line
}

// checkProvider looks for the program that cargo starts, and for this one beside it.
func (a *app) checkProvider(d *diagnosis) {
	path, err := a.provider()
	if err != nil {
		d.problem("provider", "", err.Error(), "install all programs of regkey side by side")
		return
	}
	beside := filepath.Join(filepath.Dir(path), strings.Replace(providerName(), "cargo-credential-regkey", "regkey", 1))
	if _, err := exec.LookPath(beside); err != nil {
		d.problem("provider", "", path+" has no regkey beside it, which it runs for challenges and keys in tokens",
			"install all programs of regkey side by side")
		return
	}
	d.ok("provider", "", "%s", path)
}

// openTo says that others may read or write what is the user's alone; "" if they may not.
func openTo(path string) string {
	info, err := atomicfile.Stat(path)
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return ""
	}
	return fmt.Sprintf("%s has the mode %04o, so that others may use it", path, info.Mode().Perm())
}

// checkConfiguration looks what cargo would start for a registry, in this folder.
func (a *app) checkConfiguration(d *diagnosis, e *enroll.Enrolment) {
	config, err := a.cargoConfig()
	if err != nil {
		d.fault("configuration", d.about(e), err)
		return
	}
	path, err := a.provider()
	if err != nil {
		return // said already
	}
	again := fmt.Sprintf("\"%s\" writes the line", enrolAgain(label(e), e.Account, e.Key))
	if e.Manual || e.Key == "" {
		again = "\"regkey export cargo\" prints the line"
	}
	providers, err := config.Providers(e.Index)
	if err != nil {
		d.fault("configuration", d.about(e), err)
		return
	}
	ours := slices.IndexFunc(providers, func(p cargo.Provider) bool { return len(p.Command) > 0 && sameProgram(p.Command[0], path) })
	warnings := config.Warnings(e.Name, e.Index, []string{path})
	if ours < 0 {
		if len(warnings) > 0 { // as of a project that leads the name elsewhere
			again = "see to what follows first; then " + again
		}
		d.problem("configuration", d.about(e), "cargo would not start "+path+" here", again)
	}
	for _, w := range warnings {
		d.problem("configuration", d.about(e), w.String(), "change what stands there: it goes round regkey, or leaks a secret")
	}
	if len(warnings) == 0 && ours >= 0 {
		d.ok("configuration", d.about(e), "cargo starts %s, as %v says", path, providers[ours].Origin)
	}
}

// checkEnrolment looks at the pin, the key that signs, and what was signed and not yet answered.
func (a *app) checkEnrolment(d *diagnosis, home string, e *enroll.Enrolment, records []keys.Record) {
	r := &registrySurvey{Name: e.Name, Index: e.Index, Account: e.Account, Manual: e.Manual, Key: e.Key}
	r.uses(home, e)
	if e.Manual {
		r.manual(e, records)
	} else if err := r.keyset(home, e, records, a.now()); err != nil {
		d.problem("enrolment", d.about(e), err.Error(), "bring regkey's folder back from a copy, or enrol again")
		return
	}
	k, err := enroll.OpenState(home, e.Index, e.Account).Keyset()
	if !e.Manual && (err != nil || k.Registry != e.Index || k.Account != e.Account) {
		r.warn("the keyset that this machine has verified is about another account or registry than the enrolment")
	}
	if r.Pending {
		r.warn("a change is signed and not yet accepted: run the command that made it again")
	}
	for _, name := range []string{e.Key, e.ReadKey} {
		if name != "" && !slices.ContainsFunc(records, func(k keys.Record) bool { return k.Name == name }) {
			r.warn("the key %s, which is to sign, is not on this machine any more", name)
		}
	}
	for _, warning := range r.Warnings {
		what, remedy, found := strings.Cut(warning, ": ")
		if !found {
			remedy = fmt.Sprintf("\"regkey enroll --registry %s --key NAME\" enrols another", r.meant())
		}
		d.problem("enrolment", d.about(e), what, remedy)
	}
	if len(r.Warnings) > 0 {
		return
	}
	if e.Manual {
		d.ok("enrolment", d.about(e), "signs with %s; keys are managed on its website", e.Key)
		return
	}
	d.ok("enrolment", d.about(e), "account %s, keyset version %d, signs with %s", e.Account, r.Version, e.Key)
}

// checkOnline asks a registry what it is, what keyset stands there, and what time it is.
func (a *app) checkOnline(ctx context.Context, d *diagnosis, home string, e *enroll.Enrolment) {
	if e.Manual {
		d.skip("registry", d.about(e), "it has no key API to ask")
		return
	}
	life, client := a.lifecycleOf(home, e)
	discovery, err := client.Discover(ctx)
	if err != nil {
		d.fault("registry", d.about(e), err)
		return
	}
	d.ok("registry", d.about(e), "answers at %s", e.Index)
	a.checkKeyset(ctx, d, life, e, discovery.AuthRequired)
	there, err := dateOf(ctx, strings.TrimPrefix(e.Index, "sparse+")+"config.json")
	if err != nil {
		d.skip("clock", d.about(e), "the registry does not tell its time: "+err.Error())
		return
	}
	skew := a.now().Sub(there).Round(time.Second)
	if skew.Abs() > maxSkew {
		d.problem("clock", d.about(e), fmt.Sprintf("this machine's clock and the registry's are %v apart", skew.Abs()),
			"set this machine's clock: tokens carry the time at which they were signed")
		return
	}
	d.ok("clock", d.about(e), "within %v of the registry's", maxSkew)
}

// checkKeyset holds the keyset that a registry shows against the one that this machine has verified.
// Where reading takes a token, only a key that asks nobody makes one.
func (a *app) checkKeyset(ctx context.Context, d *diagnosis, life *enroll.Lifecycle, e *enroll.Enrolment, wantsToken bool) {
	record, err := life.Keys.Lookup(e.KeyFor("read"))
	if wantsToken && (err != nil || record.Protection != keys.Unprotected) {
		d.skip("keyset", d.about(e), "reading it takes a signature", `"regkey status --online" verifies it`)
		return
	}
	k, err := life.Check(ctx)
	if err != nil {
		d.fault("keyset", d.about(e), err)
		return
	}
	d.ok("keyset", d.about(e), "version %d follows what this machine has verified", k.Version)
}

// dateOf is the time at which a server answered (RFC 9110, section 6.6.1). Discovery has checked
// the URL.
func dateOf(ctx context.Context, url string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, onlinePatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return time.Time{}, err
	}
	request.Header.Set("User-Agent", userAgent())
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return time.Time{}, err
	}
	_ = response.Body.Close()
	return http.ParseTime(response.Header.Get("Date"))
}

// sameProgram reports whether two paths lead to one file.
func sameProgram(a, b string) bool {
	first, err := atomicfile.Stat(a)
	if err != nil {
		return false
	}
	second, err := atomicfile.Stat(b)
	return err == nil && os.SameFile(first, second)
}
