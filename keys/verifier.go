// Verifying many signatures at once.

package keys

import (
	"bytes"
	"crypto/ed25519"
	"runtime"
	"sync"
	"sync/atomic"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// A Verifier is a key with what follows from it alone, for whoever checks many of its signatures: see
// [FirstBad]. It may be used by several goroutines.
type Verifier struct {
	key   PublicKey
	minus *edwards25519.Point // −A of an Ed25519 key; nil: nothing is prepared
}

// Verifier prepares p. For the zero value it verifies nothing.
func (p PublicKey) Verifier() *Verifier {
	v := &Verifier{key: p}
	if p.algorithm == Ed25519 {
		// It can't fail, as p was checked when it was made; if it did, each check would do it, and say no.
		if point, err := new(edwards25519.Point).SetBytes(p.raw[:32]); err == nil {
			v.minus = point.Negate(point)
		}
	}
	return v
}

// A Check is one signature that is to be verified.
type Check struct {
	By                 *Verifier
	Message, Signature []byte
}

// share is how many checks one processor makes at a time: enough that an inversion for all of them
// costs little, and few enough for the processors to end together.
const share = 16

// FirstBad makes the checks on all processors and gives the index of the first that fails; len(checks):
// none does. Each is judged as [PublicKey.Verify] judges it, alone: this is no batch verification, which
// takes some signatures that a check of each refuses. An Ed25519 signature costs about an eighth less
// this way, as all share what follows from their keys, and inversions.
func FirstBad(checks []Check) int {
	var next, bad atomic.Int64
	bad.Store(int64(len(checks)))
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (len(checks)+share-1)/share) {
		wait.Go(func() {
			for {
				end := int(next.Add(share))
				first := end - share
				if int64(first) >= bad.Load() {
					return
				}
				end = min(end, len(checks))
				found := first + firstOf(checks[first:end])
				if found == end {
					continue
				}
				for was := bad.Load(); int64(found) < was && !bad.CompareAndSwap(was, int64(found)); was = bad.Load() {
				}
			}
		})
	}
	wait.Wait()
	return int(bad.Load())
}

// firstOf is FirstBad on this processor.
func firstOf(checks []Check) int {
	bad := len(checks)
	var points []*edwards25519.Point
	var whose []int
	for i, c := range checks {
		point, good := c.commitment()
		if !good {
			bad = i
			break
		}
		if point != nil {
			points, whose = append(points, point), append(whose, i)
		}
	}
	for n, encoded := range encodePoints(points) {
		if i := whose[n]; !bytes.Equal(encoded, checks[i].Signature[:32]) {
			return i
		}
	}
	return bad
}

// commitment is the point R that the rest of an Ed25519 signature is right for (RFC 8032, section
// 5.1.7, without the cofactor): [S]B − [k]A. The signature is good if it begins with that point's
// encoding, which is how crypto/ed25519 judges as well. Without a point, good says it all.
func (c Check) commitment() (point *edwards25519.Point, good bool) {
	if c.By.minus == nil {
		return nil, c.By.key.Verify(c.Message, c.Signature)
	}
	if len(c.Signature) != ed25519.SignatureSize {
		return nil, false
	}
	s, err := edwards25519.NewScalar().SetCanonicalBytes(c.Signature[32:])
	if err != nil {
		return nil, false
	}
	k, err := hashToScalar(c.Signature[:32], c.By.key.raw[:32], c.Message)
	if err != nil {
		return nil, false
	}
	return new(edwards25519.Point).VarTimeDoubleScalarBaseMult(k, c.By.minus, s), true
}

// encodePoints is Bytes of each point, for one inversion in all and three products each (Montgomery's
// trick): what is inverted is the product of all Z, and the inverse of one Z is that of the product times
// all others. No Z of a point is 0.
func encodePoints(points []*edwards25519.Point) [][]byte {
	type affine struct{ x, y, z, before *field.Element }
	all := make([]affine, len(points))
	product := new(field.Element).One()
	for i, p := range points {
		x, y, z, _ := p.ExtendedCoordinates()
		all[i] = affine{x, y, z, new(field.Element).Set(product)}
		product.Multiply(product, z)
	}
	inverse := product.Invert(product)
	encoded := make([][]byte, len(points))
	for i := len(all) - 1; i >= 0; i-- {
		a := all[i]
		a.before.Multiply(a.before, inverse) // 1/z
		inverse.Multiply(inverse, a.z)
		encoded[i] = a.y.Multiply(a.y, a.before).Bytes()
		encoded[i][31] |= byte(a.x.Multiply(a.x, a.before).IsNegative() << 7)
	}
	return encoded
}
