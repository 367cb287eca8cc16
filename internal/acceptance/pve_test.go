package acceptance

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
)

// newProxmox starts a fake cluster and an exporter that asks its API from outside.
func newProxmox(t *testing.T, binary string, nodes, guests int) (*pvefake.Cluster, *exporter) {
	t.Helper()
	c, err := pvefake.New(pvefake.Options{Nodes: nodes, Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for i := range guests {
		g := pvefake.Guest{VMID: 100 + i, Node: 1 + i%nodes, Name: fmt.Sprintf("guest%d", i)}
		add := c.AddVM
		if i%4 == 3 {
			add = c.AddCT
		}
		if err := add(g); err != nil {
			t.Fatal(err)
		}
		if i < 10 && i%4 != 3 {
			if err := c.AddHAResource(pvefake.HAResource{SID: fmt.Sprintf("vm:%d", g.VMID)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.AddUser("quorate@pve", "")
	token, err := c.AddToken("quorate@pve", "exporter", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Grant("/", "quorate@pve", "PVEAuditor"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	c.Start(ctx)
	args := []string{
		"--pve.token-file=" + write(t, "token", token), "--pve.ca-file=" + write(t, "ca.pem", string(c.CAPEM())), "--pve.etc=/nonexistent",
		"--corosync.config=/nonexistent",
	}
	for i := range nodes {
		args = append(args, "--pve.url="+c.Node(i+1).URL())
	}
	x := startAlone(t, binary, args...)
	settle(t, []*exporter{x}, claims(t, healthyProxmox(nodes, guests)), nil, 30*time.Second)
	return c, x
}

func healthyProxmox(nodes, guests int) []string {
	return []string{
		`pve1: quorate_source_up{source="pve"} == 1`,
		`pve1: quorate_source_up{source="ha"} == 1`,
		fmt.Sprintf(`pve1: sum pve_node_info == %d`, nodes),
		fmt.Sprintf(`pve1: sum pve_guest_info == %d`, guests),
		`pve1: pve_ha_quorate == 1`,
	}
}

func TestAScrapeOfProxmoxMakesFourCallsWhateverTheNumberOfGuests(t *testing.T) {
	for _, guests := range []int{5, 300} {
		c, x := newProxmox(t, program(t), 3, guests)
		fewest := 1 << 30 // the background looks at HA every few seconds: not in each of these scrapes
		for range 5 {
			c.ResetCalls()
			if _, err := x.scrape(t.Context(), "/metrics"); err != nil {
				t.Fatal(err)
			}
			fewest = min(fewest, len(c.Calls()))
		}
		if fewest == 0 || fewest > 4 {
			t.Errorf("%d guests: a scrape made %d calls: %v", guests, fewest, c.Calls())
		}
	}
}

func TestProxmoxFaultsCostTheirOwnSeriesOnly(t *testing.T) {
	c, x := newProxmox(t, program(t), 3, 20)
	only := []*exporter{x}
	for name, f := range map[string]struct {
		rule   pvefake.Rule
		reason string
	}{
		"hangs":                                 {pvefake.Rule{Hang: true}, "timeout"},
		"connection refused by the node behind": {pvefake.Rule{Status: 595, Reason: "Connection refused"}, "node_unreachable"},
		"node behind is silent":                 {pvefake.Rule{Status: 596, Reason: "Connection timed out"}, "node_unreachable"},
		"too many redirections":                 {pvefake.Rule{Status: 599, Reason: "Too many redirections"}, "node_unreachable"},
		"token unknown":                         {pvefake.Rule{Status: 401, Reason: "No ticket"}, "unauthorized"},
		"right missing":                         {pvefake.Rule{Status: 403, Reason: "Permission check failed"}, "forbidden"},
		"no quorum":                             {pvefake.Rule{Status: 500, Reason: "cluster not ready - no quorum?"}, "no_quorum"},
		"reply cut short":                       {pvefake.Rule{Truncate: true}, "truncated"},
		"types wrong":                           {pvefake.Rule{WrongTypes: true}, "type"},
		"reply of 100 MB":                       {pvefake.Rule{HugeBytes: 100 << 20}, "too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			settle(t, only, claims(t, healthyProxmox(3, 20)), nil, 30*time.Second)
			before := scrapeAll(t, only)
			f.rule.Method, f.rule.Path = "GET", "/cluster/resources"
			remove := c.Inject(f.rule)
			defer remove()
			told := []string{
				`pve1: pve_guest_info absent`,
				`pve1: sum pve_node_info == 3`,
				`pve1: pve_ha_quorate == 1`,
				`pve1: quorate_scrape_collector_success{collector="pve"} == 0`,
				`pve1: quorate_scrape_collector_success{collector="ha"} == 1`,
				fmt.Sprintf(`pve1: quorate_source_request_errors_total{source="pve",reason="%s"} grows`, f.reason),
			}
			now, took := await(t, only, claims(t, told), before, 20*time.Second, nil)
			if took == nil {
				t.Fatal(firstFalse(claims(t, told), before, now))
			}
			remove()
			settle(t, only, claims(t, healthyProxmox(3, 20)), nil, 30*time.Second)
		})
	}
}

// TestLabCostOfProxmox measures scrapes of a large cluster; under QUORATE_BENCH=1 only.
func TestLabCostOfProxmox(t *testing.T) {
	if os.Getenv("QUORATE_BENCH") == "" {
		t.Skip("a measurement: run make bench")
	}
	table := newCostTable(t)
	// A cluster is asked from outside by the static build. On a node the pages of the C libraries
	// come on top, which Ceph's daemons map as well.
	measure := func(binary, build string, nodes, guests int, cpu float64, rss string) {
		_, x := newProxmox(t, binary, nodes, guests)
		what := fmt.Sprintf("%s, %d nodes, %d guests, ", build, nodes, guests)
		table.row(what+"CPU", ms(x.cpuPerScrape(t, "pve", "ha")), cpu, "ms")
		table.row(what+rss, x.footprint(t).rssMiB, rssBudget, "MiB")
	}
	static := built(t, buildStatic)
	measure(static, "Proxmox", 5, 500, 25, "RSS")
	measure(static, "Proxmox", 10, 1000, 50, "RSS")
	measure(static, "Proxmox", 20, 2000, 100, "RSS")
	measure(program(t), "node's build", 5, 500, 25, wholeRSS)
	t.Log(table.String())
}
