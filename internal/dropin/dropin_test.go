package dropin

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/source/ceph"
)

const recordings = "../../../shared/data/ceph"

// ours is what we export of the small recording of a healthy cluster.
func ours(t *testing.T) []byte {
	t.Helper()
	text, err := Exposition(context.Background(), ceph.Recording{FS: os.DirFS("../source/ceph/testdata/healthy")})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func compare(t *testing.T, module, ours string, o Options) Report {
	t.Helper()
	r, err := Compare([]byte(module), []byte(ours), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatIsTheSameIsEqual(t *testing.T) {
	text := string(ours(t))
	r := compare(t, text, text, Options{})
	if r.Count(Equal) != len(r.Results) || r.Compared() < 200 {
		t.Errorf("%d of %d equal", r.Count(Equal), len(r.Results))
	}
}

func TestDifferencesAreFoundAndNamed(t *testing.T) {
	for _, tt := range []struct {
		name         string
		module, ours string
		o            Options
		want         Result
	}{
		{
			name: "value", module: "# TYPE ceph_osd_in untyped\nceph_osd_in{ceph_daemon=\"osd.0\"} 1.0", ours: "# TYPE ceph_osd_in untyped\nceph_osd_in{ceph_daemon=\"osd.0\"} 0\n",
			want: Result{Kind: Differ, Family: "ceph_osd_in", Series: `ceph_osd_in{ceph_daemon="osd.0"}`, Module: "1", Ours: "0", Reason: Unexplained},
		},
		{
			name: "value that moves", module: "# TYPE ceph_pool_wr counter\nceph_pool_wr{pool_id=\"1\"} 5\n", ours: "# TYPE ceph_pool_wr counter\nceph_pool_wr{pool_id=\"1\"} 9\n",
			want: Result{Kind: Differ, Family: "ceph_pool_wr", Series: `ceph_pool_wr{pool_id="1"}`, Module: "5", Ours: "9", Reason: "counter or measure, taken at another moment"},
		},
		{
			name: "value seen to move", module: "# TYPE ceph_osd_in untyped\nceph_osd_in 1\n", ours: "# TYPE ceph_osd_in untyped\nceph_osd_in 0\n",
			o:    Options{Again: []byte("# TYPE ceph_osd_in untyped\nceph_osd_in 0\n")},
			want: Result{Kind: Differ, Family: "ceph_osd_in", Series: "ceph_osd_in", Module: "1 then 0", Ours: "0", Reason: "moved between the module's two samples"},
		},
		{
			name: "type", module: "# TYPE ceph_osd_in untyped\nceph_osd_in 1\n", ours: "# TYPE ceph_osd_in gauge\nceph_osd_in 1\n",
			want: Result{Kind: Differ, Family: "ceph_osd_in", Series: "ceph_osd_in", Module: "type untyped", Ours: "type gauge", Reason: Unexplained},
		},
		{
			name: "label", module: "# TYPE ceph_mon_metadata untyped\nceph_mon_metadata{ceph_daemon=\"mon.a\",hostname=\"pve1\"} 1\n", ours: "# TYPE ceph_mon_metadata untyped\nceph_mon_metadata{ceph_daemon=\"mon.a\",hostname=\"\"} 1\n",
			o:    Options{Missing: []string{"mon metadata"}},
			want: Result{Kind: Differ, Family: "ceph_mon_metadata", Series: `ceph_mon_metadata{ceph_daemon="mon.a",hostname="pve1"}`, Module: `hostname="pve1"`, Ours: `hostname=""`, Reason: "not recorded: mon metadata"},
		},
		{
			name: "label of the pool's id", module: "# TYPE ceph_pool_objects_repaired counter\nceph_pool_objects_repaired{poolid=\"1\"} 0\n", ours: "# TYPE ceph_pool_objects_repaired counter\nceph_pool_objects_repaired{pool_id=\"1\"} 0\n",
			want: Result{Kind: Differ, Family: "ceph_pool_objects_repaired", Series: `ceph_pool_objects_repaired{poolid="1"}`, Module: `no pool_id poolid="1"`, Ours: `no poolid pool_id="1"`, Reason: Unexplained},
		},
		{
			name: "missing", module: "# TYPE ceph_new gauge\nceph_new 1\n", ours: "",
			want: Result{Kind: Missing, Family: "ceph_new", Series: "ceph_new", Module: "1", Reason: Unexplained},
		},
		{
			name: "check of the module's history", module: "# TYPE ceph_health_detail gauge\nceph_health_detail{name=\"OSD_DOWN\",severity=\"HEALTH_WARN\"} 0\n", ours: "",
			want: Result{Kind: Missing, Family: "ceph_health_detail", Series: `ceph_health_detail{name="OSD_DOWN",severity="HEALTH_WARN"}`, Module: "0", Reason: "check cleared before this process began: the module keeps its history in the cluster"},
		},
		{
			name: "check that is raised and not ours", module: "# TYPE ceph_health_detail gauge\nceph_health_detail{name=\"OSD_DOWN\",severity=\"HEALTH_WARN\"} 1\n", ours: "",
			want: Result{Kind: Missing, Family: "ceph_health_detail", Series: `ceph_health_detail{name="OSD_DOWN",severity="HEALTH_WARN"}`, Module: "1", Reason: Unexplained},
		},
		{
			name: "extra", module: "", ours: "# TYPE ceph_pg_total gauge\nceph_pg_total{pool_id=\"1\"} 8\n",
			want: Result{Kind: Extra, Family: "ceph_pg_total", Series: `ceph_pg_total{pool_id="1"}`, Ours: "8", Reason: Unexplained},
		},
		{
			name: "state, with a witness that the module is late", module: "# TYPE ceph_pg_down gauge\nceph_pg_down{pool_id=\"1\"} 0\n", ours: "# TYPE ceph_pg_down gauge\nceph_pg_down{pool_id=\"1\"} 8\n",
			o:    Options{Contradictions: []string{"pg_stat.json"}},
			want: Result{Kind: Differ, Family: "ceph_pg_down", Series: `ceph_pg_down{pool_id="1"}`, Module: "0", Ours: "8", Reason: "the module's sample is of another moment: other recorded answers contradict it and not us"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := compare(t, tt.module, tt.ours, tt.o)
			if len(r.Results) != 1 || r.Results[0] != tt.want {
				t.Errorf("got  %+v\nwant %+v", r.Results, tt.want)
			}
		})
	}
}

func TestDaemonCountersAreCountedApart(t *testing.T) {
	r := compare(t, "# TYPE ceph_osd_op counter\nceph_osd_op{ceph_daemon=\"osd.0\"} 1\nceph_osd_op{ceph_daemon=\"osd.1\"} 1\n# TYPE ceph_prioritycache:full_pri0_bytes gauge\nceph_prioritycache:full_pri0_bytes 0\n", "", Options{})
	if r.LeftOut != 3 || r.LeftOutFamilies != 2 || r.Compared() != 0 {
		t.Errorf("got %+v", r)
	}
	for _, name := range []string{"ceph_osd_up", "ceph_osd_metadata", "ceph_mds_metadata", "ceph_mon_quorum_status", "ceph_pool_rd", "ceph_osd_weight"} {
		if isDaemonCounter(name) {
			t.Errorf("%s is taken for a daemon's counter", name)
		}
	}
}

func TestRepeatedDescriptionsOfTheModuleAreRead(t *testing.T) {
	text := "# HELP a x\n# TYPE a counter\n# HELP a y\n# TYPE a counter\na{poolid=\"2\"} 0.0\n# HELP a y\n# TYPE a counter\na{poolid=\"1\"} 0.0\n#HTTP 200 time 0.002926"
	f, err := parse([]byte(text))
	if err != nil || len(f["a"].series) != 2 {
		t.Errorf("got %v, %v", f, err)
	}
}

func TestGarbageIsRefused(t *testing.T) {
	if _, err := Compare([]byte("<html>"), nil, Options{}); err == nil {
		t.Error("module: no error")
	}
	if _, err := Compare(nil, []byte("a b c d"), Options{}); err == nil {
		t.Error("ours: no error")
	}
}

// layOut copies the small recording into dir/state, without the named files.
func layOut(t *testing.T, dir, state string, without ...string) string {
	t.Helper()
	to := filepath.Join(dir, state)
	if err := os.CopyFS(to, os.DirFS("../source/ceph/testdata/healthy")); err != nil {
		t.Fatal(err)
	}
	for _, f := range without {
		if err := os.Remove(filepath.Join(to, f)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestReplayTellsOfEachStateAndEndsWithTheTotals(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(layOut(t, dir, "a"), expositionFile), ours(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(layOut(t, dir, "b", "osd_perf.json"), expositionFile), ours(t), 0o600); err != nil {
		t.Fatal(err)
	}
	layOut(t, dir, "c")
	if err := os.WriteFile(filepath.Join(layOut(t, dir, "d"), expositionFile), []byte("#HTTP 200\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	states, err := ReplayCeph(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Print(&out, states, true); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	tot := Total(states)
	if lines[len(lines)-1] != tot.String() || tot.States != 4 || tot.Missing != 12 || tot.Equal+tot.Missing != tot.Compared {
		t.Errorf("%s\n%v", out.String(), tot)
	}
	for _, want := range []string{"no metrics.prom: replayed only", "served nothing", `b missing ceph_osd_apply_latency_ms{ceph_daemon="osd.0"}`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("does not say %q:\n%s", want, out.String())
		}
	}
}

func TestReplayRefusesWhatItCannotUnderstand(t *testing.T) {
	if _, err := ReplayCeph(context.Background(), t.TempDir()); err == nil {
		t.Error("an empty folder was replayed")
	}
	dir := t.TempDir()
	broken := layOut(t, dir, "a")
	if err := os.WriteFile(filepath.Join(broken, "osd_dump.json"), []byte(`{"epoch":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReplayCeph(context.Background(), dir); err == nil || !strings.Contains(err.Error(), "osd dump") {
		t.Errorf("got %v", err)
	}
}

func TestEveryDifferenceInTheRecordingsIsExplained(t *testing.T) {
	if _, err := os.Stat(recordings); err != nil {
		t.Skipf("no recordings at %s", recordings)
	}
	states, err := ReplayCeph(context.Background(), recordings)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		for _, r := range s.Report.Results {
			if r.Reason == Unexplained {
				t.Errorf("%s: %s %s: module %q, ours %q", s.Name, r.Kind, r.Series, r.Module, r.Ours)
			}
		}
	}
	if tot := Total(states); tot.States < 15 || tot.Equal < 2000 {
		t.Errorf("%v", tot)
	}
}
