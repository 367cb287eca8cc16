package collector

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated files instead of comparing them")

const metricsDoc = "../docs/metrics.md"

func TestMetricsDocIsCurrent(t *testing.T) {
	var want bytes.Buffer
	fmt.Fprint(&want, `# Metrics
Generated from the code by `+"`make docs`"+`; do not edit.

Scope *node*: facts of the machine that is scraped. Scope *cluster*: the same from every node; aggregate with `+"`max by (…)`"+`.
A series whose value cannot be read is absent, never old.

The program also exports `+"`quorate_build_info`"+` and the usual `+"`go_*` and `process_*`"+` metrics.
`)
	section := func(title, help string, families []*Family) {
		fmt.Fprintf(&want, "\n## %s\n%s\n\n| name | type | labels | meaning |\n| --- | --- | --- | --- |\n", title, help)
		for _, f := range families {
			fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", f.Name, f.Kind, strings.Join(f.Labels, ", "), strings.ReplaceAll(f.Help, "|", "\\|"))
		}
	}
	section("quorate", "About the scrape itself.", SelfFamilies())
	for _, s := range Specs() {
		section(s.Name, fmt.Sprintf("%s Scope: %s.", s.Help, s.Scope), s.Families)
	}
	if *update {
		if err := os.WriteFile(metricsDoc, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want.Bytes()) {
		t.Errorf("%s is not what the code says; run make docs", metricsDoc)
	}
}

func TestFamiliesAreNamedOnceAndWell(t *testing.T) {
	seen := map[string]string{}
	check := func(owner string, families []*Family) {
		for _, f := range families {
			if other, dup := seen[f.Name]; dup {
				t.Errorf("%s is listed by %s and by %s", f.Name, other, owner)
			}
			seen[f.Name] = owner
			if f.Help == "" || slices.Contains(f.Labels, "") {
				t.Errorf("%s: help %q, labels %q", f.Name, f.Help, f.Labels)
			}
			// Ceph's own names do not follow the rule and must stay, and so must one of prometheus-pve-exporter's.
			ours := !strings.HasPrefix(f.Name, "ceph_") && f != pveNotBackedUp
			if ours && (f.Kind == Counter) != strings.HasSuffix(f.Name, "_total") {
				t.Errorf("%s is a %s", f.Name, f.Kind)
			}
		}
	}
	check("quorate", SelfFamilies())
	for _, s := range Specs() {
		check(s.Name, s.Families)
		if s.Help == "" || len(s.Families) == 0 {
			t.Errorf("collector %s: help %q, %d families", s.Name, s.Help, len(s.Families))
		}
	}
}
