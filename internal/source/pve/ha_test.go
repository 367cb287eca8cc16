package pve

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const haRecordings = "../../../../shared/data/proxmox"

// haRecording returns a recorded file, or skips.
func haRecording(t *testing.T, name ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{haRecordings}, name...)...))
	if os.IsNotExist(err) {
		t.Skipf("no recording: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func haData(t *testing.T, body []byte) json.RawMessage {
	t.Helper()
	var reply struct{ Data json.RawMessage }
	if err := json.Unmarshal(body, &reply); err != nil {
		t.Fatal(err)
	}
	return reply.Data
}

const haManagerReply = `{
 "manager_status":{"master_node":"pve2","timestamp":1795219962,
  "node_status":{"pve1":"online","pve2":"online","pve3":"fence"},
  "service_status":{
   "vm:101":{"uid":"a","state":"started","node":"pve1","running":1},
   "ct:102":{"uid":"b","state":"error","node":"pve2","failed_nodes":["pve1","pve2"]},
   "vm:103":{"uid":"c","state":"migrate","node":"pve2","target":"pve1"}}},
 "lrm_status":{
  "pve1":{"mode":"active","state":"active","timestamp":1795219964,"results":{"a":{"sid":"vm:101","state":"started","exit_code":0}}},
  "pve2":{"mode":"maintenance","state":"active","timestamp":"1795219967","results":{"x":{"sid":"vm:101","state":"started","exit_code":7}}},
  "pve3":{"mode":"unknown"}},
 "quorum":{"node":"pve1","quorate":"1"}}`

func haWant() HA {
	return HA{
		At: time.Unix(1795219970, 0), Quorate: true, Master: "pve2", Updated: time.Unix(1795219962, 0), Arming: HAArmed,
		Nodes: []HANode{{"pve1", "online"}, {"pve2", "online"}, {"pve3", "fence"}},
		LRMs: []HALRM{
			{Node: "pve1", State: "active", Mode: "active", Updated: time.Unix(1795219964, 0), Started: []string{"vm:101"}},
			{Node: "pve2", State: "active", Mode: "maintenance", Updated: time.Unix(1795219967, 0)},
		},
		Services: []HAService{
			{SID: "ct:102", Known: true, State: "error", Node: "pve2", FailedNodes: 2, Requested: "started", MaxRestart: Int{2, true}, MaxRelocate: Int{0, true}},
			{SID: "vm:101", Known: true, State: "started", Node: "pve1", Running: true, Confirmed: true, Requested: "started", MaxRestart: Int{1, true}, MaxRelocate: Int{1, true}},
			{SID: "vm:103", Known: true, State: "migrate", Node: "pve2", Target: "pve1", Requested: "stopped", MaxRestart: Int{1, true}, MaxRelocate: Int{1, true}},
			{SID: "vm:104", Requested: "ignored", MaxRestart: Int{1, true}, MaxRelocate: Int{1, true}},
		},
	}
}

func TestHAOfEveryVersionIsTheSame(t *testing.T) {
	row := func(sid, requested string, restart, relocate any) string {
		return fmt.Sprintf(`{"type":"service","id":"service:%[1]s","sid":"%[1]s","request_state":"%[2]s","max_restart":%[3]v,"max_relocate":%[4]v}`, sid, requested, restart, relocate)
	}
	services := strings.Join([]string{row("vm:101", "started", 1, 1), row("ct:102", "enabled", `"2"`, `"0"`), row("vm:103", "stopped", 1, 1), row("vm:104", "ignored", 1, 1)}, ",")
	for name, current := range map[string]string{
		"9.2":            `[{"type":"quorum","id":"quorum","quorate":1},{"type":"fencing","id":"fencing","armed-state":"armed"},` + services + `]`,
		"8.4, no arming": `[{"type":"quorum","id":"quorum","quorate":"1"},` + services + `]`,
		"without sid":    `[{"type":"quorum","quorate":1},` + strings.NewReplacer(`"sid":"vm:101",`, "", `"sid":"ct:102",`, "").Replace(services) + `]`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseHAReplies([]byte(current), []byte(haManagerReply), time.Unix(1795219970, 0))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(haWant(), got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestHAFromFilesIsHAFromTheAPI(t *testing.T) {
	files := HAFiles{
		Members:   []byte(`{"nodename":"pve1","cluster":{"name":"c","quorate":1},"nodelist":{"pve1":{},"pve2":{},"pve3":{}}}`),
		Resources: []byte("vm: 101\n\tcomment state stopped\n\tmax_relocate 1\n\tstate started\n\nct: 102\n\tmax_relocate 0\n\tmax_restart 2\n\tstate enabled\n\nvm: 103\n\tstate stopped\n\nvm: 104\n\tstate ignored\n"),
		LRMs:      map[string][]byte{},
	}
	var reply struct {
		Manager json.RawMessage            `json:"manager_status"`
		LRMs    map[string]json.RawMessage `json:"lrm_status"`
	}
	if err := json.Unmarshal([]byte(haManagerReply), &reply); err != nil {
		t.Fatal(err)
	}
	files.Manager = reply.Manager
	for n, b := range reply.LRMs {
		files.LRMs[n] = b
	}
	got, err := ParseHAFiles(files, time.Unix(1795219970, 0))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(haWant(), got); d != "" {
		t.Error(d)
	}
}

func TestHARecordedRepliesAndFilesOfThemAreTheSame(t *testing.T) {
	for _, state := range []string{"healthy", "ceph-healthy", "node3-lost-90s", "service-error-node3-lost", "no-quorum"} {
		t.Run(state, func(t *testing.T) {
			current := haData(t, haRecording(t, "recorded", state, "cluster_ha_status_current.json"))
			manager := haData(t, haRecording(t, "recorded", state, "cluster_ha_status_manager_status.json"))
			var reply struct {
				Manager struct {
					Timestamp int64 `json:"timestamp"`
				} `json:"manager_status"`
			}
			if err := json.Unmarshal(manager, &reply); err != nil {
				t.Fatal(err)
			}
			at := time.Unix(reply.Manager.Timestamp+5, 0)
			if state == "no-quorum" { // recorded a minute after the last write
				at = at.Add(time.Minute)
			}
			api, err := ParseHAReplies(current, manager, at)
			if err != nil {
				t.Fatal(err)
			}
			if len(api.Services) != 3 || len(api.Nodes) != 3 || len(api.LRMs) != 3 || api.Quorate != (state != "no-quorum") {
				t.Errorf("read %+v", api)
			}
			files, err := ParseHAFiles(haFilesOf(t, state, manager, api.Quorate), at)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(api, files); d != "" {
				t.Errorf("API and files differ: %s", d)
			}
		})
	}
}

// haFilesOf writes replies as the files that they were made of.
func haFilesOf(t *testing.T, state string, manager []byte, quorate bool) HAFiles {
	t.Helper()
	var reply struct {
		Manager json.RawMessage            `json:"manager_status"`
		LRMs    map[string]json.RawMessage `json:"lrm_status"`
	}
	if err := json.Unmarshal(manager, &reply); err != nil {
		t.Fatal(err)
	}
	var resources []struct {
		SID, State  string
		MaxRestart  int `json:"max_restart"`
		MaxRelocate int `json:"max_relocate"`
	}
	if err := json.Unmarshal(haData(t, haRecording(t, "recorded", state, "cluster_ha_resources.json")), &resources); err != nil {
		t.Fatal(err)
	}
	f := HAFiles{Manager: reply.Manager, LRMs: map[string][]byte{}}
	f.Members = []byte(`{"nodename":"pve1","cluster":{"quorate":0}}`)
	if quorate {
		f.Members = []byte(`{"nodename":"pve1","cluster":{"quorate":1}}`)
	}
	for n, b := range reply.LRMs {
		f.LRMs[n] = b
	}
	for _, r := range resources {
		kind, name, _ := strings.Cut(r.SID, ":")
		f.Resources = fmt.Appendf(f.Resources, "%s: %s\n\tmax_restart %d\n\tmax_relocate %d\n\tstate %s\n\n", kind, name, r.MaxRestart, r.MaxRelocate, r.State)
	}
	return f
}

func TestHAReadsFilesAsOnDiskInEveryRecordedState(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(haRecordings, "files", "*", "pve*"))
	if err != nil || len(folders) == 0 {
		t.Skipf("no recordings below %s (%v)", haRecordings, err)
	}
	for _, f := range folders {
		state := filepath.Base(filepath.Dir(f))
		t.Run(state+" on "+filepath.Base(f), func(t *testing.T) {
			h, err := HAFromFiles(os.DirFS(filepath.Join(f, "etc/pve")), time.Now)(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if h.Master == "" || len(h.Nodes) != 3 || len(h.LRMs) != 3 || len(h.Services) < 3 {
				t.Errorf("read %+v", h)
			}
			for _, s := range h.Services {
				if s.Requested == "" || !s.Known || s.State == "" || s.Node == "" {
					t.Errorf("service %+v", s)
				}
			}
			if want := !strings.HasPrefix(state, "no-quorum"); h.Quorate != want {
				t.Errorf("quorate %t, want %t", h.Quorate, want)
			}
			if state == "disarmed" && h.Arming != HADisarmed {
				t.Errorf("arming %s", h.Arming)
			}
		})
	}
}

func TestHAOfAClusterThatNeverUsedIt(t *testing.T) {
	at := time.Unix(1795219970, 0)
	api, err := ParseHAReplies([]byte(`[{"type":"quorum","quorate":1}]`), []byte(`{"manager_status":{"node_status":{}},"lrm_status":{},"quorum":{"quorate":"1"}}`), at)
	if err != nil {
		t.Fatal(err)
	}
	files, err := ParseHAFiles(HAFiles{Members: []byte(`{"nodename":"pve1","version":0}`)}, at)
	if err != nil {
		t.Fatal(err)
	}
	want := HA{At: at, Quorate: true, Arming: HAStandby}
	for name, got := range map[string]HA{"API": api, "files": files} {
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestHAArmingFollowsFromTheFilesAlone(t *testing.T) {
	for name, c := range map[string]struct {
		manager, want string
	}{
		"master at work":         {`{"master_node":"a","timestamp":970}`, HAArmed},
		"30 s old":               {`{"master_node":"a","timestamp":970}`, HAArmed},
		"31 s old":               {`{"master_node":"a","timestamp":969}`, HAStandby},
		"clock ahead":            {`{"master_node":"a","timestamp":1100}`, HAStandby},
		"disarming":              {`{"master_node":"a","timestamp":999,"disarm":{"mode":"freeze","state":"disarming"}}`, HADisarming},
		"disarmed, master stale": {`{"master_node":"a","timestamp":9,"disarm":{"mode":"ignore","state":"disarmed"}}`, HADisarmed},
	} {
		h, err := ParseHAFiles(HAFiles{Members: []byte(`{"nodename":"a"}`), Manager: []byte(c.manager)}, time.Unix(1000, 0))
		if err != nil || h.Arming != c.want {
			t.Errorf("%s: %q, %v; want %q", name, h.Arming, err, c.want)
		}
	}
}

func TestHABrokenInputIsAnErrorThatNamesIt(t *testing.T) {
	at := time.Unix(1, 0)
	for name, err := range map[string]error{
		"manager_status": second(ParseHAReplies([]byte(`[]`), []byte(`{"manager_status":[]}`), at)),
		"status/current": second(ParseHAReplies([]byte(`{}`), []byte(`{}`), at)),
		".members":       second(ParseHAFiles(HAFiles{}, at)),
		"ha/manager_":    second(ParseHAFiles(HAFiles{Members: []byte(`{}`), Manager: []byte(`{"timest`)}, at)),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestHAIDsAreThoseOfClusterResources(t *testing.T) {
	for sid, want := range map[string]string{"vm:100": "qemu/100", "ct:7": "lxc/7", "fa:1": "fa/1", "odd": "odd"} {
		if got := (HAService{SID: sid}).ID(); got != want {
			t.Errorf("%s is %s, want %s", sid, got, want)
		}
	}
}
