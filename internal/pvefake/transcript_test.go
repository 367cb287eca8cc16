package pvefake

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// refused is one line of write-transcripts/invalid.jsonl: what a real 9.2 answered.
type refused struct {
	N        int    `json:"n"`
	Step     string `json:"step"`
	Via      string `json:"via"`
	Auth     string `json:"auth"`
	Method   string `json:"method"`
	Path     string `json:"path"`
	Params   any    `json:"params"`
	Encoding string `json:"encoding"`
	Status   int    `json:"http_status"`
	Reason   string `json:"reason"`
	Body     any    `json:"body"`
	Exit     string `json:"task_exitstatus"`
}

// otherLab are cases whose answer came from something of that lab which is not modelled here.
var otherLab = map[int]string{
	231: "a path outside /api2/json", 332: "vm 100 had moved", 362: "vm:103 was in error by then", 363: "vm:103 was in error by then",
	431: "the user was disabled by then", 39: "vm 301 was made by earlier cases", 52: "storages of that lab",
}

// refusedLab is the cluster the refused requests were sent to.
func refusedLab(t *testing.T) *Cluster {
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

func TestRefusesWhatTheRealOneRefusedInTheSameWords(t *testing.T) {
	f, err := os.Open(needData(t, "write-transcripts/invalid.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := refusedLab(t)
	clients := transcriptClients(t, c)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 8<<20)
	served, same := 0, 0
	for lines.Scan() {
		var r refused
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		_, skip := otherLab[r.N]
		cl := clients[r.Auth]
		if skip || cl == nil || r.Via != "pve1" || r.Status < 400 || r.Status > 501 || stateOfThatLab(r.Step) || !strings.HasPrefix(r.Path, "/") {
			continue
		}
		m, _ := c.methods.find(r.Method, r.Path)
		if m == nil && r.Status != 501 {
			continue // the write side grows with the provisioner
		}
		served++
		if diff := replay(t, cl, r); diff != "" {
			t.Errorf("%d %s: %s %s %v: %s", r.N, r.Step, r.Method, r.Path, r.Params, diff)
			continue
		}
		same++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if served < 50 {
		t.Errorf("only %d cases were replayed", served)
	}
	t.Logf("refused requests replayed=%d same=%d", served, same)
}

func stateOfThatLab(step string) bool {
	return strings.HasPrefix(step, "no quorum") || strings.HasPrefix(step, "dead node") || strings.HasPrefix(step, "fresh node") || strings.Contains(step, "broken JSON")
}

func transcriptClients(t *testing.T, c *Cluster) map[string]*client {
	t.Helper()
	c.AddUser("nobody@pve", "secret")
	c.AddUser("prometheus@pve", "")
	if err := c.Grant("/", "prometheus@pve", "PVEAuditor"); err != nil {
		t.Fatal(err)
	}
	auditor, err := c.AddToken("prometheus@pve", "exporter", false)
	if err != nil {
		t.Fatal(err)
	}
	prov, err := c.AddToken("root@pam", "prov", false)
	if err != nil {
		t.Fatal(err)
	}
	anon := anonymous(t, c)
	return map[string]*client{
		"ticket root@pam": anon.login("root@pam", "fake-root"), "ticket nobody@pve": anon.login("nobody@pve", "secret"),
		"token prometheus@pve!exporter": anon.withToken(auditor), "token root@pam!prov": anon.withToken(prov),
	}
}

func replay(t *testing.T, cl *client, r refused) string {
	t.Helper()
	var form url.Values
	params, _ := r.Params.(map[string]any) // a list body is tested elsewhere
	for k, v := range params {
		if form == nil {
			form = url.Values{}
		}
		text := fmt.Sprint(v)
		if f, ok := v.(float64); ok {
			text = fmt.Sprintf("%.0f", f)
		}
		form.Set(k, text)
	}
	got := cl.do(1, r.Method, r.Path, form)
	if got.status != r.Status || got.reason != r.Reason {
		return fmt.Sprintf("%d %q, real %d %q", got.status, got.reason, r.Status, r.Reason)
	}
	body, ok := r.Body.(map[string]any)
	if !ok {
		return ""
	}
	var have map[string]any
	if err := json.Unmarshal(got.body, &have); err != nil {
		return fmt.Sprintf("body %q", got.body)
	}
	if !reflect.DeepEqual(have, body) {
		return fmt.Sprintf("body %v, real %v", have, body)
	}
	return ""
}
