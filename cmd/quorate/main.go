// Command quorate watches Proxmox VE + Ceph clusters. See quorate --help.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
)

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its surroundings passed in. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	app := kingpin.New("quorate", "Keeps hyperconverged Proxmox VE + Ceph clusters honest: exporter, alerts, provisioner.")
	app.UsageWriter(stdout).ErrorWriter(stderr)
	app.HelpFlag.Short('h')
	app.Version(version.Print("quorate"))
	app.VersionFlag.Short('V')
	exit := -1 // set by --help and --version
	app.Terminate(func(code int) {
		exit = code
		app.UsageWriter(io.Discard) // which kingpin would go on with, as there is no command
	})

	log := &promslog.Config{}
	promslogflag.AddFlags(app, log)
	serve := newServeCommand(app, log)
	bundle := newBundleCommand(app)
	clusters := append(newProvisionCommand(app), newOperateCommands(app)...)

	command, err := app.Parse(args)
	switch {
	case exit >= 0:
		return exit
	case err != nil:
		fmt.Fprintf(stderr, "quorate: %v (quorate --help lists what there is)\n", err)
		if len(args) > 0 && clusters.has(args[0]) {
			return exitSyntax // 2 has a meaning of its own there
		}
		return exitUsage
	}
	if s, ok := clusters.find(command); ok {
		return s.exec(stdout, stderr)
	}
	switch command {
	case serve.name():
		err = serve.run(stderr)
	case bundle.name():
		err = bundle.run(stdout)
	}
	if err != nil {
		// One line, as logs and supervisors like it; YAML's errors have several.
		fmt.Fprintf(stderr, "quorate: %s\n", strings.Join(strings.Fields(err.Error()), " "))
		return exitFailed
	}
	return 0
}
