package lab

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// DemoOptions say what a demo shows.
type DemoOptions struct {
	Options
	Exporter string // the quorate binary
	// Rule files and configurations, as shipped, and how much faster they run.
	Rules                    fs.FS
	Prometheus, Alertmanager []byte
	Pace                     Pace
	// Grafana's files, as shipped: UID.json each, and what makes Grafana load them.
	Dashboards, Provisioning fs.FS
	// Ports on the loopback address: Prometheus takes the first, the nodes' exporters the next ones,
	// then come Alertmanager and the page of what was paged.
	Port int
}

const (
	loopback     = "127.0.0.1"
	demoInterval = 5 * time.Second // of scrapes: who watches waits less
)

// Demo starts a lab with Ceph and a played Proxmox VE, an exporter in every node, Prometheus, Alertmanager
// and a page that shows what was paged, all reachable on loopback only, and writes to out what happens
// and which pages to open. When it fails nothing is left.
func Demo(ctx context.Context, o DemoOptions, out io.Writer) error {
	o.Ceph, o.PVE = true, true
	began := time.Now()
	fmt.Fprintln(out, "starting corosync, Ceph and Proxmox VE (played) on 3 nodes …")
	l, err := Up(ctx, o.Options)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "corosync is quorate and Ceph healthy after %s\n", time.Since(began).Round(time.Second))
	if err := l.startDemo(ctx, o, out); err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
		defer cancel()
		if down := l.Down(clean); down != nil {
			fmt.Fprintln(out, "removing the lab:", down)
		}
		return err
	}
	return nil
}

func (l *Lab) startDemo(ctx context.Context, o DemoOptions, out io.Writer) error {
	address := func(i int) string { return fmt.Sprintf("%s:%d", loopback, o.Port+i) }
	if err := l.startVMs(ctx, out); err != nil {
		return err
	}
	exporters := map[int]string{}
	for _, node := range l.Nodes() {
		exporters[node] = address(node)
		err := l.StartExporter(ctx, node, ExporterOptions{
			Binary: o.Exporter, Listen: address(node), Args: l.ExporterArgs(),
		})
		if err != nil {
			return err
		}
	}
	err := l.StartPaging(ctx, PagingOptions{
		Rules: o.Rules, Prometheus: o.Prometheus, Alertmanager: o.Alertmanager,
		Exporters: exporters, Pace: o.Pace, Interval: demoInterval,
		ListenPrometheus: address(0), ListenAlertmanager: address(l.o.Nodes + 1), ListenPager: address(l.o.Nodes + 2),
	})
	if err != nil {
		return err
	}
	grafana := filepath.Join(o.Dir, "grafana")
	if err := writeGrafana(grafana, o, address(0)); err != nil {
		return fmt.Errorf("dashboards: %w", err)
	}
	pages := l.demoPages(address, prometheusPages(ctx, address(0)))
	for _, p := range pages {
		if err := p.open(ctx); err != nil {
			return err
		}
	}
	fmt.Fprint(out, demoText(pages), grafanaHint(grafana))
	return nil
}

// A demoPage is one to open in a browser.
type demoPage struct{ url, says string }

// open returns when the page is there.
func (p demoPage) open(ctx context.Context) error {
	return poll(ctx, answerLimit, 100*time.Millisecond, func() error {
		code, err := ask(ctx, p.url)
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("%s answers with HTTP %d", p.url, code)
		}
		return err
	})
}

// prometheusPages is where Prometheus has its pages: Debian's package has the classic ones alone, below /classic.
func prometheusPages(ctx context.Context, address string) string {
	base := "http://" + address
	if code, err := ask(ctx, base+"/classic/alerts"); err == nil && code == http.StatusOK {
		return base + "/classic"
	}
	return base
}

func (l *Lab) demoPages(address func(int) string, prometheus string) []demoPage {
	var pages []demoPage
	for _, node := range l.Nodes() {
		pages = append(pages, demoPage{"http://" + address(node) + "/", "the exporter of " + NodeName(node)})
	}
	pages = append(pages,
		demoPage{"http://" + address(l.o.Nodes+2) + "/", "what was paged"},
		demoPage{"http://" + address(l.o.Nodes+1) + "/", "Alertmanager"},
		demoPage{prometheus + "/alerts", "the rules, and which of them are true"},
		demoPage{prometheus + "/targets", "Prometheus and what it scrapes"})
	for _, q := range []struct{ expr, says string }{
		{"pve_cluster_quorum", "quorum, as each node sees it"},
		{"pve_ha_state", "HA: states of nodes and services"},
		{"pve_guest_info", "guests, and the nodes they are on"},
		{"ceph_health_status", "Ceph: 0 healthy, 1 warning, 2 error"},
		{"qemu_migration_ram_remaining_bytes", "live migrations of real VMs, about one a minute"},
		{"quorate_source_up", "what answers"},
	} {
		pages = append(pages, demoPage{prometheus + "/graph?g0.expr=" + q.expr + "&g0.tab=0&g0.range_input=15m", q.says})
	}
	return pages
}

func demoText(pages []demoPage) string {
	var b strings.Builder
	b.WriteString("\nOpen\n")
	for _, p := range pages {
		fmt.Fprintf(&b, "  %s  %s\n", p.url, p.says)
	}
	b.WriteString(`
Break something and watch
  bin/quorate-lab faults                what can be broken
  bin/quorate-lab fault node-down 3     HA fences it and moves its services, after 2 to 3 minutes
  bin/quorate-lab fault mon-quorum-lost
  bin/quorate-lab fault ha-error 103    a service that does not start any more
  bin/quorate-lab vm migrate 111 2 --bandwidth 4   slower than that guest writes; vm list says where it is
  bin/quorate-lab heal
  make demo-down                        removes all of this
`)
	return b.String()
}
