package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/provision/preflight"
	"github.com/quorate/quorate/provision/spec"
)

// readSpec reads and checks the file.
func readSpec(name string) (*spec.Cluster, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (quorate provision init writes one to start from)", err)
	}
	if err != nil {
		return nil, err
	}
	return spec.Parse(name, data)
}

// newProvisionInit is `quorate provision init`.
func newProvisionInit(parent *kingpin.CmdClause) subcommand {
	c := parent.Command("init", "Write a commented file to start from.")
	file := specFlag(c)
	run := func(stdout, _ io.Writer) (int, error) {
		if *file == "-" || *file == "" { // kingpin makes "" of "-f -"
			_, err := stdout.Write(spec.Starter())
			return exitOf(err), err
		}
		// O_EXCL: somebody's file is never overwritten.
		f, err := os.OpenFile(*file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return exitFailed, fmt.Errorf("%w (choose another name with -f)", err)
		}
		_, err = f.Write(spec.Starter())
		if err = errors.Join(err, f.Close()); err != nil {
			return exitFailed, err
		}
		fmt.Fprintf(stdout, "%s: written; edit it, then run quorate provision validate -f %s\n", *file, *file)
		return 0, nil
	}
	return subcommand{c, run}
}

// newProvisionValidate is `quorate provision validate`.
func newProvisionValidate(parent *kingpin.CmdClause) subcommand {
	c := parent.Command("validate", "Check the file, and the cluster it describes, without speaking to any machine.")
	file := specFlag(c)
	output := c.Flag("output", "text or json.").Short('o').Default("text").Enum("text", "json")
	ignore := ignoreFlag(c)
	run := func(stdout, _ io.Writer) (int, error) {
		cluster, err := readSpec(*file)
		if err != nil {
			return exitFailed, err
		}
		report, err := preflight.Run(preflight.Input{Spec: cluster, Now: time.Now()}, preflight.Names(*ignore))
		if err != nil {
			return exitSyntax, err
		}
		if err := writeReport(stdout, *output, *file, report); err != nil {
			return exitFailed, err
		}
		if report.Failed() {
			return exitPreflight, nil
		}
		return 0, nil
	}
	return subcommand{c, run}
}

// ignoreFlag is --ignore-preflight.
func ignoreFlag(c *kingpin.CmdClause) *string {
	return c.Flag("ignore-preflight", "Names of checks, separated by commas, whose errors become warnings; all ignores every one.").PlaceHolder("NAME,…").String()
}

// writeReport prints what preflight found.
func writeReport(w io.Writer, format, file string, r preflight.Report) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	for _, f := range r.Findings {
		fmt.Fprintln(w, f)
	}
	_, err := fmt.Fprintf(w, "%s: %d checks passed, %d errors, %d warnings\n", file, len(r.Passed), r.Count(preflight.Error), r.Count(preflight.Warning))
	return err
}

// newProvisionSchema is `quorate provision schema`.
func newProvisionSchema(parent *kingpin.CmdClause) subcommand {
	c := parent.Command("schema", "Print the JSON Schema of the file, for editors.")
	run := func(stdout, _ io.Writer) (int, error) {
		_, err := stdout.Write(spec.Schema())
		return exitOf(err), err
	}
	return subcommand{c, run}
}

// exitOf is exitFailed for an error.
func exitOf(err error) int {
	if err != nil {
		return exitFailed
	}
	return 0
}
