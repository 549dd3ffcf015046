// regkey agent start and serve: becoming the agent, or having one come.

package main

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/internal/agent/keeper"
)

func (a *app) agentStartCommand() *cli.Command {
	standard := keeper.DefaultSettings()
	return &cli.Command{
		Name:  "start",
		Usage: "start the agent, and set how agents behave",
		Description: `Starts the agent where none runs. The flags are remembered in agent.toml, in regkey's folder,
for agents that start by themselves, too; what is not given stays as it was. An agent that
runs with other settings is replaced by a new one, which holds nothing.

With --confirm every publish, yank and change of owners is confirmed in a window (pinentry),
also where the key is unlocked; --confirm=false ends that. With --foreground this process is
the agent, and tells on standard error what was asked by which process, and what came of it.

Examples:
   regkey agent start --ttl 1h
   regkey agent start --confirm
   regkey agent start --foreground`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "ttl", Usage: "how long something is kept after its last use: a `TIME` like 15m", DefaultText: brief(standard.TTL.String())},
			&cli.StringFlag{Name: "max", Usage: "how long it is kept at most: a `TIME` like 8h", DefaultText: brief(standard.Max.String())},
			&cli.BoolFlag{Name: "confirm", Usage: "have a person confirm each change at a registry"},
			&cli.BoolFlag{Name: "foreground", Usage: "be the agent, and say on standard error what happens"},
		},
		Action: a.plainAgent(func(c *cli.Context) error {
			settings, err := a.agentSettings(c)
			if err != nil {
				return err
			}
			if c.Bool("foreground") {
				return a.serveAgent(c.Context, slog.New(slog.NewTextHandler(a.stderr, nil)))
			}
			return a.runAgentStart(c.Context, settings)
		}),
	}
}

func (a *app) agentServeCommand() *cli.Command {
	return &cli.Command{
		Name:   "serve",
		Usage:  "be the agent",
		Hidden: true,
		Description: `Is the agent until it is stopped. What starts an agent runs this, detached from its own
terminal.

Example:
   regkey agent serve`,
		Action: a.plainAgent(func(c *cli.Context) error {
			keeper.CloseInherited()
			err := a.serveAgent(c.Context, nil)
			if errors.Is(err, keeper.ErrTaken) {
				return nil // which is what whoever started this wanted
			}
			return err
		}),
	}
}

// agentSettings are those that stand, changed by the flags, and stored again if there are any.
func (a *app) agentSettings(c *cli.Context) (s keeper.Settings, err error) {
	if c.IsSet("ttl") || c.IsSet("max") || c.IsSet("confirm") {
		err = a.locked(c.Context, func(_ context.Context, home string) (err error) {
			s, err = changeSettings(c, home)
			return err
		})
		return s, err
	}
	home, err := a.home()
	if err != nil {
		return s, err
	}
	return keeper.OpenSettings(home)
}

// changeSettings is called with the lock of the home folder, as two may change one setting each.
func changeSettings(c *cli.Context, home string) (keeper.Settings, error) {
	s, err := keeper.OpenSettings(home)
	if err != nil {
		return s, err
	}
	before := s
	for name, setting := range map[string]*time.Duration{"ttl": &s.TTL, "max": &s.Max} {
		if !c.IsSet(name) {
			continue
		}
		if *setting, err = parseDuration(c.String(name)); err != nil {
			return s, usage("reading --%s %.20q: it is a time like 15m or 8h", name, c.String(name))
		}
	}
	if c.IsSet("confirm") {
		s.Confirm = c.Bool("confirm")
	}
	if err := s.Check(); err != nil {
		return s, usage("%w", err)
	}
	if s != before {
		err = s.Save(home)
	}
	return s, err
}

// runAgentStart replaces an agent that was started with other settings.
func (a *app) runAgentStart(ctx context.Context, want keeper.Settings) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, agentLimit)
	defer cancel()
	said, pid := "started", 0
	_, err = a.askAgent(ctx, func(client *agent.Client) error {
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		if !settingsDiffer(status, want) {
			pid = status.PID
			return nil
		}
		said = "replaced, as it had other settings; what it held is dropped"
		return client.Stop(ctx)
	})
	switch {
	case err != nil:
		return err
	case pid != 0:
		return a.printLine("running already: process %d", pid)
	}
	if err := agent.Start(ctx, home); err != nil {
		if errors.Is(err, agent.ErrOff) {
			return advised(err, "without REGKEY_AGENT=off in its environment the same command starts one")
		}
		return err
	}
	client, err := agent.Dial(ctx, home)
	if err != nil {
		return err
	}
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	return a.printLine("%s: process %d", said, status.PID)
}

// The collector keeps an idle agent small: its heap is some 3 MB, and nobody waits for it.
const (
	agentGCPercent = 25
	agentMemory    = 16 << 20 // bytes, above which the collector works harder
)

// serveAgent is the agent, in this process. A nil log tells nobody.
func (a *app) serveAgent(ctx context.Context, log *slog.Logger) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	if err := keeper.Harden(); err != nil {
		return err
	}
	settings, err := keeper.OpenSettings(home)
	if err != nil {
		return err
	}
	debug.SetGCPercent(agentGCPercent)
	debug.SetMemoryLimit(agentMemory)
	o := keeper.Options{
		Home: home, Settings: settings, Log: log,
		Confirm: confirmInWindow,
		Suspend: keeper.Sleeps(ctx),
		Idle:    keeper.GiveBack,
	}
	if a.cantReach() == nil {
		o.Tokens = newAgentTokens()
	}
	return keeper.Serve(ctx, o)
}
