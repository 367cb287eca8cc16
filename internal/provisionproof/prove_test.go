package provisionproof

import (
	"os"
	"testing"
)

// soak says that time is no matter.
func soak() bool { return os.Getenv("QUORATE_SOAK") != "" }

// TestKilledAnywhereApplyConverges takes some requests; `make provision-proof` takes all.
func TestKilledAnywhereApplyConverges(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			c, err := Homelab("../..", v)
			if err != nil {
				t.Fatal(err)
			}
			every := 83
			if soak() {
				every = 7
			}
			r, err := Prove(t.Context(), c, v, Options{Every: every, From: 11})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(r)
			for _, f := range r.Failures {
				t.Error(f)
			}
			if r.SecondWrites != 0 || r.CrashPoints < 7 || r.Steps < 15 {
				t.Errorf("%s: want no second writes, and a run worth the name", r)
			}
		})
	}
}
