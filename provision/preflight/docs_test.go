package preflight

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated files instead of comparing them")

const checksDoc = "../../docs/preflight.md"

func TestChecksDocIsCurrent(t *testing.T) {
	var want bytes.Buffer
	fmt.Fprint(&want, "# Preflight checks\nGenerated from the code by `make docs`; do not edit.\n\n"+
		"An error stops `plan` and `apply` with exit code 4 before anything is changed. `--ignore-preflight=NAME,…` makes it a warning.\n"+
		"The level is that of the worst finding. What a check needs and cannot read is a warning, never a pass.\n")
	section := func(title string, facts bool) {
		fmt.Fprintf(&want, "\n## %s\n\n| name | level | what should be |\n| --- | --- | --- |\n", title)
		for _, c := range Checks() {
			if c.Facts == facts {
				fmt.Fprintf(&want, "| %s | %s | %s |\n", c.Name, c.Level, strings.ReplaceAll(c.Help, "|", "\\|"))
			}
		}
	}
	section("Of the file (`quorate provision validate`)", false)
	section("Of the machines", true)
	if *update {
		if err := os.WriteFile(checksDoc, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have, err := os.ReadFile(checksDoc); err != nil || !bytes.Equal(have, want.Bytes()) {
		t.Errorf("%s is not what the code says (%v); run make docs", checksDoc, err)
	}
}
