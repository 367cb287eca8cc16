package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
)

// A subcommand works on a cluster or its file. run returns the exit code; an error is printed line by
// line, as a file may have many.
type subcommand struct {
	clause *kingpin.CmdClause
	run    func(stdout, stderr io.Writer) (int, error)
}

type subcommands []subcommand

// find finds the one of that name.
func (all subcommands) find(name string) (subcommand, bool) {
	for _, s := range all {
		if s.clause.FullCommand() == name {
			return s, true
		}
	}
	return subcommand{}, false
}

// has says whether one of them begins with that word.
func (all subcommands) has(word string) bool {
	return slices.ContainsFunc(all, func(s subcommand) bool {
		first, _, _ := strings.Cut(s.clause.FullCommand(), " ")
		return first == word
	})
}

// exec runs it and prints its error.
func (s subcommand) exec(stdout, stderr io.Writer) int {
	code, err := s.run(stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, err)
	}
	return code
}
