package facts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fresh is a node of PVE 8.4 that is in no cluster.
func fresh() answers {
	return answers{
		"/version":        `{"version":"8.4.1","release":"8.4","repoid":"2a5fa54a8503f96d"}`,
		"/cluster/status": `[{"type":"node","name":"pve1","ip":"10.0.10.11","nodeid":0,"online":1,"local":1,"level":"","id":"node/pve1"}]`,
		"/nodes/pve1/status": `{"cpuinfo":{"cpus":16,"model":"AMD EPYC 7302P 16-Core Processor"},"memory":{"total":68719476736},
			"current-kernel":{"release":"6.8.12-9-pve"},"pveversion":"pve-manager/8.4.1/2a5fa54a8503f96d","uptime":"3600"}`,
		"/nodes/pve1/network": `[{"iface":"eno1","type":"eth","method":"manual","active":1},
			{"iface":"vmbr0","type":"bridge","method":"static","cidr":"10.0.10.11/24","gateway":"10.0.10.1","bridge_ports":"eno1","mtu":"9000","active":1},
			{"iface":"bond0","type":"bond","slaves":"eno2 eno3"}]`,
		"/nodes/pve1/disks/list?include-partitions=1": `[
			{"devpath":"/dev/sda","used":"BIOS boot","size":256060514304,"type":"ssd","model":"Samsung SSD 870","wearout":97,"health":"PASSED","osdid":-1,"mounted":0,"gpt":1,"by_id_link":"/dev/disk/by-id/ata-a"},
			{"devpath":"/dev/sdb","size":"960197124096","type":"ssd","model":"INTEL SSDSC2KB96","wearout":"N/A","osdid":"-1"},
			{"devpath":"/dev/sdc","used":"LVM","size":960197124096,"type":"hdd","osdid":3,"osdid-list":["3"]},
			{"devpath":"/dev/sda3","parent":"/dev/sda","used":"LVM","size":255000000000}]`,
		"/nodes/pve1/hosts": `{"data":"127.0.0.1 localhost\n","digest":"abc"}`,
		"/nodes/pve1/dns":   `{"search":"lan","dns1":"10.0.10.1","dns2":"9.9.9.9"}`,
		"/nodes/pve1/time":  `{"timezone":"Europe/Vienna","time":1795224000,"localtime":1795227600}`,
		"/nodes/pve1/apt/versions": `[{"Package":"pve-manager","CurrentState":"Installed","OldVersion":"8.4.1","Version":"8.4.14"},
			{"Package":"ceph","CurrentState":"NotInstalled","Version":"19.2.1-pve3"}]`,
		"/nodes/pve1/apt/repositories": `{"files":[{"path":"/etc/apt/sources.list.d/pve-enterprise.list","repositories":[
			{"Enabled":1,"URIs":["https://enterprise.proxmox.com/debian/pve"],"Suites":["bookworm"],"Components":["pve-enterprise"]}]}]}`,
		"/nodes/pve1/storage":             `[{"storage":"local","type":"dir","active":1,"enabled":1,"total":100,"used":7}]`,
		"/nodes/pve1/qemu":                `[{"vmid":"105"}]`,
		"/nodes/pve1/lxc":                 `[{"vmid":200}]`,
		"/nodes/pve1/tasks?source=active": `[{"type":"clustercreate","upid":"UPID:pve1:…"}]`,
		"/cluster/options":                `{"migration":"type=secure,network=10.0.100.0/24","ha":{"shutdown_policy":"migrate"}}`,
		"/cluster/ha/groups":              `[{"group":"prefer1","nodes":"pve1:2,pve2","restricted":0,"nofailback":1}]`,
		"/cluster/backup":                 `[{"id":"n","schedule":"02:00","vmid":"101,100","enabled":0,"prune-backups":{"keep-daily":"7","keep-all":"0"}}]`,
		"/nodes/pve1/ceph/status":         `{"fsid":"f"}`,
		"/nodes/pve1/ceph/cfg/raw":        `"[global]\n\tpublic network = 10.0.100.0/24\n fsid = f\n[client]\n keyring = x\n"`,
		"/cluster/ha/resources":           `[{"sid":"vm:100","group":"prefer1","max_restart":0}]`,
		"/cluster/resources?type=vm":      `[{"vmid":100,"type":"qemu","node":"pve1","name":"dns","tags":"b;a"}]`,
		"/access/users?full=1":            `[{"userid":"monitoring@pve","enable":1,"tokens":[{"tokenid":"quorate","privsep":0}]}]`,
		"/access/acl":                     `[{"path":"/","type":"user","ugid":"monitoring@pve","roleid":"PVEAuditor","propagate":1}]`,
		"/storage":                        `[{"storage":"pbs1","type":"pbs","content":"backup","nodes":"pve2,pve1","prune-backups":"keep-daily=7,keep-last=3","shared":1,"digest":"d"}]`,
		"/nodes/pve1/qemu/100/config":     `{"name":"dns","memory":"2048","scsi0":"vm-storage:vm-100-disk-0,size=8G","digest":"d"}`,
	}
}

func TestFactsOfAFreshNode(t *testing.T) {
	c := Gather(t.Context(), []Target{{Name: "pve1", API: fresh()}}, Want{Configs: true})
	n := c.Nodes[0]
	diff := func(what string, have, want any) {
		t.Helper()
		if d := cmp.Diff(want, have); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
	diff("version", n.Version.Or(Version{}), Version{8, 4, "8.4.1"})
	diff("hardware", n.Hardware.Or(Hardware{}), Hardware{CPUs: 16, CPUModel: "AMD EPYC 7302P 16-Core Processor", Vendor: "AuthenticAMD", MemoryTotal: 64 << 30, Kernel: "6.8.12-9-pve", PVEVersion: "pve-manager/8.4.1/2a5fa54a8503f96d", Uptime: time.Hour})
	diff("bridge", n.Interfaces.Or(nil)[1], Interface{Name: "vmbr0", Type: "bridge", Method: "static", CIDR: "10.0.10.11/24", Gateway: "10.0.10.1", Ports: []string{"eno1"}, MTU: 9000, Active: true})
	diff("bond", n.Interfaces.Or(nil)[2].Ports, []string{"eno2", "eno3"})
	disks := n.Disks.Or(nil)
	diff("system disk", disks[0], Disk{Dev: "/dev/sda", ByID: "/dev/disk/by-id/ata-a", Size: 256060514304, Type: "ssd", Model: "Samsung SSD 870", Health: "PASSED", Wearout: 97, Used: "BIOS boot", GPT: true})
	diff("empty disk", disks[1], Disk{Dev: "/dev/sdb", Size: 960197124096, Type: "ssd", Model: "INTEL SSDSC2KB96", Wearout: -1})
	diff("OSD", disks[2].OSDs, []int{3})
	diff("packages", n.Packages.Or(nil), map[string]string{"pve-manager": "8.4.1"})
	diff("repositories", n.Repositories.Or(nil), []Repository{{File: "/etc/apt/sources.list.d/pve-enterprise.list", Enabled: true, URIs: []string{"https://enterprise.proxmox.com/debian/pve"}, Suites: []string{"bookworm"}, Components: []string{"pve-enterprise"}}})
	diff("guests", n.Guests.Or(nil), []int{105, 200})
	diff("tasks", n.Running.Or(nil), []string{"clustercreate"})
	diff("DNS", n.DNS.Or(DNS{}), DNS{Search: "lan", Servers: []string{"10.0.10.1", "9.9.9.9"}})

	diff("membership", c.Membership.Or(Membership{Name: "?"}).Name, "")
	diff("no members", len(c.Members.Or([]Member{{}})), 0)
	diff("options", c.Options.Or(Options{}), Options{MigrationNetwork: "10.0.100.0/24", MigrationType: "secure", ShutdownPolicy: "migrate"})
	diff("groups", c.HAGroups.Or(nil), []HAGroup{{Name: "prefer1", Nodes: map[string]int{"pve1": 2, "pve2": 0}, NoFailback: true}})
	diff("no rules on 8", len(c.HARules.Or([]HARule{{}})), 0)
	diff("job", c.BackupJobs.Or(nil), []BackupJob{{ID: "n", Schedule: "02:00", VMIDs: []int{100, 101}, Prune: map[string]int{"daily": 7}}})
	diff("service", c.HAResources.Or(nil), []HAResource{{SID: "vm:100", State: "started", Group: "prefer1", MaxRelocate: 1, Failback: true}})
	diff("ceph.conf", c.Ceph.Global.Or(nil), map[string]string{"public_network": "10.0.100.0/24", "fsid": "f"})
	diff("user", c.Users.Or(nil), []User{{ID: "monitoring@pve", Enabled: true, Tokens: []Token{{ID: "quorate"}}}})
	diff("storage", c.Storages.Or(nil)[0].Prune, map[string]int{"daily": 7, "last": 3})
	diff("storage's nodes", c.Storages.Or(nil)[0].Nodes, []string{"pve1", "pve2"})
	diff("config", c.Configs[100].Or(nil), GuestConfig{"name": "dns", "memory": "2048", "scsi0": "vm-storage:vm-100-disk-0,size=8G"})
}

// broken fails every call.
type broken struct{ calls *atomic.Int32 }

func (b broken) Get(context.Context, string, any) error {
	b.calls.Add(1)
	return errors.New("dial tcp 10.0.10.12:8006: connect: connection refused")
}

func TestNodeThatDoesNotAnswerIsAskedTwiceOnly(t *testing.T) {
	calls := &atomic.Int32{}
	c := Gather(t.Context(), []Target{{Name: "pve2", API: broken{calls}}, {Name: "pve1", API: fresh()}}, Want{})
	if calls.Load() != 2 {
		t.Errorf("%d calls", calls.Load())
	}
	if c.Reader != "pve1" {
		t.Errorf("read from %q", c.Reader)
	}
	if _, ok := c.Nodes[0].Disks.Get(); ok || !strings.Contains(c.Nodes[0].Disks.Err().Error(), "connection refused") {
		t.Error("the disks of a dead node are known")
	}
}

func TestNobodyAnswers(t *testing.T) {
	c := Gather(t.Context(), []Target{{Name: "pve2", API: broken{&atomic.Int32{}}}}, Want{})
	if _, ok := c.Membership.Get(); ok || c.Reader != "" {
		t.Errorf("membership %v from %q", c.Membership, c.Reader)
	}
}

func TestWrongTypeMakesAFactUnknown(t *testing.T) {
	api := fresh()
	api["/nodes/pve1/disks/list?include-partitions=1"] = `[{"devpath":"/dev/sdb","size":{"a":1}}]`
	c := Gather(t.Context(), []Target{{Name: "pve1", API: api}}, Want{})
	if _, ok := c.Nodes[0].Disks.Get(); ok || !strings.Contains(c.Nodes[0].Disks.Err().Error(), `field "size"`) {
		t.Errorf("disks: %v", c.Nodes[0].Disks.Err())
	}
}

// shell answers commands by their words.
type shell map[string]string

func (s shell) Run(_ context.Context, argv ...string) (string, error) {
	line := strings.Join(argv, " ")
	for part, out := range s {
		if strings.Contains(line, part) {
			if strings.Contains(out, "100% packet loss") {
				return out, errors.New("ended with 1")
			}
			return out, nil
		}
	}
	return "", fmt.Errorf("%s: command not found", argv[0])
}

const pings = `PING 10.0.100.12 (10.0.100.12) 56(84) bytes of data.
64 bytes from 10.0.100.12: icmp_seq=1 ttl=64 time=0.210 ms
64 bytes from 10.0.100.12: icmp_seq=2 ttl=64 time=1.5 ms

--- 10.0.100.12 ping statistics ---
3 packets transmitted, 2 received, 33.3333% packet loss, time 2003ms
`

func TestFactsOfAShell(t *testing.T) {
	now := time.Unix(1000, 0)
	s := shell{
		"uname -m": "x86_64\n", "machine-id": "4f0c\n", "ssh_host_ed25519_key.pub": "ssh-ed25519 AAAA root@pve1\n", "hostname": "10.0.10.11 fe80::1\n",
		"timedatectl": "yes\n", "pve-ha-manager": "# x\nWATCHDOG_MODULE=\"ipmi_watchdog\"\n", "authkey": "no\n", "date +%s": "1002.500000000\n",
		"/speed": "eno1 10000\nbond0 \n", "ping -n -c 20": pings, "ping -n -M do": "2 packets transmitted, 0 received, 100% packet loss, time 1ms\n",
		"10.0.100.12 22": "yes", "10.0.100.12 8006": "no",
	}
	to := Probe{From: "pve1", To: "pve2", Network: "storage", Addr: netip.MustParseAddr("10.0.100.12"), MTU: 9000, Latency: true, Ports: []int{22, 8006}}
	other := to
	other.From = "pve3"
	c := Gather(t.Context(), []Target{{Name: "pve1", API: fresh(), Shell: s}}, Want{Probes: []Probe{to, other}, Now: func() time.Time { return now }})
	h := c.Nodes[0].Host
	if h.Machine.Or("") != "x86_64" || h.MachineID.Or("") != "4f0c" || h.HostKey.Or("") != "ssh-ed25519 AAAA" || !h.NTP.Or(false) || h.Watchdog.Or("") != "ipmi_watchdog" {
		t.Errorf("%+v", h)
	}
	if d, ok := h.Skew.Get(); !ok || d != 2500*time.Millisecond {
		t.Errorf("skew %v", d)
	}
	if leftover, ok := h.Authkey.Get(); !ok || leftover {
		t.Error("there is an authkey")
	}
	if a := h.Addresses.Or(nil); len(a) != 2 || a[0].String() != "10.0.10.11" {
		t.Errorf("addresses %v", a)
	}
	if d := cmp.Diff(map[string]int{"eno1": 10000}, h.Speeds.Or(nil)); d != "" {
		t.Error(d)
	}
	if _, ok := h.ProductUUID.Get(); ok {
		t.Error("the UUID is known although the command failed")
	}
	if len(h.Probes) != 1 {
		t.Fatalf("%d probes from pve1", len(h.Probes))
	}
	p := h.Probes[0]
	if rtt := p.RTT.Or(Pings{}); rtt.P99() != 1500*time.Microsecond || rtt.Lost() != 1 {
		t.Errorf("pings %+v", rtt)
	}
	if passes, ok := p.MTUPasses.Get(); !ok || passes {
		t.Error("9000 bytes pass")
	}
	if !slices.Equal(p.Closed.Or(nil), []int{8006}) {
		t.Errorf("closed %v, %v", p.Closed.Or(nil), p.Closed.Err())
	}
}

func TestParallelIsBounded(t *testing.T) {
	var now, most atomic.Int32
	each(make([]int, 50), 3, func(int, int) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
	})
	if most.Load() > 3 || most.Load() == 0 {
		t.Errorf("%d at a time", most.Load())
	}
}

func FuzzParsePings(f *testing.F) {
	f.Add(pings)
	f.Add("2 packets transmitted, 0 received, 100% packet loss, time 1ms\n")
	f.Fuzz(func(t *testing.T, out string) {
		p, err := ParsePings(out)
		if err == nil && (p.Sent < 0 || p.P99() < 0 || p.Lost() < 0) {
			t.Errorf("%+v", p)
		}
	})
}

func FuzzParseProperties(f *testing.F) {
	f.Add("vm-storage:vm-100-disk-0,size=8G,discard=on")
	f.Fuzz(func(t *testing.T, s string) {
		for key := range ParseProperties(s) {
			if strings.ContainsAny(key, ",=") {
				t.Errorf("key %q", key)
			}
		}
	})
}

func FuzzParseCephConf(f *testing.F) {
	f.Add("[global]\n fsid = x\n[client]\n keyring = y\n")
	f.Fuzz(func(t *testing.T, s string) {
		for key := range ParseCephConf(s, "global") {
			if strings.ContainsAny(key, "\n -") {
				t.Errorf("key %q", key)
			}
		}
	})
}
