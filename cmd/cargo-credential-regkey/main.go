// Command cargo-credential-regkey is the credential provider that cargo starts for each token: it
// signs one cargo token (RFC 3231) with the key that the user enrolled at that registry. Cargo
// starts it once per operation and waits, so it is small, static and does one thing; it
// speaks no HTTP, and asks a person only for a passphrase.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/internal/home"
	"github.com/cargo-regkey/regkey/keys"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the whole program, apart from the exit.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) != 1 {
		_, _ = io.WriteString(stderr, usage())
		return exitUsage
	}
	switch args[0] {
	case "--cargo-plugin":
		warm()
		p := &provider{
			getenv:    os.Getenv,
			home:      home.Dir,
			now:       time.Now,
			stderr:    stderr,
			ask:       askPerson,
			challenge: challengeFromSibling,
			regkey:    runRegkey,
		}
		if err := cargo.ServeProvider(context.Background(), stdin, stdout, p); err != nil {
			p.say("%v", err)
			return exitFailed
		}
		return 0
	case "--version", "-v":
		_, _ = fmt.Fprintf(stdout, "cargo-credential-regkey %s\n", version())
		return 0
	case "--help", "-h":
		_, _ = io.WriteString(stdout, usage())
		return 0
	}
	_, _ = io.WriteString(stderr, usage())
	return exitUsage
}

// warm has the tables behind the first signature made while the request is read. Where there is an
// agent it will most likely sign, and has better use for the second core.
func warm() {
	dir, err := home.Dir()
	if err == nil {
		_, err = os.Lstat(agent.PlaceOf(dir).Socket)
	}
	if err != nil {
		keys.Warm(keys.Ed25519)
	}
}

// version is the module's, as the go command recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}

// usage is for somebody who started by hand what cargo starts.
func usage() string {
	self, err := os.Executable()
	if err != nil {
		self = "/path/to/cargo-credential-regkey"
	}
	return fmt.Sprintf(`cargo-credential-regkey signs what cargo asks of a registry, with a key that regkey keeps.
Cargo starts it; there is nothing to do with it by hand.

"regkey enroll --registry NAME" enrols a key and writes this into $CARGO_HOME/config.toml:

    [registries.NAME]
    index = "sparse+https://crates.example.com/index/"
    credential-provider = [%q]

Environment:
    REGKEY_HOME             where regkey keeps keys and enrolments
    REGKEY_AGENT            "off": no agent is asked for keys that are unlocked, and none is started
    REGKEY_PASSPHRASE_FILE  file with the passphrase of the key, where no terminal can ask for it
    REGKEY_KEY_FILE         key file of a job that has no REGKEY_HOME, used only for the registry
    REGKEY_REGISTRY         with exactly this index URL; and, if that registry wants one,
    REGKEY_SUBJECT          with this subject in the token

Options: --cargo-plugin (what cargo gives), --version, --help
`, self)
}
