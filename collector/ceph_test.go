package collector

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/quorate/quorate/internal/source/ceph"
)

// cephFake answers with a snapshot.
type cephFake struct {
	s   ceph.Snapshot
	err error
}

func (f cephFake) Ceph(context.Context) (ceph.Snapshot, error) { return f.s, f.err }

// Describe and Collect make the snapshot a prometheus.Collector for testutil.
func (f cephFake) Describe(chan<- *prometheus.Desc) {}

func (f cephFake) Collect(ch chan<- prometheus.Metric) { emitCeph(f.s, ch) }

func cephRecorded(t testing.TB, dir string) ceph.Snapshot {
	t.Helper()
	s, err := ceph.Read(ceph.Recording{FS: os.DirFS(dir)}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cephHealthy(t testing.TB) ceph.Snapshot {
	return cephRecorded(t, "../internal/source/ceph/testdata/healthy")
}

func TestCephHealthyExposition(t *testing.T) {
	const golden = "testdata/ceph_healthy.prom"
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(cephFake{s: cephHealthy(t)})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var have bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&have, f); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, have.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have.Bytes(), want) {
		t.Errorf("%s is not what is exported; look at the difference, then run with -update", golden)
	}
}

func TestCephDropsAllSeriesWhenMonitorsHaveNoQuorum(t *testing.T) {
	noQuorum := &ceph.Error{Kind: ceph.ErrNoQuorum, Msg: "no quorum"}
	c, err := CephSpec().New(Sources{Ceph: cephFake{err: noQuorum}})
	if err != nil {
		t.Fatal(err)
	}
	ch := make(chan prometheus.Metric, 100)
	if err := c.Collect(context.Background(), ch); !errors.Is(err, ceph.ErrNoQuorum) {
		t.Errorf("got %v", err)
	}
	if len(ch) != 0 {
		t.Errorf("%d series exported", len(ch))
	}
}

func TestCephIsSilentWhereThereIsNone(t *testing.T) {
	c, err := CephSpec().New(Sources{Ceph: cephFake{err: ceph.ErrNotConfigured}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Collect(context.Background(), nil); err != nil {
		t.Error(err)
	}
	if _, err := CephSpec().New(Sources{}); err == nil {
		t.Error("built without a reader")
	}
}

func TestCephWithoutManagerKeepsWhatMonitorsKnow(t *testing.T) {
	s := cephHealthy(t)
	s.HasMgr = false
	have := cephNames(t, s)
	for _, name := range []string{
		"ceph_health_status", "ceph_mon_quorum_status", "ceph_osd_up", "ceph_osd_in", "ceph_osd_flag_noout",
		"ceph_osd_metadata", "ceph_mon_metadata", "ceph_mgr_status", "ceph_pool_metadata",
	} {
		if have[name] == 0 {
			t.Errorf("%s is absent", name)
		}
	}
	for _, name := range []string{
		"ceph_pg_total", "ceph_pg_active", "ceph_num_objects_degraded", "ceph_pool_stored", "ceph_cluster_total_bytes",
		"ceph_osd_apply_latency_ms", "ceph_osd_numpg", "quorate_ceph_osd_down_survivable", "ceph_pool_percent_used",
	} {
		if have[name] != 0 {
			t.Errorf("%s is frozen and still exported", name)
		}
	}
}

// cephNames counts the series of each family.
func cephNames(t *testing.T, s ceph.Snapshot) map[string]int {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(cephFake{s: s})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, f := range families {
		n[f.GetName()] = len(f.GetMetric())
	}
	return n
}

func TestCephSeriesFollowTheFault(t *testing.T) {
	s := cephHealthy(t)
	osds := slices.Clone(s.Mon.OSDMap.OSDs)
	osds[0].Up = false
	m := *s.Mon.OSDMap
	m.OSDs, m.Flags = osds, map[string]bool{"noout": true, "nodeep-scrub": true}
	s.Mon.OSDMap = &m
	s.Mon.Status.Quorum = []int{0, 2}
	s.Mon.Health = ceph.Health{Status: "HEALTH_WARN", Checks: []ceph.HealthCheck{
		{Name: "OSD_DOWN", Severity: "HEALTH_WARN", Active: true}, {Name: "MON_DOWN", Severity: "HEALTH_WARN"},
		{Name: "SLOW_OPS", Severity: "HEALTH_WARN", Message: "5 slow ops, oldest one blocked for 6 sec, daemons [osd.1,mon.a] have slow ops.", Active: true},
	}}
	s.Mgr.PoolPGs = []ceph.PoolPGs{{Pool: 1, Total: 32, States: map[string]int{"active+clean": 30, "undersized+peered": 1, "active+newstate": 1}}}
	s.Mgr.Survivable = map[string]int{"host": -1}
	s.Mgr.OldestKnown, s.Mgr.OldestInactive = true, 90*time.Second
	want := `
# HELP ceph_daemon_health_metrics 1 if the health check of that type names the daemon, else 0. The count of each daemon is known only inside the manager.
# TYPE ceph_daemon_health_metrics gauge
ceph_daemon_health_metrics{ceph_daemon="mon.a",type="SLOW_OPS"} 1
ceph_daemon_health_metrics{ceph_daemon="mon.c",type="SLOW_OPS"} 0
ceph_daemon_health_metrics{ceph_daemon="osd.1",type="PENDING_CREATING_PGS"} 0
ceph_daemon_health_metrics{ceph_daemon="osd.1",type="SLOW_OPS"} 1
ceph_daemon_health_metrics{ceph_daemon="osd.2",type="PENDING_CREATING_PGS"} 0
ceph_daemon_health_metrics{ceph_daemon="osd.2",type="SLOW_OPS"} 0
ceph_daemon_health_metrics{ceph_daemon="osd.3",type="PENDING_CREATING_PGS"} 0
ceph_daemon_health_metrics{ceph_daemon="osd.3",type="SLOW_OPS"} 0
ceph_daemon_health_metrics{ceph_daemon="osd.4",type="PENDING_CREATING_PGS"} 0
ceph_daemon_health_metrics{ceph_daemon="osd.4",type="SLOW_OPS"} 0
ceph_daemon_health_metrics{ceph_daemon="osd.5",type="PENDING_CREATING_PGS"} 0
ceph_daemon_health_metrics{ceph_daemon="osd.5",type="SLOW_OPS"} 0
# HELP ceph_health_detail 1 while the health check is raised, 0 once this process has seen it raised and cleared. Severity is that of now.
# TYPE ceph_health_detail gauge
ceph_health_detail{name="MON_DOWN",severity="HEALTH_WARN"} 0
ceph_health_detail{name="OSD_DOWN",severity="HEALTH_WARN"} 1
ceph_health_detail{name="SLOW_OPS",severity="HEALTH_WARN"} 1
# HELP ceph_healthcheck_slow_ops Number of slow operations that the health check SLOW_OPS tells of.
# TYPE ceph_healthcheck_slow_ops gauge
ceph_healthcheck_slow_ops 5
# HELP ceph_mon_quorum_status 1 if the monitor is in quorum.
# TYPE ceph_mon_quorum_status gauge
ceph_mon_quorum_status{ceph_daemon="mon.a"} 1
ceph_mon_quorum_status{ceph_daemon="mon.b"} 0
ceph_mon_quorum_status{ceph_daemon="mon.c"} 1
# HELP ceph_osd_flag_nodeep_scrub 1 if the OSD map's flag nodeep-scrub is set.
# TYPE ceph_osd_flag_nodeep_scrub untyped
ceph_osd_flag_nodeep_scrub 1
# HELP ceph_osd_flag_noscrub 1 if the OSD map's flag noscrub is set.
# TYPE ceph_osd_flag_noscrub untyped
ceph_osd_flag_noscrub 0
# HELP ceph_pg_active PGs of the pool whose state holds active.
# TYPE ceph_pg_active gauge
ceph_pg_active{pool_id="1"} 31
# HELP ceph_pg_peered PGs of the pool whose state holds peered.
# TYPE ceph_pg_peered gauge
ceph_pg_peered{pool_id="1"} 1
# HELP quorate_ceph_oldest_inactive_pg_seconds How long the longest inactive PG has not been active, 0 if all are. Absent while more than 50 are inactive.
# TYPE quorate_ceph_oldest_inactive_pg_seconds gauge
quorate_ceph_oldest_inactive_pg_seconds 90
# HELP quorate_ceph_osd_down_survivable How many more of the failure domain may fail before a pool falls below min_size; negative if shards are missing for that already.
# TYPE quorate_ceph_osd_down_survivable gauge
quorate_ceph_osd_down_survivable{failure_domain="host"} -1
`
	if err := testutil.CollectAndCompare(cephFake{s: s}, strings.NewReader(want),
		"ceph_daemon_health_metrics", "ceph_health_detail", "ceph_healthcheck_slow_ops", "ceph_mon_quorum_status",
		"ceph_osd_flag_nodeep_scrub", "ceph_osd_flag_noscrub", "ceph_pg_active", "ceph_pg_peered",
		"quorate_ceph_oldest_inactive_pg_seconds", "quorate_ceph_osd_down_survivable"); err != nil {
		t.Error(err)
	}
}

func TestCephLabelsFollowTheReleaseOfTheCluster(t *testing.T) {
	for _, tt := range []struct {
		release ceph.Release
		want    []string
	}{
		{ceph.Release{Major: 16, Minor: 2, Patch: 15}, []string{`ceph_pool_objects_repaired{poolid="1"} 0`, `ceph_pool_metadata{compression_mode="none",description="replica:3",name="rbd",pool_id="1",type="replicated"} 1`}},
		{ceph.Release{Major: 18, Minor: 2, Patch: 7}, []string{`ceph_pool_objects_repaired{pool_id="1"} 0`, `ceph_pool_metadata{compression_mode="none",description="replica:3",name="rbd",pool_id="1",type="replicated"} 1`}},
		{ceph.Release{Major: 20, Minor: 2, Patch: 4}, []string{`ceph_pool_objects_repaired{pool_id="1"} 0`, `ceph_pool_metadata{application="rbd",compression_mode="none",description="replica:3",name="rbd",pool_id="1",type="replicated"} 1`}},
	} {
		s := cephHealthy(t)
		s.Release = tt.release
		text := cephText(t, s)
		for _, w := range tt.want {
			if !strings.Contains(text, w+"\n") {
				t.Errorf("%v: no %s", tt.release, w)
			}
		}
	}
}

func cephText(t *testing.T, s ceph.Snapshot) string {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(cephFake{s: s})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// cephOthers are families of the mgr module that no monitor or manager command gives, and why.
var cephOthers = map[string]string{
	"ceph_cephadm_daemon_status": "cephadm only",
	"ceph_hardware_":             "cephadm's node-proxy only",
	"ceph_smb_metadata":          "cephadm only",
	"ceph_rbd_":                  "RBD images: needs the pools listed, or OSD performance queries",
	"ceph_prometheus_collect_duration_seconds_count": "the module's measure of itself",
	"ceph_prometheus_collect_duration_seconds_sum":   "the module's measure of itself",
}

func TestCephFamiliesAreThoseOfTheMgrModule(t *testing.T) {
	const catalog = "../../shared/data/peers/ceph-mgr-prometheus-metrics.tsv"
	file, err := os.Open(catalog)
	if err != nil {
		t.Skipf("no catalog of the module's metrics at %s", catalog)
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = '\t', -1, true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]*Family{}
	for _, f := range cephFamilies() {
		have[f.Name] = f
	}
	for _, row := range rows[1:] {
		name, kind, labels := row[0], row[1], row[2]
		f := have[name]
		if f == nil {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(cephOthers)), func(p string) bool {
				return strings.HasPrefix(name, p) && name != "ceph_rbd_mirror_metadata"
			}) {
				t.Errorf("%s is not exported", name)
			}
			continue
		}
		// The module drops the labels that it does not group by, whatever the catalog lists.
		if name == "ceph_disk_occupation_human" {
			labels = "ceph_daemon,device,instance"
		}
		if string(f.Kind) != kind || strings.Join(f.Labels, ",") != labels {
			t.Errorf("%s is a %s by %v, the module's a %s by %s", name, f.Kind, f.Labels, kind, labels)
		}
	}
}

func TestCephSendsOnlyItsFamilies(t *testing.T) {
	listed := map[string]bool{}
	for _, f := range CephSpec().Families {
		listed[f.Name] = true
	}
	for name := range cephNames(t, cephHealthy(t)) {
		if !listed[name] {
			t.Errorf("%s is not in Families", name)
		}
	}
}

func TestCephDiskOccupationJoinsOSDsOfADisk(t *testing.T) {
	s := cephHealthy(t)
	m := *s.Mon.OSDMap
	m.OSDs = nil
	for i, node := range []string{"/dev/sda", "/dev/sda", "/dev/sdb", "unknown"} {
		m.OSDs = append(m.OSDs, ceph.OSD{ID: i, PublicAddr: "10.0.0.1", ClusterAddr: "10.1.0.1", DeviceClass: "ssd",
			Metadata: &ceph.OSDMetadata{ID: i, Hostname: "pve1", Store: "bluestore", BlueDev: node, BlueDB: "/dev/nvme0n1", Devices: "sda"}})
	}
	m.OSDs = append(m.OSDs, ceph.OSD{ID: 9, PublicAddr: "-", ClusterAddr: "-", Metadata: &ceph.OSDMetadata{ID: 9}})
	s.Mon.OSDMap = &m
	text := cephText(t, s)
	for _, want := range []string{
		`ceph_disk_occupation{ceph_daemon="osd.0",db_device="/dev/nvme0n1",device="/dev/sda",device_ids="N/A",devices="sda",instance="pve1",wal_device=""} 1`,
		`ceph_disk_occupation_human{ceph_daemon="osd.0, osd.1",device="/dev/sda",instance="pve1"} 1`,
		`ceph_disk_occupation_human{ceph_daemon="osd.2",device="/dev/sdb",instance="pve1"} 1`,
		`ceph_osd_up{ceph_daemon="osd.9"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	for _, not := range []string{`device="unknown"`, `ceph_osd_metadata{back_iface="",ceph_daemon="osd.9"`} {
		if strings.Contains(text, not) {
			t.Errorf("exports %s", not)
		}
	}
}

func BenchmarkEmitCeph(b *testing.B) {
	s := cephHealthy(b)
	ch := make(chan prometheus.Metric, 4096)
	b.ReportAllocs()
	for b.Loop() {
		emitCeph(s, ch)
		for len(ch) > 0 {
			<-ch
		}
	}
}
