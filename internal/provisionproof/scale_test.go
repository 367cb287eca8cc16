package provisionproof

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/internal/race"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
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

// inFlight counts writes that are under way at the same time.
type inFlight struct {
	mu        sync.Mutex
	now, most int
}

func (f *inFlight) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now += n
	f.most = max(f.most, f.now)
}

type bounded struct {
	transport.Set
	flight *inFlight
}

func (b bounded) API(node string) transport.API { return boundedAPI{b.Set.API(node), b.flight} }

type boundedAPI struct {
	transport.API
	flight *inFlight
}

func (b boundedAPI) Post(ctx context.Context, path string, p transport.Params, out any) error {
	b.flight.add(1)
	defer b.flight.add(-1)
	return b.API.Post(ctx, path, p, out)
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
	if limit := 5 * time.Second; planned > limit && !race.Enabled {
		t.Errorf("planned in %s, want less than %s", planned, limit)
	}
	flight := &inFlight{}
	w.Wrap = func(s transport.Set) transport.Set { return bounded{s, flight} }
	began = time.Now()
	run := apply(t, w)
	w.Wrap = nil
	if flight.most > w.Parallel || flight.most < 2 {
		t.Errorf("up to %d changes at the same time, want several and at most %d", flight.most, w.Parallel)
	}
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
