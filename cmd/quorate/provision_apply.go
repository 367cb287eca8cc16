package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/session"
)

// newProvisionApply is `quorate provision apply`.
func newProvisionApply(parent *kingpin.CmdClause) subcommand {
	c := parent.Command("apply", "Make the cluster what the file says. What was cut off goes on when run again.")
	f := newProvisionFlags(c, "text", "json", "jsonl")
	yes := c.Flag("auto-approve", "Do not ask.").Short('y').Bool()
	plan := c.Flag("plan", "Apply this plan, made by plan --out, and refuse if it no longer holds.").PlaceHolder("PLAN.json").String()
	wipe := c.Flag("allow-wipe", "Destroy what is on disks that the file says wipe: true of.").Bool()
	rotate := c.Flag("rotate-token", "Make a new API token where the secret of the old one is lost.").Bool()
	repair := c.Flag("repair-join", "Take a node that joined halfway, and has no guests, out of the cluster and join it again.").Bool()
	run := func(stdout, stderr io.Writer) (int, error) {
		want, err := readPlan(*plan)
		if err != nil {
			return exitFailed, err
		}
		return f.with(stdout, stderr, func(ctx context.Context, s *provisionSession) (int, error) {
			s.AllowWipe, s.RotateToken, s.RepairJoin = *wipe, *rotate, *repair
			if !*yes {
				s.Confirm = confirm(stderr)
			}
			return s.Apply(ctx, want)
		})
	}
	return subcommand{c, run}
}

func readPlan(name string) (*engine.Plan, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return engine.ReadPlan(f)
}

// confirm asks on the terminal.
func confirm(stderr io.Writer) func(string) (bool, error) {
	return func(question string) (bool, error) {
		if !session.IsTerminal(os.Stdin) {
			return false, errors.New("nobody is there to confirm; give --auto-approve")
		}
		fmt.Fprintf(stderr, "%s Only yes goes on: ", question)
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		return strings.TrimSpace(line) == "yes", err
	}
}
