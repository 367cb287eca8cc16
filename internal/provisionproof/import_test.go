package provisionproof

import (
	"bytes"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/spec"
)

func TestAnImportedClusterNeedsNoChange(t *testing.T) {
	for name, change := range map[string]func(*spec.Cluster){"8.4": func(*spec.Cluster) {}, "9.2": func(*spec.Cluster) {}, "9.2 with IPv6": withIPv6} {
		t.Run(name, func(t *testing.T) {
			release, _, _ := strings.Cut(name, " ")
			w := newWorld(t, pvefake.Version(release))
			change(w.Spec)
			apply(t, w)
			fleet, err := w.Fleet()
			if err != nil {
				t.Fatal(err)
			}
			defer fleet.Close()
			var names []string
			for _, n := range w.Spec.Spec.Nodes {
				names = append(names, n.Name)
			}
			imported := spec.FromFacts(facts.Gather(t.Context(), session.Targets(names, fleet), facts.Want{Configs: true}))
			text, err := spec.Marshal(imported)
			if err != nil {
				t.Fatal(err)
			}
			if w.Spec, err = spec.Parse("imported.yaml", text); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			p, err := w.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := p.WriteText(&b, false); err != nil {
				t.Fatal(err)
			}
			if p.Writes() > 0 || p.Blocked() != nil {
				t.Errorf("%s\n%s", b.String(), text)
			}
			if len(imported.Spec.Guests) != 1 || len(imported.Spec.Ceph.Pools) < 2 || len(imported.Spec.Nodes) != 3 {
				t.Errorf("what was imported is not the home lab:\n%s", text)
			}
		})
	}
}
