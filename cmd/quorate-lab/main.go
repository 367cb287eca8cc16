// quorate-lab starts a real corosync and Ceph cluster on one machine and breaks it on purpose.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/internal/lab"
)

const (
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	app := kingpin.New("quorate-lab", "Starts a real corosync and Ceph cluster on one machine and breaks it on purpose. Needs root.")
	app.HelpFlag.Short('h')
	p := &program{
		dir: app.Flag("dir", "Directory that holds the lab.").Default(lab.DefaultDir).Envar("QUORATE_LAB_DIR").String(),
		v:   app.Flag("verbose", "Say what is done.").Short('v').Bool(),
	}
	commands := map[string]func(context.Context) error{}
	for _, add := range append([]command{
		p.up, p.demo, p.down, p.status, p.faults, p.fault, p.heal, p.exec, p.ceph, p.exporter, p.linkem, p.pvefake, p.pager,
	}, p.vm(app)...) {
		clause, run := add(app)
		commands[clause.FullCommand()] = run
	}
	name, err := app.Parse(verbatim(os.Args[1:]))
	if err != nil {
		fmt.Fprintf(os.Stderr, "quorate-lab: %v (see quorate-lab --help)\n", err)
		os.Exit(exitUsage)
	}
	if err := commands[name](ctx); err != nil {
		var exit *exec.ExitError
		if name == "exec" && errors.As(err, &exit) && exit.ExitCode() > 0 {
			os.Exit(exit.ExitCode()) // the command has said itself what was wrong
		}
		fmt.Fprintf(os.Stderr, "quorate-lab: %s\n", oneLine(err))
		if errors.Is(err, lab.ErrUsage) {
			os.Exit(exitUsage)
		}
		os.Exit(exitError)
	}
}

// verbatim keeps what follows exec and ceph from being read as our flags.
func verbatim(args []string) []string {
	i := slices.IndexFunc(args, func(arg string) bool { return arg == "exec" || arg == "ceph" })
	if i < 0 || slices.Contains(args[:i], "--") || len(args) > i+1 && (args[i+1] == "--help" || args[i+1] == "-h") {
		return args
	}
	// "--dir exec" is a directory, and "fault … exec" an argument.
	for j, arg := range args[:i] {
		if len(arg) > 0 && arg[0] != '-' && (j == 0 || args[j-1] != "--dir") {
			return args
		}
	}
	return slices.Insert(slices.Clone(args), i+1, "--")
}

type program struct {
	dir *string
	v   *bool
}

func (p *program) log() *slog.Logger {
	level := slog.LevelWarn
	if *p.v {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func (p *program) open() (*lab.Lab, error) { return lab.Open(*p.dir, p.log()) }
