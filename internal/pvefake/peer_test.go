package pvefake

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// prometheus-pve-exporter must find everything it asks for, with the rows it reads in the types it got.
func TestAnswersWhatThePeerExporterAsks(t *testing.T) {
	logs, err := filepath.Glob(filepath.Join(needData(t, "peer-output/healthy"), "*.calls.jsonl"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no calls: %v", err)
	}
	c := recordedLab(t)
	cl := root(t, c)
	asked := 0
	for _, log := range logs {
		f, err := os.Open(log)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			var call struct {
				URL    string          `json:"url"`
				Status int             `json:"status"`
				Body   json.RawMessage `json:"body"`
			}
			if err := json.Unmarshal(lines.Bytes(), &call); err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(call.URL)
			if err != nil {
				t.Fatal(err)
			}
			path := strings.TrimPrefix(u.RequestURI(), "/api2/json")
			got := cl.get(path)
			asked++
			if got.status != call.Status {
				t.Errorf("%s: %d %s, recorded %d", path, got.status, got.reason, call.Status)
				continue
			}
			if strings.Contains(path, "/config") {
				continue // that lab's guests had other hardware
			}
			if diff := typesDiffer(shapeOf(t, "merged", got.body), shapeOf(t, "merged", call.Body)); diff != "" {
				t.Errorf("%s: %s", path, diff)
			}
		}
	}
	t.Logf("requests of the peer exporter answered=%d", asked)
}

// typesDiffer compares only keys that both have: the two clusters hold different guests.
func typesDiffer(got, want shape) string {
	both := shape{}
	for p, types := range got {
		if want[p] != nil {
			both[p] = types
		}
	}
	narrowed := shape{}
	for p := range both {
		narrowed[p] = want[p]
	}
	return diffShapes(both, narrowed)
}

// recordedLab is the cluster the requests were recorded on.
func recordedLab(t *testing.T) *Cluster {
	t.Helper()
	c := newCluster(t, Options{ClusterName: "quorate1", Ceph: true})
	for vmid, node := range map[int]int{100: 1, 101: 2, 102: 3, 110: 3, 111: 1, 112: 1, 120: 1} {
		if err := c.AddVM(Guest{VMID: vmid, Node: node, Name: fmt.Sprintf("vm%d", vmid)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, sid := range []string{"vm:100", "vm:101", "vm:102"} {
		if err := c.AddHAResource(HAResource{SID: sid, Comment: "quorate"}); err != nil {
			t.Fatal(err)
		}
	}
	c.AddNodeAffinity("prefer-pve1", map[string]int{"pve1": 2, "pve2": 1}, false, "vm:100")
	c.Advance(2 * time.Minute)
	return c
}
