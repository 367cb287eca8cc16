package lab

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func planOf(nodes int) cephPlan {
	return newLab(Options{Dir: "/lab", Nodes: nodes, Ceph: true}).cephPlan()
}

func TestCephPlanSpreadsDaemonsOverNodes(t *testing.T) {
	for _, tt := range []struct {
		nodes         int
		daemons       string
		replicas      int
		failureDomain string
	}{
		{1, "1:mon.pve1 1:mgr.pve1 1:osd.0 1:osd.1", 2, "osd"},
		{2, "1:mon.pve1 2:mon.pve2 1:mgr.pve1 2:mgr.pve2 1:osd.0 1:osd.1 2:osd.2 2:osd.3", 3, "osd"},
		{3, "1:mon.pve1 2:mon.pve2 3:mon.pve3 1:mgr.pve1 2:mgr.pve2 1:osd.0 1:osd.1 2:osd.2 2:osd.3 3:osd.4 3:osd.5", 3, "host"},
		{4, "1:mon.pve1 2:mon.pve2 3:mon.pve3 1:mgr.pve1 2:mgr.pve2 1:osd.0 1:osd.1 2:osd.2 2:osd.3 3:osd.4 3:osd.5 4:osd.6 4:osd.7", 3, "host"},
	} {
		t.Run(fmt.Sprint(tt.nodes, " nodes"), func(t *testing.T) {
			p := planOf(tt.nodes)
			var have []string
			for _, d := range p.all() {
				have = append(have, fmt.Sprintf("%d:%s", d.node, d.name()))
			}
			if diff := cmp.Diff(tt.daemons, strings.Join(have, " ")); diff != "" {
				t.Errorf("daemons (-want +have):\n%s", diff)
			}
			if p.replicas() != tt.replicas || p.failureDomain() != tt.failureDomain {
				t.Errorf("%d replicas over %ss, want %d over %ss", p.replicas(), p.failureDomain(), tt.replicas, tt.failureDomain)
			}
		})
	}
}

func TestCephConfIsAsRecorded(t *testing.T) {
	want, err := os.ReadFile("testdata/ceph.conf")
	if err != nil {
		t.Fatal(err)
	}
	have := planOf(3).render("11111111-2222-4333-8444-555555555555")
	if diff := cmp.Diff(string(want), have); diff != "" {
		t.Errorf("ceph.conf (-want +have):\n%s", diff)
	}
}

func TestCephRefusesDirectoryTooLongForSockets(t *testing.T) {
	long := newLab(Options{Dir: "/" + strings.Repeat("x", 90), Nodes: 3, Ceph: true}).cephPlan()
	if err := long.check(); err == nil || !strings.Contains(err.Error(), "shorter lab directory") {
		t.Errorf("check() = %v, want advice to choose a shorter directory", err)
	}
	if err := planOf(20).check(); err != nil {
		t.Errorf("check() = %v for a short directory", err)
	}
}

func TestCephClientMayOnlyRead(t *testing.T) {
	for _, id := range planOf(3).identities() {
		if id.name != "client.quorate" {
			continue
		}
		id.key = "KEY"
		want := "[client.quorate]\n\tkey = KEY\n\tcaps mon = \"allow r\"\n\tcaps mgr = \"allow r\"\n"
		if diff := cmp.Diff(want, id.render()); diff != "" {
			t.Errorf("keyring (-want +have):\n%s", diff)
		}
		return
	}
	t.Error("there is no client.quorate")
}

func TestCephKeyIsAnAESSecret(t *testing.T) {
	key := newCephKey()
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) != 28 || binary.LittleEndian.Uint16(raw) != 1 || binary.LittleEndian.Uint16(raw[10:]) != 16 {
		t.Errorf("key is %x, want type 1, 8 bytes of time, length 16 and as many bytes", raw)
	}
	if newCephKey() == key {
		t.Error("two keys are the same")
	}
}

func TestCephFaultsRefuseWhatTheLabHasNot(t *testing.T) {
	for _, tt := range []struct {
		name  string
		nodes int
		line  string
		want  string // of the error; empty: accepted
	}{
		{"last OSD", 3, "osd-down 5", ""},
		{"OSD beyond the last", 3, "osd-down 6", `no OSD "6" (this lab has 0 to 5)`},
		{"negative OSD", 3, "osd-out-backfill -1", `no OSD "-1"`},
		{"OSD by its full name", 3, "osd-down osd.1", `no OSD "osd.1"`},
		{"OSD with a leading zero", 3, "osd-down 01", `no OSD "01"`},
		{"host", 3, "host-down 3", ""},
		{"host that is none", 3, "host-down 4", `no node "4"`},
		{"host twice", 3, "hosts-down 2 2", "named twice"},
		{"monitor", 4, "mon-down 3", ""},
		{"node without a monitor", 4, "mon-hang 4", `node "4" has no monitor`},
		{"monitor that cannot be spared", 2, "mon-down 1", "use mon-quorum-lost"},
		{"PGs", 3, "pgs-undersized 7", ""},
		{"no PGs", 3, "pgs-misplaced 0", `"0" is no number of PGs`},
		{"too many PGs", 3, "pgs-inactive 999", `"999" is no number of PGs from 1 to 128`},
		{"PGs that are no number", 3, "pgs-inconsistent many", `"many" is no number`},
		{"PGs in a small lab", 2, "pgs-undersized 1", "at least 3 nodes"},
		{"backfill in a small lab", 2, "osd-out-backfill 1", "at least 3 nodes"},
		{"flags", 3, "flags noout pause", ""},
		{"flag that is none", 3, "flags noout nosuch", `no OSD flag "nosuch" (one of: nobackfill, `},
		{"flag twice", 3, "flags noout noout", "named twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			words := strings.Fields(tt.line)
			err := findCephFault(t, words[0]).check(planOf(tt.nodes), words[1:])
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("%s is refused: %v", tt.line, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%s: %v, want %q", tt.line, err, tt.want)
			}
		})
	}
}

func findCephFault(t *testing.T, name string) cephFault {
	t.Helper()
	all := slices.Concat(cephDaemonFaults(), cephPGFaults(), cephStateFaults())
	i := slices.IndexFunc(all, func(f cephFault) bool { return f.name == name })
	if i < 0 {
		t.Fatalf("there is no fault %s", name)
	}
	return all[i]
}

func TestCephFaultsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range cephFaults() {
		if f.Help == "" || f.Inject == nil || f.Heal == nil || seen[f.Name] {
			t.Errorf("fault %q has no help, no way in, no way out, or a namesake", f.Name)
		}
		seen[f.Name] = true
	}
}

func TestCephFaultsNeedCeph(t *testing.T) {
	l := newLab(Options{Dir: t.TempDir(), Nodes: 3})
	for _, f := range cephFaults() {
		if err := f.Inject(t.Context(), l, nil); err == nil || !strings.Contains(err.Error(), "no Ceph") {
			t.Errorf("inject %s: %v, want that the lab has no Ceph", f.Name, err)
		}
		if err := f.Heal(t.Context(), l, nil); err != nil {
			t.Errorf("heal %s, which was never injected: %v", f.Name, err)
		}
	}
}

// healthyStatus is "ceph status" of a healthy lab of 3 nodes, cut down.
const healthyStatus = `{"health":{"status":"HEALTH_OK","checks":{}},"quorum_names":["pve1","pve2","pve3"],
"osdmap":{"num_osds":6,"num_up_osds":6,"num_in_osds":6},"mgrmap":{"available":true,"num_standbys":1},
"pgmap":{"num_pgs":40,"pgs_by_state":[{"state_name":"active+clean","count":39},{"state_name":"active+clean+scrubbing+deep","count":1}]}}`

func TestCephIsHealthyOnlyWhenNothingIsMissing(t *testing.T) {
	for _, tt := range []struct{ name, replace, by, want string }{
		{"nothing", "", "", ""},
		{"a monitor", `,"pve3"`, ``, "2 of 3 monitors in quorum"},
		{"quorum", `["pve1","pve2","pve3"]`, `[]`, "0 of 3 monitors in quorum"},
		{"a standby", `"num_standbys":1`, `"num_standbys":0`, "0 of 1 standby managers"},
		{"all managers", `"available":true`, `"available":false`, "no manager is active"},
		{"an OSD", `"num_up_osds":6`, `"num_up_osds":5`, "5 of 6 OSDs up"},
		{"an OSD that is out", `"num_in_osds":6`, `"num_in_osds":5`, "5 of 6 OSDs in"},
		{"a clean PG", `"active+clean","count":39`, `"active+undersized","count":39`, "1 of 40 PGs"},
		{"statistics", `{"state_name":"active+clean","count":39},{"state_name":"active+clean+scrubbing+deep","count":1}`,
			`{"state_name":"unknown","count":40}`, "0 of 40 PGs"},
		{"pools", `"num_pgs":40,"pgs_by_state":[{"state_name":"active+clean","count":39},{"state_name":"active+clean+scrubbing+deep","count":1}]`,
			`"num_pgs":0,"pgs_by_state":[]`, "no PGs yet"},
		{"health", `"HEALTH_OK","checks":{}`, `"HEALTH_WARN","checks":{"RECENT_CRASH":{"summary":{"message":"1 daemon"}}}`,
			"HEALTH_WARN: RECENT_CRASH (1 daemon)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.ReplaceAll(healthyStatus, "\n", "")
			if tt.replace != "" && !strings.Contains(text, tt.replace) {
				t.Fatalf("%s is not in the status", tt.replace)
			}
			if tt.replace != "" {
				text = strings.Replace(text, tt.replace, tt.by, 1)
			}
			var s cephStatus
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				t.Fatal(err)
			}
			err := s.healthy(planOf(3))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("healthy() = %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("healthy() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPGStateIsASetOfNames(t *testing.T) {
	for _, tt := range []struct {
		state string
		clean bool
	}{
		{"active+clean", true},
		{"active+clean+scrubbing+deep", true},
		{"active+clean+inconsistent", false},
		{"active+clean+scrubbing+deep+inconsistent+repair", false},
		{"active+clean+remapped", false},
		{"active+undersized", false},
		{"active", false},
		{"unknown", false},
		{"", false},
	} {
		if have := pgState(tt.state).clean(); have != tt.clean {
			t.Errorf("%q is clean: %v, want %v", tt.state, have, tt.clean)
		}
	}
	if pgState("inactive").has("active") {
		t.Error(`"inactive" has "active"`)
	}
}

// serveSocket answers one admin socket command.
func serveSocket(t *testing.T, answer func(conn net.Conn)) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { listener.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		answer(conn)
	}()
	return path
}

func TestAskSocketSpeaksTheAdminSocketProtocol(t *testing.T) {
	asked := make(chan string, 1)
	path := serveSocket(t, func(conn net.Conn) {
		request := make([]byte, 1024)
		n, _ := conn.Read(request)
		asked <- string(request[:n])
		_, _ = conn.Write([]byte("\x00\x00\x00\x0294 not ours"))
	})
	reply, err := askSocket(t.Context(), path, "config get", map[string]any{"var": "x"})
	if err != nil || string(reply) != "94" {
		t.Errorf("askSocket = %q, %v, want 94", reply, err)
	}
	if want, have := `{"format":"json","prefix":"config get","var":"x"}`+"\x00", <-asked; have != want {
		t.Errorf("asked %q, want %q", have, want)
	}
}

func TestAskSocketLeavesADaemonThatHangs(t *testing.T) {
	hung := make(chan struct{})
	path := serveSocket(t, func(net.Conn) { <-hung })
	t.Cleanup(func() { close(hung) }) // before the listener's, which waits
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := askSocket(ctx, path, "status", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("askSocket = %v, want the deadline", err)
	}
}

func FuzzReadSocketReply(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff{}"))
	f.Add([]byte("\x00\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		reply, err := readSocketReply(bytes.NewReader(text))
		if err == nil && !bytes.Equal(text[4:4+binary.BigEndian.Uint32(text)], reply) {
			t.Errorf("%q was read as %q", text, reply)
		}
	})
}

func FuzzSeqNumbers(f *testing.F) {
	f.Add("94489280567\n\n94489280566\n\n")
	f.Add("dumped all")
	f.Add("-1")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := seqNumbers(text)
		if err == nil && len(all) != len(strings.Fields(text)) {
			t.Errorf("%q was read as %v", text, all)
		}
	})
}
