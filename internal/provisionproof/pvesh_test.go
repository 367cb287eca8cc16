package provisionproof

import (
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/provision/spec"
)

// withoutPBS takes out what needs a secret parameter, which pvesh would show.
func withoutPBS(w *World) {
	w.Spec.Spec.Storage = slices.DeleteFunc(w.Spec.Spec.Storage, func(s spec.Storage) bool { return s.Type == spec.StoragePBS })
	w.Spec.Spec.Backup.Jobs = nil
}

func TestBothTransportsBuildTheSameCluster(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			var states []State
			for _, ssh := range []bool{false, true} {
				w := newWorld(t, v)
				withoutPBS(w)
				w.BySSH = ssh
				apply(t, w)
				if second := apply(t, w); second.Writes > 0 {
					t.Errorf("by SSH %t: a second apply made %d writes", ssh, second.Writes)
				}
				s, err := w.end(t.Context())
				if err != nil {
					t.Fatalf("by SSH %t: %v", ssh, err)
				}
				states = append(states, s)
				if !ssh {
					continue
				}
				for _, c := range w.Fake.Calls() {
					if c.Method != "SSH" && c.Identity == "root@pam" {
						t.Errorf("the API was used: %s %s", c.Method, c.Path)
					}
					if strings.Contains(c.Path, RootPassword) {
						t.Errorf("root's password is on a command line: %s", c.Path)
					}
				}
			}
			if d := states[0].Diff(states[1]); len(d) > 0 {
				t.Errorf("by SSH another cluster came of it:\n%s", strings.Join(d, "\n"))
			}
		})
	}
}

func TestASecretParameterIsNotGivenToPvesh(t *testing.T) {
	w := newWorld(t, versions[1])
	w.BySSH = true
	_, err := w.Apply(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "storage/pbs-backup") || !strings.Contains(err.Error(), "--transport api") {
		t.Errorf("error %v, want a refusal that says what to do", err)
	}
	for _, c := range w.Fake.Calls() {
		if strings.Contains(c.Path, PBSPassword) {
			t.Errorf("a secret is on a command line: %s", c.Path)
		}
	}
}
