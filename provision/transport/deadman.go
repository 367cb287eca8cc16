package transport

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// DeadManTime is how long a node keeps a new network without having heard that it works.
const DeadManTime = 120 * time.Second

// A DeadMan puts a node's network configuration back unless Release is called in time. Nobody else
// would: Proxmox VE applies a network change that cuts us off and stays with it.
type DeadMan struct{ shell Shell }

// ArmDeadMan keeps the node's network configuration and starts a timer on the node.
func ArmDeadMan(ctx context.Context, s Shell) (*DeadMan, error) {
	for _, c := range []Command{keepInterfaces(), armRestore(DeadManTime)} {
		if _, err := s.Run(ctx, c); err != nil {
			return nil, fmt.Errorf("arm the dead-man switch: %w", err)
		}
	}
	return &DeadMan{s}, nil
}

// LeftArmed returns the switch of a run that was cut off, nil if there is none.
func LeftArmed(ctx context.Context, s Shell) (*DeadMan, error) {
	_, err := s.Run(ctx, RestoreArmed())
	var inactive *CommandError
	switch {
	case err == nil:
		return &DeadMan{s}, nil
	case errors.As(err, &inactive):
		return nil, nil
	}
	return nil, err
}

// Release stops the timer: the node answers at its new address.
func (d *DeadMan) Release(ctx context.Context) error {
	if _, err := d.shell.Run(ctx, disarmRestore()); err != nil {
		return fmt.Errorf("release the dead-man switch: %w", err)
	}
	return nil
}
