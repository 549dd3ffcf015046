// Fuzzing: whatever a stranger sends as a chain.

package attestation

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// joinChain and splitChain make one value of a chain: each certificate after its length.
func joinChain(chain [][]byte) []byte {
	var data []byte
	for _, der := range chain {
		data = append(binary.BigEndian.AppendUint16(data, uint16(len(der))), der...)
	}
	return data
}

func splitChain(data []byte) (chain [][]byte) {
	for len(data) >= 2 {
		n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
		chain = append(chain, data[2:2+n])
		data = data[2+n:]
	}
	return chain
}

// FuzzVerify checks that nothing panics, that facts come only with trust, and that what is
// trusted begins with a statement that reads the same.
func FuzzVerify(f *testing.F) {
	m := newMaker(f)
	seeds := [][][]byte{m.attest(f, statement()), {m.root.Raw}, {}}
	files, err := filepath.Glob("testdata/*.pem")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds in testdata: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		certificates, err := ParseRoots(text)
		if err != nil {
			f.Fatal(err)
		}
		var chain [][]byte
		for _, c := range certificates {
			chain = append(chain, c.Raw)
		}
		seeds = append(seeds, chain)
	}
	for _, chain := range seeds {
		f.Add(joinChain(chain))
	}
	good := joinChain(seeds[0])
	roots := append(Roots(), m.root.Certificate)
	f.Fuzz(func(t *testing.T, data []byte) {
		chain := splitChain(data)
		facts, err := Verify(chain, roots, today)
		if err != nil {
			if facts != (Facts{}) {
				t.Errorf("facts beside an error: %+v", facts)
			}
			return
		}
		if again, err := Read(chain[0]); err != nil || again != facts {
			t.Errorf("%+v, then %+v, %v", facts, again, err)
		}
		if !bytes.HasPrefix(joinChain(append(chain, m.root.Raw)), good) {
			t.Errorf("trusted what the token didn't state: %x", data)
		}
	})
}
