package collector

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/quorate/quorate/internal/source"
	"github.com/quorate/quorate/internal/source/pve"
)

// pveSmall is a cluster with one of each: a lost node whose numbers are gone, a QEMU guest under HA
// with a lock, a stopped container, storages, and a row of a type that nobody knows.
func pveSmall() map[string]string {
	return map[string]string{
		"/api2/json/cluster/status": `{"data":[
			{"type":"node","id":"node/pve2","name":"pve2","nodeid":2,"online":0,"local":0,"ip":"10.0.0.2","level":""},
			{"type":"cluster","id":"cluster","name":"small","nodes":2,"quorate":1,"version":7},
			{"type":"node","id":"node/pve1","name":"pve1","nodeid":1,"online":1,"local":1,"ip":"10.0.0.1","level":"c"}]}`,
		"/api2/json/cluster/resources": `{"data":[
			{"type":"node","id":"node/pve1","node":"pve1","status":"online","hastate":"online","cpu":0.25,"maxcpu":8,"mem":400,"maxmem":1600,"disk":50,"maxdisk":100,"uptime":3600},
			{"type":"node","id":"node/pve2","node":"pve2","status":"offline","hastate":"unknown"},
			{"type":"qemu","id":"qemu/100","vmid":100,"node":"pve1","name":"web","status":"running","template":0,"tags":"prod;web","lock":"migrate","hastate":"started",
			 "cpu":"0.5","maxcpu":2,"mem":10,"maxmem":20,"disk":0,"maxdisk":30,"netin":1,"netout":2,"diskread":3,"diskwrite":4,"uptime":60},
			{"type":"lxc","id":"lxc/101","vmid":101,"node":"pve2","name":"db","status":"stopped","maxmem":512},
			{"type":"storage","id":"storage/pve1/local","node":"pve1","storage":"local","plugintype":"dir","content":"vztmpl,backup,iso","status":"available","shared":0,"disk":5,"maxdisk":10},
			{"type":"storage","id":"storage/pve2/ceph","node":"pve2","storage":"ceph","plugintype":"rbd","content":"images","status":"unknown","shared":1},
			{"type":"sdn","id":"sdn/pve1/localnetwork","node":"pve1","status":"ok"}]}`,
		"/api2/json/version":                           `{"data":{"release":"9.2","repoid":"14a22df3","version":"9.2.11","console":"xtermjs"}}`,
		"/api2/json/cluster/backup-info/not-backed-up": `{"data":[{"type":"lxc","vmid":101,"name":"db"}]}`,
		"/api2/json/cluster/config/qdevice": `{"data":{"Model":"Net","Algorithm":"LMS","QNetd host":"10.0.0.9:5403",
			"Tie-breaker":"Node with lowest node ID","State":"Connected"}}`,
		"/api2/json/nodes/pve1/subscription": `{"data":{"status":"active","level":"c","nextduedate":"2027-01-01"}}`,
		"/api2/json/nodes/pve1/replication": `{"data":[{"id":"100-0","type":"local","source":"pve1","target":"pve2","guest":100,
			"duration":3.5,"last_sync":1700000000,"last_try":1700000600,"next_sync":1700000900,"fail_count":1}]}`,
	}
}

// pveText is what a collector sends, without HELP and TYPE, and its error.
func pveText(t *testing.T, c Collector) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	ch := make(chan prometheus.Metric, 1<<14)
	err := c.Collect(ctx, ch)
	close(ch)
	var all buffered
	for m := range ch {
		all = append(all, m)
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(all)
	families, gatherErr := reg.Gather()
	if gatherErr != nil {
		t.Fatal(gatherErr)
	}
	var text bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	var series []string
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "#") {
			series = append(series, line)
		}
	}
	return strings.Join(series, ""), err
}

func pveBuilt(t *testing.T, src PVESource) Collector {
	t.Helper()
	c, err := PVESpec().New(Sources{PVE: &src})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const pveSmallFast = `pve_cluster_info{id="cluster/small",nodes="2",quorate="1",version="7"} 1
pve_cpu_usage_limit{id="node/pve1"} 8
pve_cpu_usage_limit{id="qemu/100"} 2
pve_cpu_usage_ratio{id="node/pve1"} 0.25
pve_cpu_usage_ratio{id="qemu/100"} 0.5
pve_disk_read_bytes{id="qemu/100"} 3
pve_disk_read_bytes_total{id="qemu/100"} 3
pve_disk_size_bytes{id="node/pve1"} 100
pve_disk_size_bytes{id="qemu/100"} 30
pve_disk_size_bytes{id="storage/pve1/local"} 10
pve_disk_usage_bytes{id="node/pve1"} 50
pve_disk_usage_bytes{id="qemu/100"} 0
pve_disk_usage_bytes{id="storage/pve1/local"} 5
pve_disk_write_bytes{id="qemu/100"} 4
pve_disk_written_bytes_total{id="qemu/100"} 4
pve_guest_info{id="lxc/101",name="db",node="pve2",tags="",template="",type="lxc"} 1
pve_guest_info{id="qemu/100",name="web",node="pve1",tags="prod;web",template="0",type="qemu"} 1
pve_lock_state{id="qemu/100",state="migrate"} 1
pve_memory_size_bytes{id="lxc/101"} 512
pve_memory_size_bytes{id="node/pve1"} 1600
pve_memory_size_bytes{id="qemu/100"} 20
pve_memory_usage_bytes{id="node/pve1"} 400
pve_memory_usage_bytes{id="qemu/100"} 10
pve_network_receive_bytes{id="qemu/100"} 1
pve_network_receive_bytes_total{id="qemu/100"} 1
pve_network_transmit_bytes{id="qemu/100"} 2
pve_network_transmit_bytes_total{id="qemu/100"} 2
pve_node_info{id="node/pve1",level="c",name="pve1",nodeid="1"} 1
pve_node_info{id="node/pve2",level="",name="pve2",nodeid="2"} 1
pve_storage_info{content="backup,iso,vztmpl",id="storage/pve1/local",node="pve1",plugintype="dir",storage="local"} 1
pve_storage_info{content="images",id="storage/pve2/ceph",node="pve2",plugintype="rbd",storage="ceph"} 1
pve_storage_shared{id="storage/pve1/local"} 0
pve_storage_shared{id="storage/pve2/ceph"} 1
pve_up{id="cluster/small"} 1
pve_up{id="lxc/101"} 0
pve_up{id="node/pve1"} 1
pve_up{id="node/pve2"} 0
pve_up{id="qemu/100"} 1
pve_up{id="storage/pve1/local"} 1
pve_up{id="storage/pve2/ceph"} 0
pve_uptime_seconds{id="node/pve1"} 3600
pve_uptime_seconds{id="qemu/100"} 60
`

const pveSmallFacts = `pve_not_backed_up_info{id="lxc/101"} 1
pve_not_backed_up_total{id="cluster/small"} 1
pve_qdevice_info{algorithm="LMS",id="cluster/small",model="Net",qnetd_host="10.0.0.9:5403",state="Connected",tie_breaker="Node with lowest node ID"} 1
pve_qdevice_up{id="cluster/small"} 1
pve_version_info{release="9.2",repoid="14a22df3",version="9.2.11"} 1
`

func sortedLines(s string) string {
	l := strings.SplitAfter(s, "\n")
	slices.Sort(l)
	return strings.Join(l, "")
}

func TestPVEExpositionOfASmallCluster(t *testing.T) {
	api, calls := pveServer(t, pveSmall())
	have, err := pveText(t, pveBuilt(t, PVESource{API: api}))
	if err != nil {
		t.Fatal(err)
	}
	if sortedLines(have) != sortedLines(pveSmallFast) {
		t.Errorf("have\n%s", have)
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("%d requests for a scrape, want 2", n)
	}
}

func TestPVEFullStateSetsGiveEveryGuestEveryLock(t *testing.T) {
	api, _ := pveServer(t, pveSmall())
	have, err := pveText(t, pveBuilt(t, PVESource{API: api, FullStateSets: true}))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"qemu/100", "lxc/101"} {
		if n := strings.Count(have, `pve_lock_state{id="`+id+`"`); n != 9 {
			t.Errorf("%s has %d series of pve_lock_state, want 9", id, n)
		}
	}
	if !strings.Contains(have, `pve_lock_state{id="qemu/100",state="migrate"} 1`) || strings.Count(have, "pve_lock_state") != strings.Count(have, "\npve_lock_state") {
		t.Errorf("have\n%s", have)
	}
}

func TestPVEScrapeMakesTwoRequestsWhateverTheNumberOfGuests(t *testing.T) {
	for _, guests := range []int{0, 1, 500} {
		api, calls := pveServer(t, pveReplies(5, guests))
		if _, err := pveText(t, pveBuilt(t, PVESource{API: api, Facts: NewPVEFacts(api, nil, time.Now)})); err != nil {
			t.Fatal(err)
		}
		if n := calls.Load(); n != 2 {
			t.Errorf("%d guests: %d requests", guests, n)
		}
	}
}

// pveFactsFake counts readings.
type pveFactsFake struct {
	calls atomic.Int64
	fails atomic.Bool
}

func (f *pveFactsFake) err() error {
	if f.fails.Load() {
		return errors.New("refused")
	}
	return nil
}

func (f *pveFactsFake) Version(context.Context) (pve.Version, error) {
	return pve.Version{Version: pve.Text(fmt.Sprint(f.calls.Add(1)))}, f.err()
}

func (f *pveFactsFake) NotBackedUp(context.Context) ([]pve.UncoveredGuest, error) {
	return nil, f.err()
}

func (f *pveFactsFake) Subscription(context.Context, string) (pve.Subscription, error) {
	return pve.Subscription{Status: "notfound"}, f.err()
}

func (f *pveFactsFake) QDevice(context.Context) (map[string]pve.Text, error) { return nil, f.err() }

func TestPVEFactsAreReadOnceAMinuteAndNeverOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &pveFactsFake{}
		f := NewPVEFacts(api, nil, time.Now)
		if now := f.current(); now.version != nil || !now.at.IsZero() {
			t.Errorf("facts before the first reading: %+v", now)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		version := func() string {
			if v := f.current().version; v != nil {
				return string(v.Version)
			}
			return "none"
		}
		want := func(when, want string) {
			t.Helper()
			synctest.Wait()
			if have := version(); have != want {
				t.Errorf("%s: version %s, want %s", when, have, want)
			}
		}
		want("at the start", "1")
		time.Sleep(59 * time.Second)
		want("within a minute", "1")
		time.Sleep(2 * time.Second)
		want("after a minute", "2")

		api.fails.Store(true)
		time.Sleep(time.Minute)
		want("after a reading that failed", "none")
		if err := f.current().err; err == nil {
			t.Error("the failure is not told")
		}
		api.fails.Store(false)
		time.Sleep(time.Minute)
		want("after one that worked again", "4")

		time.Sleep(time.Hour)
		synctest.Wait()
		if api.calls.Load() > 15 {
			t.Errorf("%d readings in an hour in which nobody scraped", api.calls.Load())
		}
		want("the first scrape after an hour", "none")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pveNodeFake is a node.
type pveNodeFake struct {
	members pve.Members
	guests  []pve.GuestConfig
	jobs    []pve.ReplicationJob
	err     error
	asked   []string
}

func (f *pveNodeFake) Members(context.Context) (pve.Members, error) { return f.members, nil }

func (f *pveNodeFake) GuestConfigs(context.Context, string) ([]pve.GuestConfig, error) {
	return f.guests, nil
}

func (f *pveNodeFake) Replication(_ context.Context, node string) ([]pve.ReplicationJob, error) {
	f.asked = append(f.asked, node)
	if f.err != nil {
		return nil, f.err
	}
	return f.jobs, nil
}

func known(n int64) pve.Int { return pve.Int{V: n, Known: true} }

func aNode() *pveNodeFake {
	return &pveNodeFake{
		members: pve.Members{NodeName: "pve1", Cluster: &pve.MembersInfo{Quorate: true}},
		guests: []pve.GuestConfig{
			{GuestRef: pve.GuestRef{Type: "qemu", VMID: 100}, OnBoot: true},
			{GuestRef: pve.GuestRef{Type: "lxc", VMID: 101}},
		},
		jobs: []pve.ReplicationJob{
			{ID: "100-0", Type: "local", Source: "pve1", Target: "pve2", Guest: known(100), Duration: pve.Float{V: 3.5, Known: true},
				LastSync: known(1700000000), LastTry: known(1700000600), NextSync: known(1700000900), FailCount: known(1)},
			{ID: "999-0", Type: "local", Source: "pve1", Target: "pve2", Guest: known(999), LastSync: known(0)},
		},
	}
}

func pveNodeText(t *testing.T, f *pveNodeFake) (string, error) {
	t.Helper()
	facts := NewPVEFacts(&pveFactsFake{}, func(context.Context) (string, error) { return "pve1", nil }, time.Now)
	facts.read(t.Context())
	c, err := PVENodeSpec().New(Sources{PVENode: &PVENodeSource{API: f, Files: f, Facts: facts}})
	if err != nil {
		t.Fatal(err)
	}
	return pveText(t, c)
}

func TestPVENodeExposition(t *testing.T) {
	have, err := pveNodeText(t, aNode())
	if err != nil {
		t.Fatal(err)
	}
	if want := `pve_onboot_status{id="lxc/101",node="pve1",type="lxc"} 0
pve_onboot_status{id="qemu/100",node="pve1",type="qemu"} 1
pve_replication_duration_seconds{id="100-0"} 3.5
pve_replication_failed_syncs{id="100-0"} 1
pve_replication_info{guest="999",id="999-0",source="node/pve1",target="node/pve2",type="local"} 1
pve_replication_info{guest="qemu/100",id="100-0",source="node/pve1",target="node/pve2",type="local"} 1
pve_replication_last_sync_timestamp_seconds{id="100-0"} 1.7e+09
pve_replication_last_sync_timestamp_seconds{id="999-0"} 0
pve_replication_last_try_timestamp_seconds{id="100-0"} 1.7000006e+09
pve_replication_next_sync_timestamp_seconds{id="100-0"} 1.7000009e+09
pve_subscription_info{id="node/pve1",level="unknown"} 1
pve_subscription_status{id="node/pve1",status="active"} 0
pve_subscription_status{id="node/pve1",status="expired"} 0
pve_subscription_status{id="node/pve1",status="invalid"} 0
pve_subscription_status{id="node/pve1",status="new"} 0
pve_subscription_status{id="node/pve1",status="notfound"} 1
pve_subscription_status{id="node/pve1",status="suspended"} 0
`; sortedLines(have) != want {
		t.Errorf("have\n%s", have)
	}
}

func TestPVENodeIsNotAskedForReplicationWithoutQuorum(t *testing.T) {
	f := aNode()
	f.members.Cluster.Quorate = false
	have, err := pveNodeText(t, f)
	if len(f.asked) > 0 {
		t.Error("it was asked")
	}
	if source.Reason(err) != "no_quorum" || strings.Contains(have, "pve_replication") || !strings.Contains(have, "pve_subscription_info") {
		t.Errorf("error %v, and\n%s", err, have)
	}
}

func TestPVENodeKeepsTheFilesWhenTheAPIIsGone(t *testing.T) {
	f := aNode()
	f.err = &pve.Error{Kind: pve.Refused}
	have, err := pveNodeText(t, f)
	if source.Reason(err) != "refused" || strings.Count(have, "\n") != 2 || !strings.Contains(have, "pve_onboot_status") {
		t.Errorf("error %v, and\n%s", err, have)
	}
}

func TestPVEHasTheNamesTypesAndLabelsOfPrometheusPVEExporter(t *testing.T) {
	const list = "../../shared/data/peers/prometheus-pve-exporter-metrics.tsv"
	f, err := os.Open(list)
	if err != nil {
		t.Skipf("the list of that exporter's metrics is not here: %v", err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]*Family{}
	for _, family := range slices.Concat(pveClusterFamilies(), pveNodeFamilies(), []*Family{haState}) {
		ours[family.Name] = family
	}
	// That exporter about itself; quorate_scrape_collector_* and quorate_source_* tell of us.
	itself := []string{"pve_collection_duration_seconds", "pve_request_errors_total"}
	compared := 0
	for _, row := range rows[1:] {
		name, kind, labels := row[0], row[1], strings.Split(row[2], ",")
		if slices.Contains(itself, name) || strings.HasPrefix(name, "pve_scrape_") {
			continue
		}
		family := ours[name]
		if family == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		compared++
		have := slices.Clone(family.Labels)
		slices.Sort(have)
		slices.Sort(labels)
		if string(family.Kind) != kind || !slices.Equal(have, labels) {
			t.Errorf("%s is a %s with labels %q, want a %s with %q", name, family.Kind, have, kind, labels)
		}
	}
	if compared < 35 {
		t.Errorf("only %d metrics compared", compared)
	}
}

func TestPVEIsNotBuiltWithoutASource(t *testing.T) {
	for _, s := range []Spec{PVESpec(), PVENodeSpec()} {
		if _, err := s.New(Sources{}); err == nil {
			t.Errorf("%s was built of nothing", s.Name)
		}
	}
}
