// Connecting on Windows: a named pipe whose owner must be this process's user.

package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// connect connects to the agent, whose user must be this process's. The error wraps [ErrNoAgent].
func (p Place) connect(ctx context.Context) (connection, error) {
	pipe, err := winio.DialPipeContext(ctx, p.Socket)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %v", ErrNoAgent, err)
	}
	if err := checkOwner(pipe); err != nil {
		_ = pipe.Close()
		return nil, fmt.Errorf("%w: %v", ErrNoAgent, err)
	}
	return pipe, nil
}

// checkOwner refuses a pipe that another user has made under the agent's name.
func checkOwner(pipe any) error {
	file, ok := pipe.(interface{ Fd() uintptr })
	if !ok {
		return errors.New("the owner of its pipe can't be found out")
	}
	descriptor, err := windows.GetSecurityInfo(windows.Handle(file.Fd()), windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("finding the owner of its pipe: %w", err)
	}
	owner, _, err := descriptor.Owner()
	if err != nil {
		return fmt.Errorf("finding the owner of its pipe: %w", err)
	}
	user, err := UserSID()
	if err != nil {
		return err
	}
	if owner.String() != user {
		return errors.New("its pipe belongs to another user")
	}
	return nil
}

// listener is the process at the other end, which is not asked for here.
func listener(connection) int { return 0 }
