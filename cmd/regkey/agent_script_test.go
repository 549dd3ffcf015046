// What scripts do with agents beside running regkey, and the end of every agent that one has started.

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
)

// agent-holds NAME gives the agent the unprotected key NAME, as whoever has unlocked one does.
func holdKey(ts *testscript.TestScript, _ bool, args []string) {
	home := ts.Getenv("REGKEY_HOME")
	key, err := keys.OpenKeyFile(context.Background(), filepath.Join(home, "keys", args[0]+".key"), nil)
	ts.Check(err)
	client, err := agent.Reach(context.Background(), home)
	ts.Check(err)
	ts.Check(client.Add(context.Background(), args[0], key.Secret()))
}

// agent-signs OPERATION has the agent mint a token for $INDEX, and wants none to be made after "!".
func signByAgent(ts *testscript.TestScript, neg bool, args []string) {
	client, err := agent.Reach(context.Background(), ts.Getenv("REGKEY_HOME"))
	ts.Check(err)
	r := agent.TokenRequest{Index: ts.Getenv("INDEX"), Operation: args[0]}
	if args[0] != "read" {
		r.Name, r.Version = "sample", "1.0.0"
	}
	text, err := client.Token(context.Background(), r, nil)
	ts.Logf("%d characters, %v", len(text), err)
	if neg == (err == nil) {
		ts.Fatalf("%s: %v", args[0], err)
	}
}

// stopAgents ends the agents of all home folders of a script.
func stopAgents(t *testing.T, dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, entry := range entries {
		client, err := agent.Reach(ctx, filepath.Join(dir, entry.Name()))
		if err == nil {
			err = client.Stop(ctx)
		}
		if err != nil && !errors.Is(err, agent.ErrNoAgent) {
			t.Errorf("stopping the agent of %s: %v", entry.Name(), err)
		}
	}
}
