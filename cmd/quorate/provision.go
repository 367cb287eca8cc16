package main

import (
	"github.com/alecthomas/kingpin/v2"
)

// The exit codes of what works on a cluster, beside 0 and exitFailed. docs/provision.md tells them.
const (
	exitChanges     = 2  // plan --detailed-exitcode: something would be changed
	exitUnreachable = 3  // a node does not answer, or refuses us
	exitPreflight   = 4  // a check found an error
	exitPartial     = 5  // apply stopped half way
	exitVerify      = 6  // the cluster is not as it should be
	exitSyntax      = 64 // wrong flags
	exitInterrupted = 130
)

func newProvisionCommand(app *kingpin.Application) subcommands {
	c := app.Command("provision", "Builds a cluster from one file.")
	return subcommands{
		newProvisionInit(c),
		newProvisionValidate(c),
		newProvisionSchema(c),
		newProvisionPreflight(c),
		newProvisionPlan(c),
		newProvisionApply(c),
		newProvisionVerify(c),
		newProvisionImport(c),
	}
}

// specFlag is -f, which all of them have.
func specFlag(c *kingpin.CmdClause) *string {
	return c.Flag("file", "The cluster's file.").Short('f').Default("cluster.yaml").PlaceHolder("FILE").String()
}
