package provisionproof

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/spec"
)

// big makes the home lab one of 20 nodes with 10 disks each.
func big(t *testing.T) *spec.Cluster {
	t.Helper()
	c, err := Homelab("../..", pvefake.V92)
	if err != nil {
		t.Fatal(err)
	}
	const nodes, disks = 20, 10
	c.Spec.Nodes = nil
	for i := range nodes {
		n := spec.Node{Name: fmt.Sprintf("pve%d", i+1), Management: netip.AddrFrom4([4]byte{10, 0, 10, byte(11 + i)})}
		n.NICs = map[string]spec.NIC{
			"mgmt":    {Address: n.Management, Port: "eno1"},
			"storage": {Address: netip.AddrFrom4([4]byte{10, 0, 100, byte(11 + i)}), Port: "eno2"},
		}
		for d := range disks {
			n.OSDs = append(n.OSDs, spec.OSD{Dev: fmt.Sprintf("/dev/sd%c", 'b'+d)})
		}
		c.Spec.Nodes = append(c.Spec.Nodes, n)
	}
	return c
}

func TestTwentyNodesWith200OSDsArePlannedInSeconds(t *testing.T) {
	w, err := NewWorld(big(t), pvefake.V92)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	w.Parallel = 8
	began := time.Now()
	p, err := w.Plan(t.Context())
	planned := time.Since(began)
	if err != nil || p.Blocked() != nil {
		t.Fatal(err, p.Blocked())
	}
	if limit := 5 * time.Second; planned > limit && !raceEnabled {
		t.Errorf("planned in %s, want less than %s", planned, limit)
	}
	began = time.Now()
	run := apply(t, w)
	t.Logf("planned %d changes in %s; applied in %s (%s of the cluster's time) with %d requests",
		p.Writes(), planned.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), run.Result.Took, run.Requests)
	if second := apply(t, w); second.Writes > 0 {
		t.Errorf("a second apply made %d writes", second.Writes)
	}
	osds := 0
	for _, c := range p.Steps {
		if c.ID == "ceph-osds" {
			osds = len(c.Changes)
		}
	}
	if osds != 200 {
		t.Errorf("%d OSDs planned, want 200", osds)
	}
}
