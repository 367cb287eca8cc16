package transport

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os/exec"
)

// externalShell runs the user's own ssh, which knows his jump hosts. Host keys are then its affair.
type externalShell struct {
	cfg  SSHConfig
	host Host
}

// sshFailed is what ssh(1) ends with when it is not the remote command that failed.
const sshFailed = 255

// Run implements Shell.
func (s *externalShell) Run(ctx context.Context, c Command) (Output, error) {
	host, port, err := net.SplitHostPort(s.host.SSH)
	if err != nil {
		return Output{}, &LostError{s.host.Name, "address " + s.host.SSH, err}
	}
	args := append([]string{}, s.cfg.Command[1:]...)
	args = append(args, "-p", port, "-o", "BatchMode=yes", s.cfg.User+"@"+host, "--", c.String())
	cmd := exec.CommandContext(ctx, s.cfg.Command[0], args...)
	cmd.WaitDelay = sshKill
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.Stdin), &stdout, &stderr
	err = cmd.Run()
	out := Output{stdout.String(), stderr.String()}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out, nil
	case errors.As(err, &exit) && exit.ExitCode() != sshFailed && ctx.Err() == nil:
		return out, &CommandError{s.host.Name, c.String(), exit.ExitCode(), out.Stderr}
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.As(err, &exit):
		err = errors.New(firstLine(out.Stderr))
	}
	return out, &LostError{s.host.Name, "run " + s.cfg.Command[0], err}
}

func firstLine(s string) string {
	for i, r := range s {
		if r == '\n' || r == '\r' {
			return s[:i]
		}
	}
	return s
}
