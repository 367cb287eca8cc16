package preflight

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/spec"
)

// now is a day on which squid is out of support and tentacle is not.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func example(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/homelab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse(t testing.TB, text string) *spec.Cluster {
	t.Helper()
	c, err := spec.Parse("homelab.yaml", []byte(text))
	if err != nil {
		t.Fatalf("\n%v", err)
	}
	return c
}

// good is a cluster that no check has anything to say about, and machines that fit.
func good(t testing.TB) (*spec.Cluster, *facts.Cluster) {
	text := example(t)
	for _, r := range [][2]string{
		{"{dev: /dev/sdb}, {dev: /dev/sdc}, {dev: /dev/sdd}", "{byId: nvme-b}, {byId: nvme-c}, {byId: nvme-d}"},
		{"watchdog: softdog", "watchdog: iTCO_wdt"},
		{"      - {name: critical_services, nodes: {pve1: 2, pve2: 1, pve3: 1}}", "      []"},
		{"group: critical_services, ", ""},
	} {
		if !strings.Contains(text, r[0]) {
			t.Fatalf("the example has no %q", r[0])
		}
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	c := parse(t, text)
	f := &facts.Cluster{
		Guests: facts.Is([]facts.Guest{}), Members: facts.Is([]facts.Member{}), HAGroups: facts.Is([]facts.HAGroup{}),
		Ceph: facts.Ceph{Global: facts.Is(map[string]string{})},
		Here: facts.Here{Program: facts.Is(facts.Program{Built: "linux/amd64", Cgo: true, Machine: "x86_64"})},
	}
	for i, n := range c.Spec.Nodes {
		f.Nodes = append(f.Nodes, machine(c, n, i))
	}
	return c, f
}

func machine(c *spec.Cluster, n spec.Node, i int) facts.Node {
	disk := func(id string) facts.Disk {
		return facts.Disk{Dev: "/dev/nvme" + id, ByID: "/dev/disk/by-id/nvme-" + id, Size: 960e9, Type: "nvme", Model: "Micron 7450", Health: "PASSED", Wearout: 99}
	}
	system := facts.Disk{Dev: "/dev/nvmea", ByID: "/dev/disk/by-id/nvme-a", Size: 240e9, Type: "nvme", Model: "Micron 7450", Wearout: -1}
	m := facts.Node{
		Name: n.Name, Version: facts.Is(facts.Version{Major: 9, Minor: 2, Full: "9.2.11"}),
		Membership: facts.Is(facts.Membership{Nodes: []facts.MemberState{{Name: n.Name, Local: true, Online: true}}}),
		Hardware:   facts.Is(facts.Hardware{CPUs: 16, CPUModel: "EPYC", Vendor: "AuthenticAMD", MemoryTotal: 64 << 30}),
		Interfaces: facts.Is([]facts.Interface{
			{Name: "vmbr0", Type: "bridge", CIDR: n.Management.String() + "/24", Ports: []string{"eno1"}},
			{Name: "eno2", Type: "eth", CIDR: n.NICs["storage"].Address.String() + "/24", MTU: 9000},
		}),
		Disks:        facts.Is([]facts.Disk{system, {Dev: "/dev/nvmea1", Parent: "/dev/nvmea", Used: "BIOS boot"}, disk("b"), disk("c"), disk("d")}),
		Hosts:        facts.Is(facts.Hosts{Data: fmt.Sprintf("127.0.0.1 localhost\n%s %s.lan %s # us\n", n.Management, n.Name, n.Name)}),
		Guests:       facts.Is([]int{}),
		Running:      facts.Is([]string{}),
		Repositories: facts.Is([]facts.Repository{{Enabled: true, URIs: []string{"http://download.proxmox.com/debian/pve"}}}),
		Host: facts.Host{
			Machine: facts.Is("x86_64"), MachineID: facts.Is(fmt.Sprint("id", i)), ProductUUID: facts.Is(fmt.Sprint("uuid", i)), HostKey: facts.Is(fmt.Sprint("key", i)),
			NTP: facts.Is(true), Skew: facts.Is(time.Duration(i) * time.Millisecond), Authkey: facts.Is(false), Watchdog: facts.Is("iTCO_wdt"),
			Speeds: facts.Is(map[string]int{"eno1": 1000, "eno2": 10000}),
		},
	}
	for _, p := range Probes(c) {
		if p.From == n.Name {
			r := facts.ProbeResult{Probe: p}
			if p.Latency {
				r.RTT = facts.Is(facts.Pings{Sent: 1, RTT: []time.Duration{200 * time.Microsecond}})
			}
			if p.MTU > 0 {
				r.MTUPasses = facts.Is(true)
			}
			if len(p.Ports) > 0 {
				r.Closed = facts.Is([]int{})
			}
			m.Host.Probes = append(m.Host.Probes, r)
		}
	}
	return m
}

// with changes a fact that is known.
func with[T any](k *facts.Known[T], change func(*T)) {
	v, _ := k.Get()
	change(&v)
	*k = facts.Is(v)
}

// probe changes the measurements of a node.
func probe(n *facts.Node, change func(*facts.ProbeResult)) {
	for i := range n.Host.Probes {
		change(&n.Host.Probes[i])
	}
}

func TestGoodClusterPassesEveryCheck(t *testing.T) {
	c, f := good(t)
	r, err := Run(Input{Spec: c, Facts: f, Now: now}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Error(f)
	}
	if len(r.Passed) != len(Checks()) {
		t.Errorf("%d of %d checks passed", len(r.Passed), len(Checks()))
	}
}

// trip is a cluster that a check must not let pass.
type trip struct {
	check string
	name  string
	level Level
	want  string // part of what was found
	make  func(c *spec.Cluster, f *facts.Cluster)
}

func TestEveryCheckTrips(t *testing.T) {
	tripped := map[string]bool{}
	for _, c := range slices.Concat(specTrips(), factTrips()) {
		t.Run(c.check+"/"+c.name, func(t *testing.T) {
			tripped[c.check] = true
			s, f := good(t)
			c.make(s, f)
			r, err := Run(Input{Spec: s, Facts: f, Now: now}, nil)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(r.Findings, func(x Finding) bool {
				return x.Check == c.check && x.Level == c.level && strings.Contains(x.Found, c.want)
			})
			if i < 0 {
				t.Fatalf("no %s that says %q in %v", c.level, c.want, r.Findings)
			}
			if x := r.Findings[i]; x.Fix == "" || strings.Contains(x.String(), "\n") || strings.Contains(x.String(), "%!") {
				t.Errorf("not a sentence with a fix: %s", x)
			}
		})
	}
	for _, c := range Checks() {
		if !tripped[c.Name] {
			t.Errorf("nothing trips %s", c.Name)
		}
	}
}

func TestChecksAreNamedOnceAndTheirLevelIsThatOfTheWorstFinding(t *testing.T) {
	worst, seen := map[string]Level{}, map[string]bool{}
	for _, c := range slices.Concat(specTrips(), factTrips()) {
		worst[c.check] = max(worst[c.check], c.level)
	}
	for _, c := range Checks() {
		if seen[c.Name] || c.Name == "" || c.Help == "" {
			t.Errorf("%q is named twice or has no help", c.Name)
		}
		seen[c.Name] = true
		if worst[c.Name] != c.Level {
			t.Errorf("%s has level %s, its worst finding here %s", c.Name, c.Level, worst[c.Name])
		}
	}
}

// TestMistakesOfABeginner reads them as they would stand in the file.
func TestMistakesOfABeginner(t *testing.T) {
	guide, err := os.ReadFile("../../docs/provision.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	tests := []struct{ name, old, new, mark, want string }{
		{"cron schedule", `schedule: "02:00"`, `schedule: "0 2 * * *"`,
			`schedule: `, `error: BackupSchedule: "0 2 * * *" is a cron line, and Proxmox VE wants a calendar event (write "02:00")`},
		{"backup content on RBD", "pool: backup-storage, content: [images]", "pool: backup-storage, content: [backup]",
			"backup]", "error: RBDNoBackupContent: storage backup-storage is RBD, which holds images and rootdir and no backups (use a storage of type pbs, cephfs or nfs for backups)"},
		{"min_size 1", "vm-storage, size: 3, minSize: 2", "vm-storage, size: 3, minSize: 1",
			"minSize: 1", "error: PoolMinSize: pool vm-storage with min_size 1 takes writes that a single disk holds: when that one fails, they are lost (write minSize: 2)"},
		{"EOL Ceph release", "release: tentacle", "release: quincy",
			"release: ", "error: CephVersion: Ceph quincy is out of support since 2024-06-01, and Proxmox VE 9 has no packages of it (write release: tentacle)"},
		{"cluster name of 16 characters", "name: homelab-cluster", "name: homelab-clusters",
			"name: homelab-clusters", "error: ClusterName: homelab-clusters has 16 characters, corosync takes 15 (shorten it, to homelab-cluster for example)"},
		{"k+m larger than hosts", "- {name: backup-storage, size: 3, minSize: 2, pgNum: 128}", "- {name: backup-storage, pgNum: 32, erasure: {k: 4, m: 2}}",
			"erasure: ", "error: ECFits: pool backup-storage needs 4+2 = 6 hosts, and 3 have OSDs (choose k+m of at most 3, or failureDomain: osd)"},
		{"pool PGs over the limit", "vm-storage, size: 3, minSize: 2, pgNum: 128", "vm-storage, size: 3, minSize: 2, pgNum: 1024",
			"pools:", "error: PGTarget: 384 placement groups an OSD, and Ceph creates no pool above 250 (about pgNum: 128 for each of the 2 pools)"},
		{"HA group on 9", "major: 9", "major: 9",
			"{name: critical", "info: HAGroupOn9: Proxmox VE 9 has no HA groups: critical_services becomes the node-affinity rule of that name, and nofailback a property of its guests (nothing to do)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := example(t)
			if !strings.Contains(text, test.old) {
				t.Fatalf("the example has no %q", test.old)
			}
			text = strings.Replace(text, test.old, test.new, 1)
			r, err := Run(Input{Spec: parse(t, text), Now: now}, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := position(text, test.mark) + test.want
			if strings.Contains(string(guide), "\n"+strings.Replace(want, "homelab", "cluster", 1)+"\n") {
				shown++
			}
			var lines []string
			for _, f := range r.Findings {
				lines = append(lines, f.String())
			}
			if !slices.Contains(lines, want) {
				t.Errorf("no\n%s\nin\n%s", want, strings.Join(lines, "\n"))
			}
			if r.Failed() != strings.HasPrefix(test.want, "error: ") {
				t.Errorf("failed: %v", r.Failed())
			}
		})
	}
	if shown != 2 {
		t.Errorf("docs/provision.md shows %d of these messages as they are, not 2", shown)
	}
}

// position is where a text stands, as messages begin.
func position(text, mark string) string {
	before, _, _ := strings.Cut(text, mark)
	return fmt.Sprintf("homelab.yaml:%d:%d: ", strings.Count(before, "\n")+1, len(before)-strings.LastIndex(before, "\n"))
}

func TestTwoNodesWithoutQDevice(t *testing.T) {
	c, _ := good(t)
	c.Spec.Nodes = c.Spec.Nodes[:2]
	r, _ := Run(Input{Spec: c, Now: now}, nil)
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == "Nodes3Plus" && f.Level == Error })
	if i < 0 || !strings.Contains(r.Findings[i].Found, "1 of 2 votes") {
		t.Errorf("%v", r.Findings)
	}
	c.Spec.Corosync.QDevice = "10.0.10.9"
	r, _ = Run(Input{Spec: c, Now: now}, nil)
	if i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == "Nodes3Plus" && f.Level == Error }); i >= 0 {
		t.Errorf("with a qdevice: %v", r.Findings[i])
	}
}

func TestIgnoredErrorsAreWarnings(t *testing.T) {
	c, f := good(t)
	c.Spec.Ceph.Pools[0].MinSize = 1
	in := Input{Spec: c, Facts: f, Now: now}
	if r, _ := Run(in, nil); !r.Failed() {
		t.Fatal("min_size 1 does not fail")
	}
	for _, ignore := range [][]string{{"PoolMinSize"}, {All}} {
		r, err := Run(in, ignore)
		if err != nil || r.Failed() || len(r.Findings) != 1 || r.Findings[0].Level != Warning || !r.Findings[0].Ignored {
			t.Errorf("ignoring %v: %v, %v", ignore, r.Findings, err)
		}
	}
	if r, _ := Run(in, []string{"PoolSize"}); !r.Failed() {
		t.Error("ignoring another check ignores this one")
	}
	if _, err := Run(in, []string{"PoolMinsize"}); err == nil || !strings.Contains(err.Error(), "PoolMinsize") {
		t.Errorf("an unknown name is taken: %v", err)
	}
}

func TestUnknownFactsAreNoPass(t *testing.T) {
	c, f := good(t)
	gone := errors.New("permission denied")
	for i := range f.Nodes {
		f.Nodes[i].Host = facts.Host{}
		f.Nodes[i].Disks = facts.Unknown[[]facts.Disk](gone)
	}
	r, err := Run(Input{Spec: c, Facts: f, Now: now}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"UniqueMachineID", "ExporterProgram", "TimeSync", "CorosyncLatency", "MTUEqual", "PortsOpen", "CephNet10G", "DisksExist", "OSDisk", "DisksEmpty"} {
		if slices.Contains(r.Passed, name) {
			t.Errorf("%s passed without facts", name)
		}
	}
	if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Unknown && strings.Contains(f.Found, "permission denied") }) {
		t.Error("nothing says why")
	}
	if r.Failed() {
		t.Error("what is unknown counts as wrong")
	}
}

// TestWhatIsHalfDoneIsNoFault: apply was cut off and runs again while tasks of the first run go on.
func TestWhatIsHalfDoneIsNoFault(t *testing.T) {
	c, f := good(t)
	f.Nodes[0].Host.Authkey, f.Nodes[0].Running = facts.Is(true), facts.Is([]string{"clustercreate"})
	with(&f.Nodes[1].Disks, func(d *[]facts.Disk) { (*d)[2].Used = "LVM" })
	f.Nodes[1].Running = facts.Is([]string{"cephcreateosd"})
	f.Guests = facts.Is([]facts.Guest{{VMID: 100, Name: "VM 100", Type: "qemu", Node: "pve1"}})
	f.Members = facts.Is([]facts.Member{{Name: "pve3"}})
	f.Nodes[2].Host.Authkey = facts.Is(true)
	r, err := Run(Input{Spec: c, Facts: f, Now: now}, nil)
	if err != nil || r.Failed() {
		t.Errorf("%v, %v", r.Findings, err)
	}
}

func TestProbesOfFiveNodesCoverAllPairs(t *testing.T) {
	c, _ := good(t)
	for i := 4; i <= 5; i++ {
		n := c.Spec.Nodes[0]
		n.Name, n.Management = fmt.Sprint("pve", i), netip.MustParseAddr(fmt.Sprint("10.0.10.1", i))
		c.Spec.Nodes = append(c.Spec.Nodes, n)
	}
	pairs := map[string]bool{}
	for _, p := range Probes(c) {
		pairs[min(p.From, p.To)+" "+max(p.From, p.To)] = true
		if p.From == p.To {
			t.Errorf("%s probes itself", p.From)
		}
	}
	if len(pairs) != 10 {
		t.Errorf("%d pairs", len(pairs))
	}
}
