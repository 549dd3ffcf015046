// regkey challenge: what the credential provider runs where a registry wants challenges.

package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/registryclient"
)

func (a *app) challengeCommand() *cli.Command {
	return &cli.Command{
		Name:   "challenge",
		Usage:  "fetch a challenge for one operation",
		Hidden: true,
		Description: `Prints a fresh challenge of a registry, alone, on stdout. cargo-credential-regkey runs it
where a registry wants one in each token.

Example:
   regkey challenge --index sparse+https://crates.example.com/index/`,
		Flags: []cli.Flag{&cli.StringFlag{Name: "index", Usage: "the `URL` of the registry's index"}},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return a.runChallenge(c.Context, c.String("index"))
		},
	}
}

func (a *app) runChallenge(ctx context.Context, index string) error {
	if err := enroll.CheckIndex(index); err != nil {
		return usage("reading --index: %w", err)
	}
	client, err := a.challengeClient(index)
	if err != nil {
		return err
	}
	challenge, err := client.Challenge(ctx)
	if err != nil {
		return err
	}
	return a.printLine("%s", challenge)
}

// challengeClient asks a registry that the user has enrolled at, or that a job's variables name: a
// job needs no home.
func (a *app) challengeClient(index string) (*registryclient.Client, error) {
	if a.getenv(envKeyFile) != "" && a.getenv(envRegistry) == index {
		return registryclient.New(index, a.clientOptions(index, false)), nil
	}
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	e, err := enroll.LookupEnrolment(home, index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notEnrolled(index, nil)
	}
	if err != nil {
		return nil, err
	}
	_, client := a.lifecycle(home, index, e.Insecure)
	return client, nil
}
