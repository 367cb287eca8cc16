package main

import (
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"
)

// The exit codes of quorate provision, beside 0 and exitFailed. docs/provision.md tells them.
const (
	exitChanges     = 2  // plan --detailed-exitcode: something would be changed
	exitUnreachable = 3  // a node does not answer, or refuses us
	exitPreflight   = 4  // a check found an error
	exitPartial     = 5  // apply stopped half way
	exitVerify      = 6  // the cluster is not as it should be
	exitSyntax      = 64 // wrong flags
	exitInterrupted = 130
)

// provisionPart is one subcommand of quorate provision. run returns the exit code; an error is printed
// line by line, as a file may have many.
type provisionPart struct {
	clause *kingpin.CmdClause
	run    func(stdout, stderr io.Writer) (int, error)
}

// provisionCommand is `quorate provision`.
type provisionCommand struct{ parts []provisionPart }

func newProvisionCommand(app *kingpin.Application) *provisionCommand {
	c := app.Command("provision", "Builds a cluster from one file.")
	return &provisionCommand{parts: []provisionPart{
		newProvisionInit(c),
		newProvisionValidate(c),
		newProvisionSchema(c),
		newProvisionPreflight(c),
		newProvisionPlan(c),
		newProvisionApply(c),
		newProvisionVerify(c),
		newProvisionImport(c),
	}}
}

// part finds the subcommand of that name.
func (p *provisionCommand) part(name string) (provisionPart, bool) {
	for _, part := range p.parts {
		if part.clause.FullCommand() == name {
			return part, true
		}
	}
	return provisionPart{}, false
}

// exec runs a part and prints its error.
func (p provisionPart) exec(stdout, stderr io.Writer) int {
	code, err := p.run(stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, err)
	}
	return code
}

// specFlag is -f, which all of them have.
func specFlag(c *kingpin.CmdClause) *string {
	return c.Flag("file", "The cluster's file.").Short('f').Default("cluster.yaml").PlaceHolder("FILE").String()
}
