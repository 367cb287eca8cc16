package alerts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/quorate/quorate/internal/promql"
)

const alertmanagerConfig = "../packaging/alertmanager/alertmanager.yml"

func TestAlertmanagerExamplePassesAmtool(t *testing.T) {
	amtool := need(t, "amtool", "prometheus-alertmanager")
	if out, err := exec.CommandContext(t.Context(), amtool, "check-config", alertmanagerConfig).CombinedOutput(); err != nil {
		t.Errorf("amtool check-config: %v\n%s", err, out)
	}
}

func TestPrometheusExamplePassesPromtool(t *testing.T) {
	promtool := need(t, "promtool", "prometheus")
	out, err := exec.CommandContext(t.Context(), promtool, "check", "config", "../packaging/prometheus/prometheus.yml").CombinedOutput()
	if err != nil {
		t.Errorf("promtool check config: %v\n%s", err, out)
	}
}

// Every alert reaches the receiver of its severity, also one of a subject that nobody thought of.
func TestAlertmanagerRoutesBySeverity(t *testing.T) {
	amtool := need(t, "amtool", "prometheus-alertmanager")
	receivers := map[string]string{"critical": "page", "warning": "day", "info": "nobody", "": "day"}
	for severity, want := range receivers {
		for _, subject := range append([]string{"new"}, subjects...) {
			out, err := exec.CommandContext(t.Context(), amtool, "config", "routes", "test", "--config.file="+alertmanagerConfig,
				"severity="+severity, "subject="+subject, "alertname=X", "cluster=a").Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != want {
				t.Errorf("severity %q, subject %s goes to %q, want %q (%v)", severity, subject, got, want, err)
			}
		}
	}
}

// An inhibition by an alert that was renamed holds nothing back, and nobody notices.
func TestAlertmanagerNamesOnlyAlertsThatExist(t *testing.T) {
	known := map[string]bool{}
	for _, a := range alertRules(t) {
		known[a.Alert] = true
	}
	text, err := os.ReadFile(alertmanagerConfig)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Rules []struct {
			Source []string `yaml:"source_matchers"`
			Target []string `yaml:"target_matchers"`
			Equal  []string `yaml:"equal"`
		} `yaml:"inhibit_rules"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if len(config.Rules) == 0 {
		t.Fatal("no inhibit_rules")
	}
	byName := regexp.MustCompile(`^\s*alertname\s*[=!~]+(.*)$`)
	name := regexp.MustCompile(`[A-Za-z]+`)
	for i, r := range config.Rules {
		if !slices.Contains(r.Equal, "cluster") {
			t.Errorf("inhibition %d reaches into other clusters", i+1)
		}
		for _, m := range slices.Concat(r.Source, r.Target) {
			names := byName.FindStringSubmatch(m)
			if names == nil {
				continue
			}
			for _, n := range name.FindAllString(names[1], -1) {
				if !known[n] {
					t.Errorf("inhibition %d names %s, which is no alert", i+1, n)
				}
			}
		}
	}
}

// fault is what fires after one fault, and what of it is told. Labels cluster, severity and subject
// are filled in.
type fault struct {
	name   string
	fires  []string // NAME or NAME{label="value",…}
	told   []string // of these
	others []string // fire in another cluster, and are told
}

var faults = []fault{
	{
		name: "a node dies",
		fires: []string{`NodeDown{node="pve3"}`, `ClusterQuorumAtRisk`, `CephMonDown{node="pve3",ceph_daemon="mon.pve3"}`, `CephMonQuorumAtRisk`,
			`CephOSDHostDown{node="pve3"}`, `CephPGsUndersized`, `CephPGsDegraded`, `CephHealthWarning{name="X"}`, `CephNextHostLossInactive`,
			`HALRMDead{node="pve3"}`, `QuorateDown{node="pve3"}`, `CorosyncTokenLosses`},
		told:   []string{"NodeDown", "ClusterQuorumAtRisk"},
		others: []string{`CephMonQuorumAtRisk`, `CephOSDHostDown{node="pve3"}`},
	},
	{
		name:  "a node dies and HA cannot recover its guests",
		fires: []string{`NodeDown{node="pve3"}`, `HALRMDead{node="pve3"}`, `HAFenceNotConfirmed{node="pve3"}`, `HAFailoverFailed{node="pve3"}`, `HAFailoverSlow{id="qemu/100"}`, `CephPGsInactive`, `CephSlowOps`},
		told:  []string{"NodeDown", "HAFenceNotConfirmed", "CephPGsInactive"},
	},
	{
		name: "a node is cut off from the storage network",
		fires: []string{`CephOSDHostDown{node="pve3"}`, `CephMonDown{node="pve3",ceph_daemon="mon.pve3"}`, `QuorateSourceDown{node="pve3",source="ceph"}`,
			`QuorateSourceDown{node="pve3",source="ceph_mgr"}`},
		told: []string{"CephOSDHostDown", "CephMonDown"},
	},
	{
		name:  "while a node is down another one has trouble",
		fires: []string{`NodeDown{node="pve3"}`, `CorosyncLinkDown{node="pve2",link="0"}`, `CephOSDDown{node="pve2",ceph_daemon="osd.4"}`, `QuorateSourceDown{node="pve1",source="pve"}`},
		told:  []string{"NodeDown", "CorosyncLinkDown", "CephOSDDown", "QuorateSourceDown"},
	},
	{
		name:  "a node is rebooted for an upgrade",
		fires: []string{`NodeAway{node="pve3"}`, `CephMonDown{node="pve3",ceph_daemon="mon.pve3"}`, `CephMonQuorumAtRisk`, `CephOSDHostDown{node="pve3"}`, `QuorateDown{node="pve3"}`, `QuorateSourceDown{node="pve3",source="corosync"}`, `HALRMDead{node="pve3"}`},
		told:  []string{},
	},
	{
		name: "quorum is lost",
		fires: []string{`ClusterQuorumLost`, `CephMonitorsUnreachable`, `QuorateDown{node="pve2"}`, `QuorateDown{node="pve3"}`, `QuorateSourceDown{node="pve1",source="ceph"}`,
			`HAManagerDead`, `CorosyncTokenLosses`, `VMPausedAfterMigration{vmid="100"}`},
		told:   []string{"ClusterQuorumLost"},
		others: []string{`CephMonitorsUnreachable`, `HAManagerDead`},
	},
	{
		name:  "the cluster is dark",
		fires: []string{`ClusterUnreachable`, `HAFailoverFailed{node="pve3"}`, `HAMigrationFailed{node="pve3"}`},
		told:  []string{"ClusterUnreachable"}, others: []string{`QuorateDown{node="pve3"}`},
	},
	{
		name:  "two partitions with quorum",
		fires: []string{`ClusterSplitView`, `CorosyncExpectedVotesForced`, `ClusterQuorumAtRisk`, `CorosyncTokenLosses`, `HAServiceError{id="qemu/100"}`},
		told:  []string{"ClusterSplitView", "HAServiceError"},
	},
	{
		name:  "monitors lose their quorum, corosync does not",
		fires: []string{`CephMonitorsUnreachable`, `QuorateSourceDown{node="pve1",source="ceph"}`, `QuorateSourceDown{node="pve1",source="ceph_mgr"}`, `QuorateSourceStuck{node="pve2",source="ceph"}`, `QuorateSourceDown{node="pve1",source="tasks"}`},
		told:  []string{"CephMonitorsUnreachable", `QuorateSourceDown{node="pve1",source="tasks"}`},
	},
	{
		name:  "no manager",
		fires: []string{`CephNoActiveMgr`, `QuorateSourceDown{node="pve1",source="ceph_mgr"}`},
		told:  []string{"CephNoActiveMgr"},
	},
	{
		name:  "a cable is loose",
		fires: []string{`CorosyncLinkFlapping{node="pve3",link="0"}`, `CorosyncLinkLossy{node="pve3",link="0"}`, `CorosyncLinkSlow{node="pve3",link="0"}`, `CorosyncLinkSlow{node="pve3",link="1"}`, `CorosyncTokenLosses`},
		told:  []string{"CorosyncLinkFlapping", `CorosyncLinkSlow{node="pve3",link="1"}`},
	},
	{
		name:  "PGs are inactive",
		fires: []string{`CephPGsInactive`, `CephOSDDown{node="pve2",ceph_daemon="osd.4"}`, `CephPGsUndersized`, `CephSlowOps`, `CephClientsBlocked`, `CephHealthWarning{name="X"}`},
		told:  []string{"CephPGsInactive", "CephOSDDown"},
	},
	{
		name:  "a guest is in error",
		fires: []string{`HAServiceError{id="qemu/100"}`, `HAFailoverFailed{node="pve3"}`},
		told:  []string{"HAServiceError"},
	},
}

// The inhibition tree in the real Alertmanager: what of each fault's alerts is told. Each fault has
// a cluster of its own, so that one run holds all.
func TestAlertmanagerTellsTheCause(t *testing.T) {
	api := startAlertmanager(t)
	rules := map[string]Rule{}
	for _, a := range alertRules(t) {
		rules[a.Alert] = a.Rule
	}
	var post []map[string]any
	fire := func(cluster, text string) {
		s, err := promql.ReadSeries(text)
		if err != nil {
			t.Fatal(err)
		}
		rule, ok := rules[s.Name]
		if !ok {
			t.Fatalf("there is no alert %s", s.Name)
		}
		labels := map[string]string{"alertname": s.Name, "test": text, "severity": rule.Labels["severity"], "subject": rule.Labels["subject"]}
		if cluster != "" {
			labels["cluster"] = cluster
		}
		for _, m := range s.Matchers {
			labels[m.Label] = m.Value
		}
		post = append(post, map[string]any{"labels": labels, "annotations": map[string]string{}})
	}
	for i, f := range faults {
		for _, a := range f.fires {
			cluster := f.name
			if i == 0 {
				cluster = "" // a single cluster has no label
			}
			fire(cluster, a)
		}
		for _, a := range f.others {
			fire(f.name+", elsewhere", a)
		}
	}
	// Alertmanager takes in what holds others back after it has answered, in the order of arrival: once
	// the last pair has its effect, all before have.
	fire(lastCluster, `CephSlowOps`)
	fire(lastCluster, `CephPGsInactive`)
	postAlerts(t, api, post)
	all := settledAlerts(t, api)
	if len(all) != len(post) {
		t.Fatalf("Alertmanager has %d alerts of %d", len(all), len(post))
	}
	for i, f := range faults {
		cluster := f.name
		if i == 0 {
			cluster = ""
		}
		t.Run(f.name, func(t *testing.T) {
			for _, a := range all {
				name, series, severity := a.Labels["alertname"], a.Labels["test"], a.Labels["severity"]
				told := len(a.Status.InhibitedBy) == 0 && severity != "info"
				switch a.Labels["cluster"] {
				case cluster:
					want := slices.Contains(f.told, series) || slices.Contains(f.told, name) && severity != "info"
					if told != want {
						t.Errorf("%s is told: %v, want %v", series, told, want)
					}
				case f.name + ", elsewhere":
					if !told {
						t.Errorf("%s of another cluster is held back", series)
					}
				}
			}
		})
	}
}

// lastCluster is where CephPGsInactive holds back CephSlowOps, after everything else was said.
const lastCluster = "the last to be taken in"

// toldAlert is an alert as Alertmanager's API tells it.
type toldAlert struct {
	Labels map[string]string `json:"labels"`
	Status struct {
		InhibitedBy []string `json:"inhibitedBy"`
	} `json:"status"`
}

func postAlerts(t *testing.T, api string, alerts []map[string]any) {
	t.Helper()
	body, err := json.Marshal(alerts)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(api+"/api/v2/alerts", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
}

// settledAlerts returns all alerts once those of lastCluster have their effect.
func settledAlerts(t *testing.T, api string) []toldAlert {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		response, err := http.Get(api + "/api/v2/alerts")
		if err != nil {
			t.Fatal(err)
		}
		var all []toldAlert
		err = json.NewDecoder(response.Body).Decode(&all)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(all, func(a toldAlert) bool {
			return a.Labels["cluster"] == lastCluster && len(a.Status.InhibitedBy) > 0
		}) {
			return all
		}
	}
	t.Fatal("Alertmanager holds nothing back after 20 s")
	return nil
}

// startAlertmanager runs Alertmanager with the example configuration and returns its address.
func startAlertmanager(t *testing.T) string {
	t.Helper()
	program := need(t, "prometheus-alertmanager", "prometheus-alertmanager")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	var log bytes.Buffer
	config, err := filepath.Abs(alertmanagerConfig)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+config, "--storage.path="+t.TempDir(), "--web.listen-address="+address, "--cluster.listen-address=")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	url := "http://" + address
	deadline := time.Now().Add(20 * time.Second)
	for {
		response, err := http.Get(url + "/-/ready")
		if err == nil {
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return url
			}
			err = fmt.Errorf("%s", response.Status)
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			cmd.Wait()
			t.Fatalf("Alertmanager is not ready: %v\n%s", err, log.String())
		}
		time.Sleep(50 * time.Millisecond)
	}
}
