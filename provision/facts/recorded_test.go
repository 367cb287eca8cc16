package facts

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const recordings = "../../../shared/data/proxmox/recorded"

// recorded answers with the replies of a real cluster.
type recorded struct {
	dir    string
	status map[string]string // refusals by path

	mu    sync.Mutex
	asked []string
}

// newRecorded reads the replies of a state of the cluster.
func newRecorded(t *testing.T, state string) *recorded {
	t.Helper()
	r := &recorded{dir: filepath.Join(recordings, state), status: map[string]string{}}
	index, err := os.Open(filepath.Join(r.dir, "_index.txt"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no recordings in %s", r.dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	for lines := bufio.NewScanner(index); lines.Scan(); {
		if f := strings.Split(lines.Text(), "|"); len(f) == 4 && !strings.HasPrefix(f[2], "200") {
			r.status["/"+f[0]] = strings.TrimPrefix(f[3], "HTTP/1.1 ")
		}
	}
	return r
}

func (r *recorded) Get(_ context.Context, path string, into any) error {
	r.mu.Lock()
	r.asked = append(r.asked, path)
	r.mu.Unlock()
	path, _, _ = strings.Cut(path, "?")
	if refusal, ok := r.status[path]; ok {
		return errors.New("HTTP " + refusal)
	}
	body, err := os.ReadFile(filepath.Join(r.dir, strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "_")+".json"))
	if err != nil {
		return errors.New("HTTP 501 not recorded")
	}
	return decode(body, into)
}

// decode unwraps a reply.
func decode(body []byte, into any) error {
	var reply struct{ Data json.RawMessage }
	if err := json.Unmarshal(body, &reply); err != nil {
		return err
	}
	return json.Unmarshal(reply.Data, into)
}

func TestRecordedClusterWithCeph(t *testing.T) {
	api := newRecorded(t, "ceph-healthy")
	targets := []Target{{Name: "pve1", API: api}}
	c := Gather(t.Context(), targets, Want{Configs: true})

	m, ok := c.Membership.Get()
	if !ok || m.Name != "lab1" || !m.Quorate || len(m.Nodes) != 3 || m.ConfigVersion != 3 {
		t.Errorf("membership %+v, %v", m, c.Membership.Err())
	}
	if v, _ := c.Nodes[0].Version.Get(); v != (Version{9, 2, "9.2.11"}) {
		t.Errorf("version %+v", v)
	}
	members, _ := c.Members.Get()
	if len(members) != 3 || members[0].Links[0] != "10.77.0.2" || members[0].Votes != 1 {
		t.Errorf("members %+v", members)
	}
	if totem, _ := c.Totem.Get(); totem.TokenCoefficient != 125 || totem.ClusterName != "lab1" {
		t.Errorf("totem %+v", totem)
	}
	if groups, ok := c.HAGroups.Get(); !ok || len(groups) != 0 {
		t.Errorf("PVE 9 has HA groups %v, %v", groups, c.HAGroups.Err())
	}
	rules, _ := c.HARules.Get()
	if len(rules) != 1 || rules[0].Nodes["pve1"] != 2 || rules[0].Resources[0] != "vm:101" {
		t.Errorf("rules %+v", rules)
	}
	pools, _ := c.Ceph.Pools.Get()
	if i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == "vmpool" }); i < 0 || pools[i].Size != 3 || pools[i].MinSize != 2 || pools[i].PGNum != 32 || pools[i].Autoscale != "warn" || !slices.Equal(pools[i].Applications, []string{"rbd"}) {
		t.Errorf("pools %+v", pools)
	}
	osds, _ := c.Ceph.OSDs.Get()
	if len(osds) != 3 || osds[0] != (OSD{ID: 0, Host: "host1", Up: true, In: true, Version: "16.2.15", Size: 2147483648}) {
		t.Errorf("OSDs %+v, %v", osds, c.Ceph.OSDs.Err())
	}
	if s, ok := c.Ceph.Status.Get(); !ok || s.Health == "" || s.OSDs != 3 || s.Up != 3 || s.PGs == 0 || s.PGStates["active+clean"] != s.PGs {
		t.Errorf("Ceph status %+v, %v", s, c.Ceph.Status.Err())
	}
	if len(c.Configs) != len(c.Guests.Or(nil)) || c.Configs[101].Or(nil)["memory"] != "64" {
		t.Errorf("guests %+v, configs %+v", c.Guests, c.Configs)
	}
	for _, path := range api.asked {
		if strings.Contains(path, "//") {
			t.Errorf("asked for %s", path)
		}
	}
}

func TestRecordedFactsThatFailAreUnknown(t *testing.T) {
	c := Gather(t.Context(), []Target{{Name: "pve1", API: newRecorded(t, "ceph-healthy")}}, Want{})
	if _, ok := c.Nodes[0].Time.Get(); ok || !strings.Contains(c.Nodes[0].Time.Err().Error(), "timedatectl") {
		t.Errorf("the refused time is %v, %v", c.Nodes[0].Time, c.Nodes[0].Time.Err())
	}
	if _, ok := c.Nodes[0].Packages.Get(); ok {
		t.Error("packages are known without a reply")
	}
	if _, ok := c.Nodes[0].Host.NTP.Get(); ok || !errors.Is(c.Nodes[0].Host.NTP.Err(), ErrNotRead) {
		t.Error("NTP is known without a shell")
	}
}

func TestRecordedClusterWithoutCephIsEmptyNotUnknown(t *testing.T) {
	c := Gather(t.Context(), []Target{{Name: "pve1", API: newRecorded(t, "healthy")}}, Want{})
	if ready, ok := c.Ceph.Ready.Get(); !ok || ready {
		t.Errorf("Ceph ready: %v, %v", ready, c.Ceph.Ready.Err())
	}
	if pools, ok := c.Ceph.Pools.Get(); !ok || len(pools) != 0 {
		t.Errorf("pools %v, %v", pools, c.Ceph.Pools.Err())
	}
}

func TestRecordedMinorityIsReadWithoutQuorum(t *testing.T) {
	c := Gather(t.Context(), []Target{{Name: "pve1", API: newRecorded(t, "no-quorum")}}, Want{})
	if m, ok := c.Membership.Get(); !ok || m.Quorate || m.Name != "lab1" {
		t.Errorf("membership %+v", m)
	}
}

// TestRecordedRepliesAreUnderstood reads every reply of every state that Gather asks for.
func TestRecordedRepliesAreUnderstood(t *testing.T) {
	for _, state := range []string{"ceph-healthy", "healthy", "no-quorum", "node3-lost-90s", "service-error-node3-lost"} {
		t.Run(state, func(t *testing.T) {
			api := newRecorded(t, state)
			c := Gather(t.Context(), []Target{{Name: "pve1", API: api}, {Name: "pve2", API: api}, {Name: "pve3", API: api}}, Want{Configs: true})
			text, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			for _, sign := range []string{"field \\\"", "json:", "is no version"} {
				if strings.Contains(string(text), sign) {
					t.Errorf("a reply was not understood: %s", text[max(0, strings.Index(string(text), sign)-200):])
				}
			}
			if c.Reader != "pve1" {
				t.Errorf("read from %q", c.Reader)
			}
		})
	}
}

// answers is an API that was written down in a test.
type answers map[string]string

func (a answers) Get(_ context.Context, path string, into any) error {
	body, ok := a[path]
	if !ok {
		return fmt.Errorf("HTTP 501 Method 'GET %s' not implemented", path)
	}
	return json.Unmarshal([]byte(body), into)
}
