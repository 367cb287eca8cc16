package preflight

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/facts"
)

// fakeShell runs commands on a node of the fake as its SSH server would.
type fakeShell struct {
	cluster *pvefake.Cluster
	node    int
}

func (s fakeShell) Run(_ context.Context, argv ...string) (string, error) {
	var words []string
	for _, w := range argv {
		words = append(words, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	exit, stdout, stderr := s.cluster.RunCommand(s.node, strings.Join(words, " "), "")
	if exit != 0 {
		return stdout, fmt.Errorf("ended with %d: %s", exit, strings.TrimSpace(stderr))
	}
	return stdout, nil
}

// TestExampleOnFreshMachines gathers by the API and shell and runs all checks, as plan does first.
func TestExampleOnFreshMachines(t *testing.T) {
	for version, text := range map[pvefake.Version]string{
		pvefake.V92: example(t),
		pvefake.V84: strings.NewReplacer("major: 9", "major: 8", "release: tentacle", "release: squid").Replace(example(t)),
	} {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			spec := parse(t, text)
			o := pvefake.Options{Version: version, Standalone: true, Start: time.Now()}
			for _, n := range spec.Spec.Nodes {
				o.Machines = append(o.Machines, pvefake.Machine{Name: n.Name, Address: n.Management.String() + "/24", Gateway: "10.0.10.1"})
			}
			fake, err := pvefake.New(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(fake.Close)
			var targets []facts.Target
			for i, n := range spec.Spec.Nodes {
				at := fake.Node(i + 1)
				api, err := pve.New(pve.Config{
					Endpoints: []string{at.URL()}, Auth: pve.Auth{User: "root@pam", Password: pve.NewSecret("fake-root")},
					TLS: pve.TLSConfig{Fingerprints: map[string]string{"": at.Fingerprint()}}, Timeout: 10 * time.Second,
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = api.Close() })
				targets = append(targets, facts.Target{Name: n.Name, API: api, Shell: fakeShell{fake, i + 1}})
			}
			seen := facts.Gather(t.Context(), targets, facts.Want{Probes: Probes(spec), Now: time.Now})
			seen.Here.Program = facts.Is(facts.Program{Built: "linux/amd64", Cgo: true, Machine: "x86_64"})
			r, err := Run(Input{Spec: spec, Facts: &seen, Now: now}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Findings {
				t.Log(f)
				if f.Level == Error || f.Unknown {
					t.Errorf("on a machine as it comes from the installer: %s", f)
				}
			}
			if len(r.Passed) < 40 {
				t.Errorf("only %d checks passed", len(r.Passed))
			}
		})
	}
}
