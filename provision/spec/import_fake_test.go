package spec_test

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/provisionproof"
	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/spec"
)

// TestImportOfABuiltClusterPlansNothing builds the example on fresh machines, reads it back into a file
// and plans that file.
func TestImportOfABuiltClusterPlansNothing(t *testing.T) {
	for _, version := range []pvefake.Version{pvefake.V84, pvefake.V92} {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			c, err := provisionproof.Homelab("../..", version)
			if err != nil {
				t.Fatal(err)
			}
			w, err := provisionproof.NewWorld(c, version)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Close)
			if _, err := w.Apply(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			fleet, err := w.Fleet()
			if err != nil {
				t.Fatal(err)
			}
			seen := facts.Gather(t.Context(), session.Targets([]string{"pve1", "pve2", "pve3"}, fleet), facts.Want{Configs: true})
			if err := fleet.Close(); err != nil {
				t.Fatal(err)
			}
			text, err := spec.Marshal(spec.FromFacts(seen))
			if err != nil {
				t.Fatal(err)
			}
			again, err := spec.Parse("imported.yaml", text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			spec.Fits(t, text)
			if n := [...]int{len(again.Spec.Nodes), len(again.Spec.Ceph.Pools), len(again.Spec.Storage), len(again.Spec.HA.Groups), len(again.Spec.Guests), len(again.Spec.Backup.Jobs), len(again.Spec.Nodes[1].OSDs)}; n != [...]int{3, 2, 3, 1, 1, 1, 3} {
				t.Errorf("imported are %v nodes, pools, storages, groups, guests, jobs, OSDs", n)
			}
			w.Spec = again
			plan, err := w.Plan(t.Context())
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if err := plan.Blocked(); err != nil {
				t.Error(err)
			}
			for _, s := range plan.Steps {
				for _, change := range s.Changes {
					t.Errorf("%s: %+v", s.ID, change)
				}
			}
			again.Spec.Guests[0].Memory *= 2
			if plan, err := w.Plan(t.Context()); err != nil || plan.Writes() != 1 {
				t.Errorf("more memory is no change: %v, %v", plan, err)
			}
			for _, secret := range []string{provisionproof.RootPassword, provisionproof.PBSPassword} {
				if strings.Contains(string(text), secret) {
					t.Errorf("a secret was imported:\n%s", text)
				}
			}
			if t.Failed() {
				t.Logf("\n%s", text)
			}
		})
	}
}
