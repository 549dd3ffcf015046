//go:build !(cgo || windows)

// Without cgo there is no way to a reader.

package hardware

const built = false

type noSystem struct{}

func newSystem() system { return noSystem{} }

func (noSystem) readers() ([]string, error) { return nil, ErrNotBuilt }

func (noSystem) open(string) (card, error) { return nil, ErrNotBuilt }

func (noSystem) lookout(string) (lookout, error) { return nil, ErrNotBuilt }
