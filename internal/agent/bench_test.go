// What a token costs through the agent, for a client that lives on: the provider adds its own start.

//go:build unix

package agent_test

import (
	"testing"

	"github.com/cargo-regkey/regkey/internal/agent"
)

func BenchmarkToken(b *testing.B) {
	home, laptop := enrolled(b)
	start(b, home, programs(b))
	add(b, home, laptop)
	for b.Loop() {
		if _, err := dial(b, home).Token(b.Context(), publish, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStart is how long the first one waits who has something for an agent.
func BenchmarkStart(b *testing.B) {
	home, _ := enrolled(b)
	bin := programs(b)
	for b.Loop() {
		if err := agent.StartFrom(b.Context(), home, bin); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		stop(b, home)
		b.StartTimer()
	}
}
