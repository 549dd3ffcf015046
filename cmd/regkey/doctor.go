// regkey doctor: the whole chain, from cargo to the card.

package main

import "github.com/urfave/cli/v2"

func (a *app) doctorCommand() *cli.Command {
	return &cli.Command{Name: "doctor", Usage: "x", Description: "x\n\nExample:\n   regkey doctor"}
}
