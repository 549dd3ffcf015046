// regkey agent: the process that keeps what was unlocked, started, looked at, locked and stopped.

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/internal/agent/keeper"
)

// agentLimit is how long an agent may take to answer the user who asks for it itself.
const agentLimit = 15 * time.Second

func (a *app) agentCommand() *cli.Command {
	return &cli.Command{
		Name:  "agent",
		Usage: "keep keys unlocked for a while",
		Description: `The agent keeps unlocked keys and the PINs of hardware tokens, so that cargo's next operations
ask nobody. It starts by itself when a passphrase or PIN was typed, and ends by itself when it
holds nothing any more. It signs tokens for registries at which you have enrolled, and nothing
else: enrolling, rotating and revoking always ask anew. Everything is dropped some time after
its last use, when the machine is suspended, and by "regkey agent lock"; a PIN also when its
token is pulled. With REGKEY_AGENT=off no agent is used, and none is started.

Without a command it shows the status.

Examples:
   regkey agent
   regkey agent lock`,
		Subcommands: []*cli.Command{
			a.agentStartCommand(), a.agentStopCommand(), a.agentStatusCommand(), a.agentLockCommand(), a.agentServeCommand(),
		},
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("unknown command agent %.40q", c.Args().First())
			}
			return a.runAgentStatus(c.Context, c.Bool("json"))
		},
	}
}

func (a *app) agentStatusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show what the agent holds, and until when",
		Description: `Shows whether an agent runs, the keys that it holds unlocked, and the tokens whose PIN it
keeps or whose card it has at this moment. That none runs is no error.

Examples:
   regkey agent status
   regkey agent status --json`,
		Flags:  []cli.Flag{jsonFlag()},
		Action: a.plainAgent(func(c *cli.Context) error { return a.runAgentStatus(c.Context, c.Bool("json")) }),
	}
}

func (a *app) agentLockCommand() *cli.Command {
	return &cli.Command{
		Name:  "lock",
		Usage: "have the agent drop all that it holds",
		Description: `Has the agent drop every key and PIN, and give back the cards. It goes on running.

Example:
   regkey agent lock`,
		Action: a.plainAgent(func(c *cli.Context) error {
			return a.runAgentOrder(c.Context, "locked: the agent holds nothing now", (*agent.Client).Lock)
		}),
	}
}

func (a *app) agentStopCommand() *cli.Command {
	return &cli.Command{
		Name:  "stop",
		Usage: "end the agent",
		Description: `Ends the agent; all that it holds is dropped.

Example:
   regkey agent stop`,
		Action: a.plainAgent(func(c *cli.Context) error {
			return a.runAgentOrder(c.Context, "stopped: the agent is gone, with all that it held", (*agent.Client).Stop)
		}),
	}
}

// plainAgent is an action that takes no arguments.
func (a *app) plainAgent(action cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := noArguments(c); err != nil {
			return err
		}
		return action(c)
	}
}

// reachAgent is nil where no agent runs.
func (a *app) reachAgent(ctx context.Context) (*agent.Client, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	client, err := agent.Reach(ctx, home)
	if errors.Is(err, agent.ErrNoAgent) {
		return nil, nil
	}
	return client, err
}

// askAgent makes one request, and reports false where no agent runs, also where it was just ending.
// One that is there and does not answer is an error.
func (a *app) askAgent(ctx context.Context, request func(*agent.Client) error) (running bool, err error) {
	client, err := a.reachAgent(ctx)
	if client == nil {
		return false, err
	}
	if err = request(client); !errors.Is(err, agent.ErrNoAgent) {
		return true, err
	}
	again, failed := a.reachAgent(ctx)
	if failed == nil && again == nil {
		return false, nil
	}
	if again != nil {
		_ = again.Close()
	}
	return true, err
}

// runAgentOrder gives an order that is carried out by itself where no agent runs.
func (a *app) runAgentOrder(ctx context.Context, done string, order func(*agent.Client, context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, agentLimit)
	defer cancel()
	running, err := a.askAgent(ctx, func(client *agent.Client) error { return order(client, ctx) })
	switch {
	case err != nil:
		return err
	case !running:
		return a.printLine("not running: nothing is unlocked")
	}
	return a.printLine("%s", done)
}

// agentFacts is the state of an agent in JSON.
type agentFacts struct {
	Running  bool              `json:"running"`
	PID      int               `json:"pid,omitzero"`
	Since    string            `json:"since,omitzero"`
	TTL      string            `json:"ttl,omitzero"`
	Max      string            `json:"max,omitzero"`
	Confirm  bool              `json:"confirm"`
	Hardware bool              `json:"hardware"` // it can reach tokens
	Weakness string            `json:"weakness,omitzero"`
	Keys     []agentKeyFacts   `json:"keys"`
	Tokens   []agentTokenFacts `json:"tokens"`
}

// agentKeyFacts is a software key that the agent holds.
type agentKeyFacts struct {
	Name  string `json:"name"`
	ID    string `json:"id"`
	Idle  string `json:"idle-until"`
	Until string `json:"until"`
}

// agentTokenFacts is a token whose PIN is kept, or whose card the agent has.
type agentTokenFacts struct {
	Serial uint32 `json:"serial"`
	Card   string `json:"card"` // "held" or "released"
	Idle   string `json:"pin-idle-until,omitzero"`
	Until  string `json:"pin-until,omitzero"`
}

func factsOfAgent(s agent.Status) agentFacts {
	f := agentFacts{
		Running: true, PID: s.PID, Since: moment(s.Since), TTL: s.TTL, Max: s.Max,
		Confirm: s.Confirm, Hardware: s.Hardware, Weakness: s.Weakness,
		Keys: []agentKeyFacts{}, Tokens: []agentTokenFacts{},
	}
	for _, k := range s.Keys {
		f.Keys = append(f.Keys, agentKeyFacts{k.Name, k.ID, moment(k.Idle), moment(k.Until)})
	}
	for _, t := range s.Tokens {
		card := "released"
		if t.Open {
			card = "held"
		}
		f.Tokens = append(f.Tokens, agentTokenFacts{t.Serial, card, moment(t.Idle), moment(t.Until)})
	}
	return f
}

func (a *app) runAgentStatus(ctx context.Context, json bool) error {
	ctx, cancel := context.WithTimeout(ctx, agentLimit)
	defer cancel()
	f := agentFacts{Keys: []agentKeyFacts{}, Tokens: []agentTokenFacts{}}
	_, err := a.askAgent(ctx, func(client *agent.Client) error {
		status, err := client.Status(ctx)
		if err == nil {
			f = factsOfAgent(status)
		}
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case json:
		return a.printJSON(f)
	case !f.Running:
		return a.printLine("not running")
	}
	return a.printAgent(f)
}

func (a *app) printAgent(f agentFacts) error {
	facts := []fact{
		{"running", fmt.Sprintf("process %d, since %s", f.PID, f.Since)},
		{"keeps", fmt.Sprintf("for %s after the last use, %s at most", brief(f.TTL), brief(f.Max))},
	}
	if f.Confirm {
		facts = append(facts, fact{"confirm", "a person confirms each change at a registry"})
	}
	if !f.Hardware {
		facts = append(facts, fact{"hardware", "this agent reaches no tokens"})
	}
	if f.Weakness != "" {
		facts = append(facts, fact{"warning", "what it holds may be swapped to disk: " + f.Weakness})
	}
	for _, k := range f.Keys {
		facts = append(facts, fact{"key " + k.Name, fmt.Sprintf("unlocked until %s, until %s at most", k.Idle, k.Until)})
	}
	for _, t := range f.Tokens {
		text := "card " + t.Card
		if t.Idle != "" {
			text += fmt.Sprintf(", PIN kept until %s, until %s at most", t.Idle, t.Until)
		}
		facts = append(facts, fact{fmt.Sprintf("token %d", t.Serial), text})
	}
	if len(f.Keys)+len(f.Tokens) == 0 {
		facts = append(facts, fact{"holds", "nothing"})
	}
	return a.printFacts(facts...)
}

// brief is a duration without the zeros at its end: "15m", not "15m0s".
func brief(duration string) string {
	for _, zero := range []struct{ after, end string }{{"m", "0s"}, {"h", "0m"}} {
		if short, found := strings.CutSuffix(duration, zero.end); found && strings.HasSuffix(short, zero.after) {
			duration = short
		}
	}
	return duration
}

// settingsDiffer compares what a running agent does with what is wanted.
func settingsDiffer(s agent.Status, want keeper.Settings) bool {
	return s.TTL != want.TTL.String() || s.Max != want.Max.String() || s.Confirm != want.Confirm
}
