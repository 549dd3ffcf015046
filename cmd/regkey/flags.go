// Flags that several commands share, and the reading of arguments.

package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print the result as JSON"}
}

func yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Usage: "go ahead without asking"}
}

func registryFlag() cli.Flag {
	return &cli.StringFlag{Name: "registry", Usage: "the `REGISTRY`: its name in cargo's configuration, or its index URL"}
}

func accountFlag() cli.Flag {
	return &cli.StringFlag{Name: "account", Usage: "the `ACCOUNT` there (the one in use)"}
}

func everyAccountFlag() cli.Flag {
	return &cli.StringFlag{Name: "account", Usage: "the `ACCOUNT` there (all that this machine has)"}
}

func withFileFlag() cli.Flag {
	return &cli.StringFlag{Name: "with-file", Usage: "have the key in the file `PATH` sign as the managing one, without keeping it here"}
}

func certificateFlag() cli.Flag {
	return &cli.StringFlag{Name: "revocation-file", Usage: "where to write the revocation certificate: a `PATH`, best on another disk"}
}

// errTypedPassphrase does not repeat what may be one.
var errTypedPassphrase = usage("too many arguments: --passphrase takes none; a passphrase is asked for, and never typed on a command line")

// oneArgument is the only argument, "" if there is none.
func oneArgument(c *cli.Context, what string) (string, error) {
	if c.NArg() > 1 {
		if c.Bool("passphrase") {
			return "", errTypedPassphrase
		}
		return "", usage("too many arguments: one %s is expected, and %q came too", what, c.Args().Get(1))
	}
	return c.Args().First(), nil
}

func noArguments(c *cli.Context) error {
	if c.NArg() > 0 {
		if c.Bool("passphrase") {
			return errTypedPassphrase
		}
		return usage("unexpected argument %.40q", c.Args().First())
	}
	return nil
}

// parseUntil reads an end: a day, a moment (RFC 3339), or how long from now ("720h", "30d").
func parseUntil(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	until, err := time.Parse(time.RFC3339, text)
	if err != nil {
		until, err = time.Parse(time.DateOnly, text)
	}
	if err != nil {
		duration, durationErr := parseDuration(text)
		if durationErr != nil {
			return time.Time{}, usage("reading --until %.40q: neither a day (2027-01-31), nor a moment (2027-01-31T12:00:00Z), nor a time from now (30d, 12h)", text)
		}
		until = now.Add(duration)
	}
	if !until.After(now) {
		return time.Time{}, usage("reading --until %.40q: that is in the past", text)
	}
	return until.UTC().Truncate(time.Second), nil
}

// parseDuration reads what [time.ParseDuration] reads, and whole days: "30d".
func parseDuration(text string) (time.Duration, error) {
	if days, found := strings.CutSuffix(text, "d"); found {
		hours, err := time.ParseDuration(days + "h")
		if err == nil && hours.Abs() > math.MaxInt64/24 {
			err = fmt.Errorf("%.40q is too long", text) // it would come round as another time
		}
		return 24 * hours, err
	}
	return time.ParseDuration(text)
}

// list splits at commas; "" is no entry.
func list(text string) []string {
	if text == "" {
		return nil
	}
	entries := strings.Split(text, ",")
	for i, entry := range entries {
		entries[i] = strings.TrimSpace(entry)
	}
	return entries
}
