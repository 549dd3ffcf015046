//go:build cgo && linux

// How many commands a signature takes, and what the software adds to the card's own time.

package hardware

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
)

// commands writes a log with one word for each command.
func commands(log []virtualpiv.Command) string {
	names := map[byte]string{
		0x20: "verify", 0x87: "sign", 0xa4: "select", 0xc0: "more", 0xf7: "metadata", 0xf8: "serial", 0xf9: "attest", 0xfd: "version",
		0x01: "otp-serial",
	}
	var words []string
	for _, c := range log {
		word := names[c.Instruction]
		if word == "" {
			word = fmt.Sprintf("%02x", c.Instruction)
		}
		if c.Class&0x10 != 0 {
			word += "+"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// A publish token's message is of some 450 bytes: two commands for Ed25519.
var publishMessage = []byte(strings.Repeat("p", 450))

// once opens the token, signs, and closes it, as a program does that is started for one signature.
func once(ctx context.Context, key Key, p Prompter) error {
	token, err := Open(ctx, testSerial)
	if err != nil {
		return err
	}
	if _, err := keys.Sign(ctx, token.Signer(key, p), publishMessage); err != nil {
		return err
	}
	return token.Close()
}

func TestCommandsOfASignature(t *testing.T) {
	const (
		open5 = "select version serial "
		open4 = "select version select otp-serial select "
	)
	for _, c := range []struct {
		firmware  [3]byte
		algorithm keys.Algorithm
		pin       PINPolicy
		want      string
	}{
		{v574, keys.P384, PINOnce, open5 + "metadata verify verify sign select"},
		{v574, keys.Ed25519, PINOnce, open5 + "metadata verify verify sign+ sign select"},
		{v574, keys.Ed25519, PINAlways, open5 + "metadata verify verify sign+ sign select"},
		{v574, keys.P384, PINNever, open5 + "metadata sign"},
		{v543, keys.P384, PINOnce, open5 + "metadata verify verify sign select"},
		{v527, keys.P384, PINOnce, open5 + "attest more verify verify sign select"},
		{v435, keys.P384, PINNever, open4 + "attest more sign"},
	} {
		card, reader := insert(t, virtualpiv.Options{Firmware: c.firmware})
		maker := open(t, testSerial)
		key, err := maker.Generate(t.Context(), GenerateOptions{Algorithm: c.algorithm, PIN: c.pin, Touch: TouchNever})
		if err != nil || maker.Close() != nil {
			t.Fatal(err)
		}
		card.ClearLog()
		if err := once(t.Context(), key, &person{pin: pin123}); err != nil {
			t.Fatal(err)
		}
		if got := commands(card.Log()); got != c.want {
			t.Errorf("%v %v %v:\n got %s\nwant %s", c.firmware, c.algorithm, c.pin, got, c.want)
		}
		daemon.Remove(reader)
	}
}

func TestCommandsOfASecondSignature(t *testing.T) {
	for pin, want := range map[PINPolicy]string{PINOnce: "metadata sign", PINAlways: "metadata metadata verify sign", PINNever: "metadata sign"} {
		card, reader := insert(t, virtualpiv.Options{})
		token := open(t, testSerial)
		key, err := token.Generate(t.Context(), GenerateOptions{Algorithm: keys.P384, PIN: pin, Touch: TouchNever})
		if err != nil {
			t.Fatal(err)
		}
		signer := token.Signer(key, &person{pin: pin123})
		for range 2 {
			card.ClearLog()
			if _, err := keys.Sign(t.Context(), signer, publishMessage); err != nil {
				t.Fatal(err)
			}
		}
		if got := commands(card.Log()); got != want {
			t.Errorf("%s:\n got %s\nwant %s", pin, got, want)
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
		daemon.Remove(reader)
	}
}

func TestMessageLengths(t *testing.T) {
	card, _, token, key := keyed(t, v574, PINNever, TouchNever)
	signer := token.Signer(key, nil)
	for _, n := range []int{0, 1, 64, 65, 120, 240, 255, 256, 510, 511, MaxMessage} {
		if _, err := keys.Sign(t.Context(), signer, slices.Repeat([]byte{7}, n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	card.ClearLog()
	if _, err := keys.Sign(t.Context(), signer, make([]byte, MaxMessage+1)); err == nil || !strings.Contains(err.Error(), "3001") {
		t.Errorf("too long: %v", err)
	}
	if log := card.Log(); len(log) != 0 {
		t.Errorf("the card was asked: %v", log)
	}
	p384, err := token.Generate(t.Context(), GenerateOptions{Algorithm: keys.P384, PIN: PINNever, Touch: TouchNever})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Sign(t.Context(), token.Signer(p384, nil), make([]byte, 1<<20)); err != nil {
		t.Errorf("P-384, 1 MiB: %v", err)
	}
}

// Windows resets a card that gets no command for five seconds, so one is sent while a person types.
func TestTokenIsKeptAwake(t *testing.T) {
	card, _, token, key := keyed(t, v574, PINOnce, TouchNever)
	ticks := make(chan time.Time)
	token.awake, token.after = windowsPatience, func(d time.Duration) <-chan time.Time {
		if d != windowsPatience {
			t.Errorf("waits for %v", d)
		}
		return ticks
	}
	slow := slowPerson{func() {
		for range 3 {
			ticks <- time.Time{}
		}
	}}
	card.ClearLog()
	if _, err := keys.Sign(t.Context(), token.Signer(key, slow), publishMessage); err != nil {
		t.Error(err)
	}
	if got := commands(card.Log()); got != "metadata verify verify verify verify verify sign+ sign" {
		t.Error(got)
	}
	if card.PINTries() != 3 {
		t.Errorf("%d tries left", card.PINTries())
	}
}

// slowPerson takes a while for the PIN.
type slowPerson struct{ meanwhile func() }

func (p slowPerson) PIN(context.Context, Key, int) (keys.Secret, error) {
	p.meanwhile()
	return secret(pin123), nil
}

func (slowPerson) Touch(context.Context, Key) func() { return func() {} }

// BenchmarkSignature measures opening, one publish token's signature with the PIN, and closing, through libpcsclite and the
// stand-in for its daemon. What the virtual card takes for itself is measured beside it and taken off in overhead-ms.
func BenchmarkSignature(b *testing.B) {
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P384} {
		b.Run(algorithm.String(), func(b *testing.B) {
			card, reader := insert(b, virtualpiv.Options{})
			defer daemon.Remove(reader)
			maker, err := Open(b.Context(), testSerial)
			if err != nil {
				b.Fatal(err)
			}
			key, err := maker.Generate(b.Context(), GenerateOptions{Algorithm: algorithm, Touch: TouchNever})
			if err != nil || maker.Close() != nil {
				b.Fatal(err)
			}
			p := &person{pin: pin123}
			card.ClearLog()
			for b.Loop() {
				if err := once(b.Context(), key, p); err != nil {
					b.Fatal(err)
				}
			}
			perOp := float64(b.N)
			b.ReportMetric(float64(len(card.Log()))/perOp, "apdus/op")
			whole := float64(b.Elapsed().Nanoseconds()) / perOp / 1e6
			b.ReportMetric(whole-cardMilliseconds(b, algorithm), "overhead-ms")
		})
	}
}

// cardMilliseconds is what the card's own computation takes: a signature by the standard library.
func cardMilliseconds(b *testing.B, algorithm keys.Algorithm) float64 {
	key, err := keys.Generate(algorithm)
	if err != nil {
		b.Fatal(err)
	}
	const rounds = 50
	start := time.Now()
	for range rounds {
		if _, err := key.Sign(b.Context(), publishMessage); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(start).Nanoseconds()) / rounds / 1e6
}
