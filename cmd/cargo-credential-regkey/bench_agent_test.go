// How long the whole process takes with the agent, beside one with an unprotected key.

//go:build unix

package main_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
)

// BenchmarkAgent measures processes from their start to their end: one "publish" with a passphrase key
// that the agent holds, and in turn with it one with an unprotected key. The metric "x-unprotected" is
// the ratio of the two medians.
func BenchmarkAgent(b *testing.B) {
	bin := b.TempDir()
	if out, err := buildCommand(filepath.Join(bin, "regkey"), "../regkey").CombinedOutput(); err != nil {
		b.Fatalf("building: %v\n%s", err, out)
	}
	check(b, os.Link(program, filepath.Join(bin, "cargo-credential-regkey")))
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P384} {
		b.Run(algorithm.String(), func(b *testing.B) {
			open, locked := newUser(b), newUser(b)
			open.enrol(b, lab(index), algorithm, "")
			key := locked.enrol(b, lab(index), algorithm, "correct horse")
			locked.startAgent(b, bin, key)
			request := []byte(requests(index)["publish"])

			once := func(times *[]time.Duration, u *user) {
				cmd := exec.Command(filepath.Join(bin, "cargo-credential-regkey"), "--cargo-plugin")
				var out bytes.Buffer
				cmd.Env, cmd.Stdin, cmd.Stdout = u.env, bytes.NewReader(request), &out
				begin := time.Now()
				err := cmd.Run()
				*times = append(*times, time.Since(begin))
				if err != nil || !bytes.Contains(out.Bytes(), []byte(`{"Ok":{"kind":"get"`)) {
					b.Fatalf("%v, %s", err, out.Bytes())
				}
			}
			var openTimes, agentTimes []time.Duration
			for b.Loop() {
				once(&openTimes, open)
				once(&agentTimes, locked)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(median(openTimes))/1e6, "unprotected-ms")
			b.ReportMetric(float64(median(agentTimes))/1e6, "agent-ms")
			b.ReportMetric(float64(median(agentTimes))/float64(median(openTimes)), "x-unprotected")
		})
	}
}

// startAgent starts the agent of the regkey in bin, and gives it key as laptop.
func (u *user) startAgent(t testing.TB, bin string, key *keys.SoftwareKey) {
	t.Helper()
	u.env = []string{"REGKEY_HOME=" + u.home, "PATH=" + os.Getenv("PATH")}
	cmd := exec.Command(filepath.Join(bin, "regkey"), "agent", "start")
	cmd.Env = u.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("starting the agent: %v\n%s", err, out)
	}
	ask := func(do func(*agent.Client) error) error {
		client, err := agent.Dial(context.Background(), u.home)
		if err != nil {
			return err
		}
		return do(client)
	}
	t.Cleanup(func() {
		check(t, ask(func(c *agent.Client) error { return c.Stop(context.Background()) }))
	})
	check(t, ask(func(c *agent.Client) error { return c.Add(t.Context(), "laptop", key.Secret()) }))
}
