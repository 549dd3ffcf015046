// serve: the registry itself.

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/gofrs/flock"
	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/crate"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/token"
)

func (a *app) serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "serve the registry",
		Description: `Serves until it is interrupted, then finishes the requests that run. The first line on standard output is
JSON with "url" and "index"; the log goes to standard error.

   regkey-registry serve --listen 127.0.0.1:0 --data ./registry
   regkey-registry serve --url https://crates.example.com --auth-required

Tokens and keysets name the index URL. A registry that the world reaches by another address than it listens on, as behind
a proxy that does TLS, must be told with --url, or every token fails.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8686", Usage: "the `ADDRESS` to listen on; port 0 takes a free one"},
			dataFlag(),
			&cli.StringFlag{Name: "url", Usage: "the `URL` by which the world calls the registry (default: http:// and the address)"},
			&cli.StringSliceFlag{Name: "former", Usage: "the `URL` from before a move, or the index URL of then; may be given more than once"},
			&cli.BoolFlag{Name: "auth-required", Usage: "reading needs a token too"},
			&cli.BoolFlag{Name: "challenge", Usage: "every change must carry a fresh challenge of this registry"},
			&cli.Int64Flag{Name: "max-crate-size", Value: crate.DefaultMaxCrate, Usage: "the largest .crate file taken, in `BYTES`"},
			&cli.DurationFlag{Name: "window", Value: token.DefaultWindow, Usage: "how `LONG` after signing a token is taken"},
			&cli.BoolFlag{Name: "require-hardware", Usage: "keys that may do more than read must be attested as made in hardware"},
			&cli.StringFlag{Name: "min-firmware", Usage: "and their tokens have firmware `X.Y.Z` or later; implies --require-hardware"},
			&cli.BoolFlag{Name: "require-touch", Usage: "and signing with them takes a touch; implies --require-hardware"},
			&cli.PathFlag{Name: "attestation-roots", Usage: "trust the makers whose roots are in this `FILE` (PEM) beside Yubico"},
			&cli.BoolFlag{Name: "verbose", Usage: "log refused reads too"},
		},
		Action: a.serve,
	}
}

func (a *app) serve(c *cli.Context) (err error) {
	if err := arguments(c); err != nil {
		return err
	}
	config, err := serveConfig(c)
	if err != nil {
		return err
	}
	// The garbage collector's default lets the heap double between runs; a registry that mostly idles gives that memory back.
	debug.SetGCPercent(50)
	log := a.logger(c.Bool("verbose"))
	// Everything that the command line can have wrong comes before the folder is made.
	listener, err := new(net.ListenConfig).Listen(c.Context, "tcp", c.String("listen"))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer func() { _ = listener.Close() }() // served, it is closed already
	if config.URL, err = publicURL(c.String("url"), listener.Addr()); err != nil {
		return err
	}
	if slices.Contains(config.Former, registry.IndexURL(config.URL)) {
		return usage("--former names the URL under which the registry is served now")
	}
	db, err := openData(c.Context, c.Path("data"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	config.Storage, config.Log, config.Now = db.DB, log, a.now
	server, err := registry.Open(c.Context, config)
	if err != nil {
		return err
	}
	return a.listen(c.Context, server, listener, log)
}

// serveConfig is what the flags say of the registry itself.
func serveConfig(c *cli.Context) (registry.Config, error) {
	config := registry.Config{
		AuthRequired: c.Bool("auth-required"), Challenge: c.Bool("challenge"), MaxCrate: c.Int64("max-crate-size"), Window: c.Duration("window"),
		Passing: c.String("url") == "" && strings.HasSuffix(c.String("listen"), ":0"),
	}
	if config.MaxCrate <= 0 {
		return config, usage("--max-crate-size must be positive")
	}
	if config.Window < minWindow {
		return config, usage("--window %v leaves a token no time to arrive: the least is %v", config.Window, minWindow)
	}
	var err error
	if config.Hardware, err = hardwarePolicy(c); err != nil {
		return config, err
	}
	config.Former, err = formerIndexes(c.StringSlice("former"))
	return config, err
}

// hardwarePolicy is what the flags ask of keys.
func hardwarePolicy(c *cli.Context) (registry.HardwarePolicy, error) {
	p := registry.HardwarePolicy{Required: c.Bool("require-hardware"), Touch: c.Bool("require-touch")}
	var err error
	if text := c.String("min-firmware"); text != "" {
		if p.MinFirmware, err = attestation.ParseVersion(text); err != nil {
			return p, usage("--min-firmware: %w", err)
		}
	}
	if path := c.Path("attestation-roots"); path != "" {
		text, err := os.ReadFile(path)
		if err == nil {
			p.Roots, err = attestation.ParseRoots(text)
		}
		if err != nil {
			return p, usage("--attestation-roots: %w", err)
		}
	}
	return p, nil
}

func (a *app) logger(verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
}

// ownData is a data folder with the lock that lets one server at a time have it.
type ownData struct {
	*storage.DB
	lock *flock.Flock
}

// Close closes the folder for another server to take.
func (d ownData) Close() error { return errors.Join(d.DB.Close(), d.lock.Unlock()) }

func openData(ctx context.Context, dir string) (ownData, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ownData{}, fmt.Errorf("making data folder: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "serve.lock"), flock.SetPermissions(0o600))
	switch held, err := lock.TryLock(); {
	case err != nil:
		return ownData{}, fmt.Errorf("locking data folder: %w", err)
	case !held:
		return ownData{}, &registry.OperatorError{Detail: fmt.Sprintf("another server is serving the folder %q", dir), Hint: "stop it first, or name another folder with --data"}
	}
	db, err := storage.Open(ctx, dir)
	if err == nil {
		err = db.DiscardUploads()
	}
	d := ownData{db, lock}
	if err != nil {
		if db == nil {
			return ownData{}, errors.Join(err, lock.Unlock())
		}
		return ownData{}, errors.Join(err, d.Close())
	}
	return d, nil
}

// publicURL is what the world calls the registry.
func publicURL(given string, listening net.Addr) (string, error) {
	if given != "" {
		if err := registry.CheckURL(given); err != nil {
			return "", usage("--url: %w", err)
		}
		return given, nil
	}
	address, ok := listening.(*net.TCPAddr)
	if ok && address.IP.IsUnspecified() {
		return "", usage("listening on every address of this machine needs --url: tokens name the one by which the registry is called")
	}
	return "http://" + listening.String(), nil
}

// formerIndexes are the index URLs that --former means.
func formerIndexes(given []string) ([]string, error) {
	var all []string
	for _, url := range given {
		if !strings.HasPrefix(url, "sparse+") {
			if err := registry.CheckURL(url); err != nil {
				return nil, usage("--former: %w", err)
			}
			url = registry.IndexURL(url)
		}
		if err := enroll.CheckIndex(url); err != nil {
			return nil, usage("--former: %w", err)
		}
		all = append(all, url)
	}
	return all, nil
}

// How long the parts of a connection may take. What a request's body and answer may take is the registry's to say.
const (
	headerTime   = 10 * time.Second
	idleTime     = 2 * time.Minute
	maxHeader    = 32 << 10 // bytes; a token has at most 8 KiB
	stopTime     = 30 * time.Second
	tidyInterval = 5 * time.Minute
	minWindow    = time.Second
)

// maxConnections is how many are served at once. What comes beyond waits for one of them to end.
const maxConnections = 1024

// taking is the http.Server's ConnState that keeps to a number of connections. The server reports a new connection
// before it accepts the next, so waiting there is what holds up the others.
func taking(n int) func(net.Conn, http.ConnState) {
	places := make(chan struct{}, n)
	return func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			places <- struct{}{}
		case http.StateClosed, http.StateHijacked:
			<-places
		}
	}
}

// listen serves until ctx ends, and then until the requests that run are answered.
func (a *app) listen(ctx context.Context, server *registry.Server, listener net.Listener, log *slog.Logger) error {
	httpServer := &http.Server{
		Handler:           server,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		ConnState:         taking(maxConnections),
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(listener) }()
	if err := a.announce(server); err != nil {
		return errors.Join(err, httpServer.Close())
	}
	log.Info("serving", "index", server.Index())
	if strings.HasPrefix(server.URL(), "http://") && !isLoopback(listener.Addr()) {
		log.Warn("this registry is reached without TLS: whoever is on the path sees every read token, and can use it until it expires")
	}
	tidy := time.NewTicker(tidyInterval)
	defer tidy.Stop()
	for {
		select {
		case err := <-served:
			return fmt.Errorf("serving: %w", err)
		case <-tidy.C:
			if err := server.Tidy(ctx); err != nil {
				log.Error("tidying up failed", "error", err)
			}
		case <-ctx.Done():
			log.Info("stopping")
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
			defer cancel()
			if err := httpServer.Shutdown(stopping); err != nil {
				return fmt.Errorf("stopping: %w", errors.Join(err, httpServer.Close()))
			}
			return nil
		}
	}
}

// announce prints the line that scripts wait for.
func (a *app) announce(server *registry.Server) error {
	line, err := json.Marshal(struct {
		URL   string `json:"url"`
		Index string `json:"index"`
	}{server.URL(), server.Index()})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n", line)
	return err
}

func isLoopback(a net.Addr) bool {
	address, ok := a.(*net.TCPAddr)
	return ok && address.IP.IsLoopback()
}
