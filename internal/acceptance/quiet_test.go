package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/lab/labtest"
)

// quietPace is less than that of faults. Ceph's monitors keep their own time: to elect a leader and to be
// found again takes clients up to 10 s, which must not look like a minute.
const quietPace = 4

// quietFor is an hour for the rules.
const quietFor = time.Hour / quietPace

// TestLabQuietHour lets a healthy cluster do for an hour what clusters do all day, with the rules and
// the HA manager at their pace: guests migrate all the time, PGs are scrubbed, daemons are restarted one
// after the other, and a node is taken down for maintenance as the handbook says. Nobody may be woken.
func TestLabQuietHour(t *testing.T) {
	labtest.Soak(t)
	needVMs(t)
	l := newLab(t, lab.Options{Nodes: 3, Ceph: true, PVE: true, HAPace: quietPace, Token: time.Second})
	for _, vm := range []lab.VMOptions{quietVM, pagedVM} {
		if err := l.StartVM(t.Context(), 1, vm); err != nil {
			t.Fatal(err)
		}
	}
	p := startPaging(t, l, quietPace)
	p.waitCalm(t, resolvedWithin)

	begun := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	migrated := make(chan int)
	var moving sync.Mutex
	go func() { migrated <- migrateAround(ctx, t, l, &moving) }()
	for _, act := range []struct {
		name string
		do   func(*testing.T, *paging)
	}{
		{"scrubs", scrubAll},
		{"restart of corosync", func(t *testing.T, p *paging) { restartCorosync(t, p, &moving) }},
		{"restart of the rest", restartAll},
		{"planned maintenance", maintain},
		{"scrubs again", scrubAll},
	} {
		since := time.Now()
		act.do(t, p)
		t.Logf("%s: from %s to %s", act.name, since.Sub(begun).Round(time.Second), time.Since(begun).Round(time.Second))
	}
	rest := time.NewTimer(quietFor - time.Since(begun))
	defer rest.Stop()
	<-rest.C
	cancel()
	done := <-migrated
	t.Logf("%d migrations in %s", done, time.Since(begun).Round(time.Second))
	if done < 10 {
		t.Errorf("only %d migrations went well", done)
	}

	for _, n := range p.notifications(t) {
		for _, a := range n.Alerts {
			if a.Firing() {
				t.Logf("%s %s: %s %s", n.Time.Sub(begun).Round(time.Second), n.Receiver, a.Severity(), describe(a.Labels))
			}
			if a.Severity() == "critical" {
				t.Errorf("somebody was woken: %s", describe(a.Labels))
			}
		}
	}
	// Also what a cause held back: it must not have fired.
	for _, fired := range p.query(t, fmt.Sprintf(`count by (alertname, severity) (count_over_time(ALERTS{alertstate="firing"}[%ds]))`, int(time.Since(begun).Seconds()))) {
		t.Logf("fired: %s %s", fired["severity"], fired["alertname"])
		if fired["severity"] == "critical" {
			t.Errorf("a critical alert fired: %s", fired["alertname"])
		}
	}
	p.rulesEvaluated(t)
}

// query returns the labels of what an instant query finds.
func (p *paging) query(t *testing.T, expr string) []map[string]string {
	t.Helper()
	var reply struct {
		Data struct {
			Result []struct{ Metric map[string]string }
		}
	}
	if err := json.Unmarshal([]byte(p.get(t, p.prometheus+"/api/v1/query?query="+url.QueryEscape(expr))), &reply); err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, r := range reply.Data.Result {
		all = append(all, r.Metric)
	}
	return all
}

// migrateAround migrates the VMs in turn until ctx ends, and returns how often that went well. It holds
// moving meanwhile: nobody stops corosync under a migration.
func migrateAround(ctx context.Context, t *testing.T, l *lab.Lab, moving *sync.Mutex) (done int) {
	for turn := 0; ctx.Err() == nil; turn++ {
		vms, err := l.VMs()
		if err != nil || len(vms) == 0 {
			t.Errorf("VMs %v: %v", vms, err)
			return done
		}
		vm := vms[turn%len(vms)]
		// Between the first two nodes: the third one is maintained.
		moving.Lock()
		r, err := l.Migrate(ctx, vm.ID, 3-vm.Node, lab.MigrateOptions{Bandwidth: 32 << 20})
		moving.Unlock()
		switch {
		case ctx.Err() != nil:
		case err != nil:
			t.Errorf("migration of VM %d: %v", vm.ID, err)
		case !r.OK():
			t.Errorf("migration: %s", r)
		default:
			done++
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute / quietPace):
		}
	}
	return done
}

// scrubAll asks for a deep scrub of everything.
func scrubAll(t *testing.T, p *paging) {
	cephCommand(t, p.l, "osd", "deep-scrub", "all")
}

func cephCommand(t *testing.T, l *lab.Lab, args ...string) {
	t.Helper()
	if _, err := l.CephCLI(t.Context(), args...); err != nil {
		t.Error(err)
	}
}

// restartCorosync restarts corosync node by node, between migrations.
func restartCorosync(t *testing.T, p *paging, moving *sync.Mutex) {
	for _, node := range p.l.Nodes() {
		moving.Lock()
		injectFault(t, p.l, "corosync-stop", fmt.Sprint(node))
		healFaults(t, p.l)
		moving.Unlock()
	}
}

// restartAll restarts every other daemon, node by node, as an upgrade does.
func restartAll(t *testing.T, p *paging) {
	for _, x := range p.exporters {
		node := x.node
		for _, fault := range [][]string{
			{"mon-down", fmt.Sprint(node)}, {"host-down", fmt.Sprint(node)},
		} {
			injectFault(t, p.l, fault...)
			healFaults(t, p.l)
		}
		if err := p.l.StopDaemon(t.Context(), node, "exporter", syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		o := lab.ExporterOptions{Binary: program(t), Listen: strings.TrimPrefix(x.url, "http://"), Args: p.l.ExporterArgs()}
		if err := p.l.StartExporter(t.Context(), node, o); err != nil {
			t.Error(err)
		}
	}
	injectFault(t, p.l, "mgr-failover")
	healFaults(t, p.l)
}

func injectFault(t *testing.T, l *lab.Lab, words ...string) {
	t.Helper()
	if err := l.Inject(t.Context(), words[0], words[1:]...); err != nil {
		t.Error(err)
	}
}

func healFaults(t *testing.T, l *lab.Lab) {
	t.Helper()
	if err := l.Heal(t.Context()); err != nil {
		t.Error(err)
	}
}

// maintain takes the last node down for ten minutes of the rules' time, in the order of the handbook:
// HA moves its guests, noout is set, its daemons are stopped, the power is cut; and back.
func maintain(t *testing.T, p *paging) {
	injectFault(t, p.l, "ha-maintenance", "3")
	cephCommand(t, p.l, "osd", "set", "noout")
	for _, fault := range []string{"host-down", "mon-down", "corosync-stop", "node-down"} {
		injectFault(t, p.l, fault, "3")
	}
	time.Sleep(10 * time.Minute / quietPace)
	healFaults(t, p.l)
	cephCommand(t, p.l, "osd", "unset", "noout")
}
