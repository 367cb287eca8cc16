package spec

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// same compares what the file says, not where.
func same(a, b *Cluster) string {
	return cmp.Diff(a, b, cmpopts.IgnoreUnexported(Cluster{}), cmpopts.EquateEmpty(), cmp.AllowUnexported(Secret{}),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }))
}

func TestWhatIsWrittenReadsBackAsTheSame(t *testing.T) {
	for name, text := range map[string]string{
		"homelab": read(t, homelab), "starter": string(Starter()),
		"switched off": strings.NewReplacer("maxRestart: 3, maxRelocate: 3", "maxRestart: 0, maxRelocate: 0", "all: true\n", "all: true\n        enabled: false\n", "secretOut", "privsep: false, secretOut").Replace(read(t, homelab)),
		"odd names":    strings.NewReplacer("name: critical_services", `name: "on"`, "group: critical_services", `group: "on"`, "datastore: homelab-backups", `datastore: "012"`, "PVE_ROOT_PASSWORD", "no").Replace(read(t, homelab)),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Parse("f", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			out, err := Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Parse("g", out)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			Fits(t, []byte(text))
			Fits(t, out)
			if d := same(c, again); d != "" {
				t.Errorf("%s\n%s", d, out)
			}
			twice, err := Marshal(again)
			if err != nil || string(twice) != string(out) {
				t.Errorf("written again it differs, %v", err)
			}
			if !strings.Contains(string(out), "# The first node creates the cluster") {
				t.Error("there are no comments")
			}
		})
	}
}
