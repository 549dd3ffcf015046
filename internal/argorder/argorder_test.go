// Tests of the order of arguments, by what urfave's parser makes of it.

package argorder_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/internal/argorder"
)

// seen is what a command's action saw.
type seen struct {
	Key  string
	Yes  bool
	Args []string
}

func program(got *seen) *cli.App {
	flags := func() []cli.Flag {
		return []cli.Flag{
			&cli.StringFlag{Name: "key", Aliases: []string{"k"}},
			&cli.BoolFlag{Name: "yes"},
			&cli.DurationFlag{Name: "overlap"},
		}
	}
	action := func(c *cli.Context) error {
		*got = seen{c.String("key"), c.Bool("yes"), c.Args().Slice()}
		return nil
	}
	return &cli.App{
		Name: "program", Writer: io.Discard, ErrWriter: io.Discard,
		Flags: []cli.Flag{&cli.StringFlag{Name: "home"}, &cli.BoolFlag{Name: "quiet"}},
		Commands: []*cli.Command{
			{Name: "revoke", Flags: flags(), Action: action},
			{Name: "keys", Subcommands: []*cli.Command{{Name: "list", Flags: flags(), Action: action}}},
		},
	}
}

func TestOrder(t *testing.T) {
	for _, test := range []struct {
		line string
		want seen
	}{
		{"revoke k1 --yes", seen{"", true, []string{"k1"}}},
		{"revoke --yes k1", seen{"", true, []string{"k1"}}},
		{"revoke k1 --key laptop k2 --yes", seen{"laptop", true, []string{"k1", "k2"}}},
		{"revoke k1 --key=laptop", seen{"laptop", false, []string{"k1"}}},
		{"revoke k1 -k laptop", seen{"laptop", false, []string{"k1"}}},
		{"revoke k1 -key laptop -yes", seen{"laptop", true, []string{"k1"}}},
		{"revoke k1 --key=-x --yes", seen{"-x", true, []string{"k1"}}},
		{"revoke --yes -- k1 --key x", seen{"", true, []string{"k1", "--key", "x"}}},
		{"revoke k1 -- --yes", seen{"", false, []string{"k1", "--yes"}}},
		{"revoke - --yes", seen{"", true, []string{"-"}}},
		{"revoke k1 --yes=false", seen{"", false, []string{"k1"}}},
		{"revoke revoke --yes", seen{"", true, []string{"revoke"}}},
		{"--quiet --home x revoke k1 --yes", seen{"", true, []string{"k1"}}},
		{"--home revoke revoke k1 --yes", seen{"", true, []string{"k1"}}},
		{"keys list a --key x b --yes", seen{"x", true, []string{"a", "b"}}},
	} {
		t.Run(test.line, func(t *testing.T) {
			var got seen
			app := program(&got)
			args, err := argorder.Order(app, append([]string{"program"}, strings.Fields(test.line)...))
			if err != nil {
				t.Fatal(err)
			}
			if err := app.Run(args); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%q as %q: %s", test.line, args, diff)
			}
		})
	}
}

func TestMissingValue(t *testing.T) {
	for _, line := range []string{"revoke k1 --key", "revoke --key --yes k1", "revoke --key -- k1", "--home"} {
		if args, err := argorder.Order(program(&seen{}), append([]string{"program"}, strings.Fields(line)...)); err == nil {
			t.Errorf("%q became %q", line, args)
		}
	}
}

// What is unknown stays a flag, so that the parser refuses it instead of passing it on.
func TestUnknownFlagIsRefused(t *testing.T) {
	for _, line := range []string{"revoke k1 --force", "revoke k1 --yess", "--yes revoke k1"} {
		var got seen
		app := program(&got)
		args, err := argorder.Order(app, append([]string{"program"}, strings.Fields(line)...))
		if err != nil {
			t.Fatal(err)
		}
		if err := app.Run(args); err == nil {
			t.Errorf("%q as %q ran with %+v", line, args, got)
		}
	}
}

// The caller's slice may be os.Args.
func TestOrderLeavesItsInputAlone(t *testing.T) {
	args := []string{"program", "revoke", "k1", "--key", "x", "--yes"}
	before := slices.Clone(args)
	if _, err := argorder.Order(program(&seen{}), args); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(args, before) {
		t.Errorf("changed to %q", args)
	}
	if got, err := argorder.Order(program(&seen{}), nil); len(got) != 0 || err != nil {
		t.Errorf("no arguments became %q, %v", got, err)
	}
}
