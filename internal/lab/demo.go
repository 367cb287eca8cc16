package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// DemoOptions say what a demo shows.
type DemoOptions struct {
	Options
	Exporter string // the quorate binary
	// Ports on the loopback address: Prometheus takes the first, the nodes' exporters the next ones.
	Port int
}

const loopback = "127.0.0.1"

// Demo starts a lab with Ceph and a played Proxmox VE, an exporter in every node and Prometheus, all reachable on loopback
// only, and writes to out what happens and which pages to open. When it fails nothing is left.
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
	for _, node := range l.Nodes() {
		err := l.StartExporter(ctx, node, ExporterOptions{
			Binary: o.Exporter, Listen: address(node), Args: l.ExporterArgs(),
		})
		if err != nil {
			return err
		}
	}
	config := filepath.Join(l.Dir(), "prometheus.yml")
	if err := os.WriteFile(config, []byte(l.prometheusConfig(address)), 0o644); err != nil {
		return err
	}
	if err := l.StartPrometheus(ctx, PrometheusOptions{Listen: address(0), ConfigFile: config}); err != nil {
		return err
	}
	fmt.Fprint(out, l.demoPages(address))
	return nil
}

// prometheusConfig scrapes the exporters under the names of their nodes.
func (l *Lab) prometheusConfig(address func(int) string) string {
	var b strings.Builder
	b.WriteString("global:\n  scrape_interval: 5s\n  scrape_timeout: 5s\nscrape_configs:\n  - job_name: proxmox\n    static_configs:\n")
	for _, node := range l.Nodes() {
		fmt.Fprintf(&b, "      - targets: ['%s']\n        labels: {instance: %s}\n", address(node), NodeName(node))
	}
	return b.String()
}

func (l *Lab) demoPages(address func(int) string) string {
	var b strings.Builder
	b.WriteString("\nOpen\n")
	for _, node := range l.Nodes() {
		fmt.Fprintf(&b, "  http://%s/  the exporter of %s\n", address(node), NodeName(node))
	}
	fmt.Fprintf(&b, "  http://%s/targets  Prometheus and what it scrapes\n", address(0))
	for _, q := range []struct{ expr, says string }{
		{"pve_cluster_quorum", "quorum, as each node sees it"},
		{"pve_ha_state", "HA: states of nodes and services"},
		{"pve_guest_info", "guests, and the nodes they are on"},
		{"ceph_health_status", "Ceph: 0 healthy, 1 warning, 2 error"},
		{"quorate_source_up", "what answers"},
	} {
		fmt.Fprintf(&b, "  http://%s/graph?g0.expr=%s&g0.tab=0&g0.range_input=15m  %s\n", address(0), q.expr, q.says)
	}
	b.WriteString(`
Break something and watch
  bin/quorate-lab faults                what can be broken
  bin/quorate-lab fault node-down 3     HA fences it and moves its services, after 2 to 3 minutes
  bin/quorate-lab fault mon-quorum-lost
  bin/quorate-lab heal
  make demo-down                        removes all of this
`)
	return b.String()
}
