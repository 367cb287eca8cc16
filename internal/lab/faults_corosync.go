package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
)

const (
	faultCorosyncStop  = "corosync-stop"
	faultCorosyncKill  = "corosync-kill"
	faultCorosyncHang  = "corosync-hang"
	faultExpectedVotes = "expected-votes"
	faultWaitForAll    = "wait-for-all"
	faultQnetdDown     = "qnetd-down"
	faultQdeviceDown   = "qdevice-down"
)

func corosyncFaults() []Fault {
	return []Fault{
		{Name: faultCorosyncStop, Args: "NODE", Help: "Stop corosync cleanly: the node leaves.",
			Inject: corosyncStop(syscall.SIGTERM), Heal: corosyncStart},
		{Name: faultCorosyncKill, Args: "NODE", Help: "Kill corosync: the others notice when the token is lost.",
			Inject: corosyncStop(syscall.SIGKILL), Heal: corosyncStart},
		{Name: faultCorosyncHang, Args: "NODE", Help: "Halt corosync (SIGSTOP): it holds its sockets and answers nobody.",
			Inject: corosyncHang, Heal: corosyncResume},
		{Name: faultExpectedVotes, Args: "N", Help: "Force the expected votes, as `pvecm expected N` does after nodes were lost.",
			Inject: expectedVotes, Heal: expectedVotesReset},
		{Name: faultWaitForAll, Args: "", Help: "Set wait_for_all and restart corosync on all nodes but the last: enough votes, yet no quorum.",
			Inject: waitForAll, Heal: waitForAllReset},
		{Name: faultQnetdDown, Args: "", Help: "Kill the qnetd server.",
			Inject: qnetdDown, Heal: qnetdUp},
		{Name: faultQdeviceDown, Args: "NODE", Help: "Stop corosync-qdevice on a node.",
			Inject: qdeviceDown, Heal: qdeviceUp},
	}
}

func corosyncStop(sig syscall.Signal) func(context.Context, *Lab, []string) error {
	return func(ctx context.Context, l *Lab, args []string) error {
		for _, node := range numbers(args) {
			if err := l.stopCorosync(ctx, node, sig); err != nil {
				return err
			}
		}
		return nil
	}
}

func corosyncStart(ctx context.Context, l *Lab, _ []string) error {
	if err := l.startAllCorosync(ctx); err != nil {
		return err
	}
	return l.settle(ctx)
}

func corosyncHang(_ context.Context, l *Lab, args []string) error {
	return l.Signal(numbers(args)[0], corosyncName, syscall.SIGSTOP)
}

func corosyncResume(ctx context.Context, l *Lab, args []string) error {
	err := l.Signal(numbers(args)[0], corosyncName, syscall.SIGCONT)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return corosyncStart(ctx, l, args)
}

func expectedVotes(ctx context.Context, l *Lab, args []string) error {
	return l.setExpectedVotes(ctx, numbers(args)[0])
}

// setExpectedVotes tells the first node that answers; votequorum tells the others.
func (l *Lab) setExpectedVotes(ctx context.Context, votes int) error {
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	nodes := l.shouldRun()
	if len(nodes) == 0 {
		return errors.New("corosync runs on no node")
	}
	_, err := l.Run(ctx, nodes[0], "corosync-quorumtool", "-e", strconv.Itoa(votes))
	if q, readErr := l.Quorum(ctx, nodes[0]); readErr != nil {
		return errors.Join(err, readErr)
	} else if q.Expected == votes {
		return nil // the tool exits with 2 when there is no quorum, also after success
	}
	return fmt.Errorf("%s refuses to expect %d votes: %w", NodeName(nodes[0]), votes, err)
}

// expectedVotesReset restores the configured votes. votequorum refuses a number whose quorum is more
// than the votes present; then only a restart makes it read the configuration again.
func expectedVotesReset(ctx context.Context, l *Lab, _ []string) error {
	if l.setExpectedVotes(ctx, configuredVotes(l.o)) == nil {
		return l.settle(ctx)
	}
	return l.restartCorosync(ctx, corosyncSettings{WaitForAll: l.waitsForAll()})
}

// restartCorosync stops corosync everywhere at once, so that no node keeps what is to be forgotten,
// and starts it where it should run.
func (l *Lab) restartCorosync(ctx context.Context, s corosyncSettings) error {
	err := each(l.Nodes(), func(node int) error { return l.stopCorosync(ctx, node, syscall.SIGKILL) })
	if err != nil {
		return err
	}
	if err := l.writeConfigs(s); err != nil {
		return err
	}
	return corosyncStart(ctx, l, nil)
}

func (l *Lab) waitsForAll() bool {
	return slices.ContainsFunc(l.inEffect(), func(f ActiveFault) bool { return f.Name == faultWaitForAll })
}

func waitForAll(ctx context.Context, l *Lab, _ []string) error {
	if l.o.Nodes < 3 {
		return errors.New("wait_for_all shows nothing with fewer than 3 nodes: one alone has no quorum anyway")
	}
	return l.restartCorosync(ctx, corosyncSettings{WaitForAll: true})
}

func waitForAllReset(ctx context.Context, l *Lab, _ []string) error {
	return l.restartCorosync(ctx, corosyncSettings{})
}

func qnetdDown(ctx context.Context, l *Lab, _ []string) error {
	if err := l.needQDevice(); err != nil {
		return err
	}
	return l.StopDaemon(ctx, qnetdNode, qnetdName, syscall.SIGKILL)
}

func qnetdUp(ctx context.Context, l *Lab, _ []string) error {
	if !l.o.QDevice {
		return nil
	}
	if err := l.startQnetd(ctx); err != nil {
		return err
	}
	return l.settle(ctx)
}

func qdeviceDown(ctx context.Context, l *Lab, args []string) error {
	if err := l.needQDevice(); err != nil {
		return err
	}
	return l.StopDaemon(ctx, numbers(args)[0], qdeviceName, syscall.SIGTERM)
}

func qdeviceUp(ctx context.Context, l *Lab, _ []string) error {
	if !l.o.QDevice {
		return nil
	}
	return corosyncStart(ctx, l, nil)
}
