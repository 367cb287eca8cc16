package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const selfName = "quorate-lab"

// boxSettings are what the faults of one port add up to.
type boxSettings struct {
	DelayMS, JitterMS, LossPercent float64
}

func (b *boxSettings) add(f ActiveFault) {
	value := func(i int) float64 {
		if i >= len(f.Args) {
			return 0
		}
		v, _ := strconv.ParseFloat(f.Args[i], 64) // checkArgs has seen it
		return v
	}
	if f.Name == faultLinkLoss {
		b.LossPercent = 100 - (100-b.LossPercent)*(100-value(2))/100
		return
	}
	b.DelayMS += value(2)
	b.JitterMS += value(3)
}

func (b boxSettings) args() []string {
	return []string{
		fmt.Sprintf("--delay=%gms", b.DelayMS),
		fmt.Sprintf("--jitter=%gms", b.JitterMS),
		fmt.Sprintf("--loss=%g", b.LossPercent),
	}
}

// stopBox ends the box of a port unless it does what is wanted.
func (l *Lab) stopBox(ctx context.Context, p port, want boxSettings) error {
	r, err := l.record(0, p.daemon())
	if err != nil || !r.alive() || len(r.Argv) > 3 && slices.Equal(r.Argv[len(r.Argv)-3:], want.args()) {
		return nil
	}
	return l.StopDaemon(ctx, 0, p.daemon(), syscall.SIGTERM)
}

// startBox starts the box of a port unless it runs, and returns when it forwards.
func (l *Lab) startBox(ctx context.Context, p port, want boxSettings) error {
	if l.Running(0, p.daemon()) {
		return nil
	}
	self, err := l.self(ctx)
	if err != nil {
		return err
	}
	log := filepath.Join(l.NodeDir(0), p.daemon()+".log")
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	argv := []string{"nsenter", "--net=" + filepath.Join(netnsDir, l.names.switches()), "--", self, "linkem", p.name(), p.inner()}
	err = l.StartDaemon(ctx, Daemon{Name: p.daemon(), Argv: append(argv, want.args()...), Log: log})
	if err != nil {
		return err
	}
	return poll(ctx, 10*time.Second, 10*time.Millisecond, func() error {
		text, err := os.ReadFile(log)
		if err == nil && strings.Contains(string(text), linkemReady) {
			return nil
		}
		err = fmt.Errorf("the link box of %s does not forward: %s", p.name(), lastLine(string(text)))
		if !l.Running(0, p.daemon()) {
			return permanent(err)
		}
		return err
	})
}

// self is the quorate-lab binary: what the options name, this very program, or one that is built
// from source, as in tests of other packages.
func (l *Lab) self(ctx context.Context) (string, error) {
	if l.o.Self != "" {
		return l.o.Self, nil
	}
	if exe, err := os.Executable(); err == nil && filepath.Base(exe) == selfName {
		return exe, nil
	}
	built := filepath.Join(l.o.Dir, "bin", selfName)
	if _, err := os.Stat(built); err == nil {
		return built, nil
	}
	if _, err := l.Run(ctx, 0, "go", "build", "-o", built, "github.com/quorate/quorate/cmd/quorate-lab"); err != nil {
		return "", fmt.Errorf("no quorate-lab program to start as a daemon: %w (name one in Options.Self)", err)
	}
	return built, nil
}
