package spec

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const homelab = "../../examples/homelab.yaml"

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTheExampleIsRight(t *testing.T) {
	c, err := Parse("homelab.yaml", []byte(read(t, homelab)))
	if err != nil {
		t.Fatalf("\n%v", err)
	}
	check := func(what string, have, want any) {
		t.Helper()
		if d := cmp.Diff(want, have, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
	pve2, _ := c.Node("pve2")
	check("aliased disks", pve2.OSDs, []OSD{{Dev: "/dev/sdb"}, {Dev: "/dev/sdc"}, {Dev: "/dev/sdd"}})
	check("NIC", pve2.NICs["storage"], NIC{Address: netip.MustParseAddr("10.0.100.12"), Port: "eno2"})
	check("config", c.Spec.Ceph.Config, map[string]map[string]Value{
		"client": {"rbd_cache": "true", "rbd_cache_size": "67108864"}, "osd": {"osd_scrub_begin_hour": "2", "osd_scrub_end_hour": "6"},
	})
	check("pool", c.Spec.Ceph.Pools[0], Pool{Name: "vm-storage", Size: 3, MinSize: 2, PGNum: 128, Autoscale: "off", Application: "rbd", FailureDomain: "host"})
	check("links", c.Links(), []Link{{Number: 0, Network: "mgmt", Priority: 10}, {Number: 1, Network: "storage", Priority: 5}})
	check("disk", c.Spec.Guests[0].Disks[0], Disk{Bus: "scsi0", Storage: "vm-storage", Size: 8 << 30, Cache: "writeback", Discard: true})
	check("HA", c.Spec.Guests[0].HA, &GuestHA{State: "started", Group: "critical_services", MaxRestart: 3, MaxRelocate: 3})
	check("job", c.Spec.Backup.Jobs[0], BackupJob{ID: "nightly", Schedule: "02:00", Storage: "pbs-backup", Mode: "snapshot", Compress: "zstd", All: true, Enabled: true, Notify: "failure", Prune: Prune{Daily: 7, Monthly: 1}})
	check("token", c.Spec.Monitoring.Token, MonitoringToken{ID: "quorate", PrivSep: true, SecretOut: "./homelab-monitoring.token"})
	public, cluster := c.CephNetworks()
	check("Ceph's networks", []string{public.String(), cluster.String(), c.MigrationNetwork().String()}, []string{"10.0.100.0/24", "10.0.100.0/24", "10.0.100.0/24"})
	if s := c.Spec.Access.API.Password; s.Source() != "environment variable PVE_ROOT_PASSWORD" {
		t.Errorf("password from %s", s.Source())
	}
}

func TestTheStarterIsRight(t *testing.T) {
	if _, err := Parse("cluster.yaml", Starter()); err != nil {
		t.Fatalf("\n%v", err)
	}
	// What it shows commented out must be right as well.
	// Remarks are prose; examples are a key or an item.
	text := regexp.MustCompile(`(?m)^( +)# ( *)(- |[a-zA-Z]+:( |$))`).ReplaceAllString(string(Starter()), "$1$2$3")
	c, err := Parse("cluster.yaml", []byte(text))
	if err != nil {
		t.Fatalf("with all of its examples:\n%v\n%s", err, text)
	}
	if c.Spec.Corosync.QDevice == "none" || len(c.Spec.Backup.Jobs) != 1 || !c.Spec.Monitoring.Declared() || len(c.Spec.Storage) != 2 || len(c.Spec.Ceph.Config) != 1 {
		t.Error("not all examples were read")
	}
}

func TestErrorsNameTheirPlace(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"unknown key", "repository: no", "repo: no", "homelab.yaml:13:19: spec.pve.repo: unknown key; there are major, repository, upgrade"},
		{"near miss", "minSize: 2, pgNum: 128}\n  ", "minsize: 2, pgNum: 128}\n  ", "spec.ceph.pools[0].minsize: unknown key; there are name, size, minSize, pgNum, autoscale, application, failureDomain, deviceClass, erasure (did you mean minSize?)"},
		{"no address", "management: 10.0.10.11", "management: 10.0.10", `homelab.yaml:39:19: spec.nodes[0].management: "10.0.10" is not an IP address such as 10.0.10.11`},
		{"no network", "cidr: 10.0.10.0/24", "cidr: 10.0.10.5/24", "spec.networks.mgmt.cidr: 10.0.10.5/24 is an address in a network, not a network (write 10.0.10.0/24)"},
		{"gateway outside", "gateway: 10.0.10.1", "gateway: 10.0.11.1", "spec.networks.mgmt.gateway: 10.0.11.1 is not in 10.0.10.0/24"},
		{"missing", "      management: 10.0.10.12\n", "", "spec.nodes[1].management: is missing (add management:)"},
		{"wrong kind", "monitors: [pve1, pve2, pve3]", "monitors: pve1", `spec.ceph.monitors: should be a list, not "pve1" (write [a, b] or one "- " a line)`},
		{"no mapping", "  ha:\n", "  ha: [\n", "homelab.yaml:"},
		{"quoted number", "vmid: 100", `vmid: "100"`, `spec.guests[0].vmid: should be a whole number, not "100"`},
		{"too small", "vmid: 100", "vmid: 99", "spec.guests[0].vmid: 99 is less than 100"},
		{"no truth value", "all: true", "all: maybe", `spec.backup.jobs[0].all: should be true or false, not "maybe" (true or false)`},
		{"none of", "tls: {pin: trust-on-first-use}", "tls: {pin: fingerprints}", `spec.access.api.tls.pin: "fingerprints" is none of ca, fingerprint, trust-on-first-use (did you mean fingerprint?)`},
		{"size", "size: 8G", "size: big", `spec.guests[0].disks[0].size: "big" is not a size such as 512M, 8G or 960GB`},
		{"unknown node", "managers: [pve1, pve2, pve3]", "managers: [pve1, pve2, pve4]", `spec.ceph.managers[2]: no node is called "pve4" (did you mean pve1?)`},
		{"twice", "name: pve2\n", "name: pve1\n", "spec.nodes[1].name: pve1 is that of spec.nodes[0] already"},
		{"same address", "address: 10.0.10.12", "address: 10.0.10.11", "10.0.10.11 belongs to pve1 already"},
		{"unknown pool", "pool: vm-storage", "pool: vm-storag", `spec.storage[0].pool: no pool is called "vm-storag" (add it to spec.ceph.pools)`},
		{"field of another type", "pool: vm-storage,", "pool: vm-storage, server: 10.0.0.1,", "spec.storage[0].server: a storage of type rbd has no server (remove it)"},
		{"missing for this type", "      datastore: homelab-backups\n", "", "spec.storage[2]: a storage of type pbs needs datastore (add datastore:)"},
		{"unknown group", "group: critical_services", "group: important", `spec.guests[0].ha.group: no group is called "important"`},
		{"no content", "storage: pbs-backup\n", "storage: nowhere\n", `spec.backup.jobs[0].storage: no storage is called "nowhere"`},
		{"link twice", "corosyncLink: 1", "corosyncLink: 0", "link 0 is on mgmt already"},
		{"alias of nothing", "osds: *disks\n    - name: pve3", "osds: *dsks\n    - name: pve3", "spec.nodes[1].osds: nothing is called *dsks"},
		{"tab", "  ha:\n", "\tha:\n", "homelab.yaml:72:1: found character '\t' that cannot start any token"},
		{"twice the same key", "  ha:\n", "  pve: {}\n  ha:\n", "mapping key \"pve\" already defined at"},
		{"second document", "apiVersion: quorate/v1", "a: b\n---\napiVersion: quorate/v1", "a second document begins here"},
		{"version", "quorate/v1", "quorate/v2", `apiVersion: "quorate/v2" is none of quorate/v1`},
		{"OSD by two names", "{dev: /dev/sdb}", "{dev: /dev/sdb, byId: x}", "one OSD is given by exactly one of dev, byId and match"},
		{"all and some", "all: true", "all: true\n        vmids: [100]", "backs up either all guests or those it names"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := read(t, homelab)
			if !strings.Contains(text, test.old) {
				t.Fatalf("the example has no %q", test.old)
			}
			_, err := Parse("homelab.yaml", []byte(strings.Replace(text, test.old, test.new, 1)))
			var errs Errors
			if !errors.As(err, &errs) {
				t.Fatalf("%v", err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("\n%v\nsays not\n%s", err, test.want)
			}
			for _, e := range errs {
				if e.File != "homelab.yaml" || e.Line < 1 || e.Column < 1 || strings.ContainsAny(e.Error(), "\n") {
					t.Errorf("no place: %+v", e)
				}
			}
		})
	}
}

func TestAllErrorsAreToldAtOnce(t *testing.T) {
	text := strings.NewReplacer("major: 9", "major: nine", "vmid: 100", "vmid: 1", "autoscale", "x").Replace(read(t, homelab))
	_, err := Parse("f", []byte(text))
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 2 || errs[0].Line >= errs[1].Line {
		t.Errorf("%v", err)
	}
}

func TestEmptyAndOversizedFiles(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "comment": "# nothing\n", "null": "null\n", "list": "- a\n", "scalar": "x\n"} {
		if c, err := Parse("f", []byte(text)); err == nil || c != nil {
			t.Errorf("%s: %v", name, c)
		}
	}
	if _, err := Parse("f", make([]byte, maxSize+1)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("%v", err)
	}
}

func TestAliasesCannotBlowUp(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: quorate/v1\nkind: Cluster\nmetadata: {name: a}\nspec:\n  access: {}\n  networks: {}\n  nodes:\n  - &n\n    name: a\n    management: 10.0.0.1\n    osds: &o [")
	b.WriteString(strings.Repeat("{dev: /dev/sdb},", 1000))
	b.WriteString("]\n")
	b.WriteString(strings.Repeat("  - *n\n", 1000))
	_, err := Parse("f", []byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "aliases of aliases?") {
		t.Errorf("%.300v", err)
	}
	_, err = Parse("f", []byte("apiVersion: &a\n  <<: *a\n"))
	if err == nil {
		t.Error("an alias of itself is taken")
	}
}

func TestDeepNestingIsRefusedBeforeItIsParsed(t *testing.T) {
	for name, text := range map[string]string{
		"lists": strings.Repeat("[", 300_000), "mappings": strings.Repeat("{a: ", 200_000), "dashes": "a:\n" + strings.Repeat("- ", 300_000),
	} {
		if _, err := Parse("f", []byte(text)); err == nil || !strings.Contains(err.Error(), "nested") {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

func TestMergeKeys(t *testing.T) {
	text := strings.Replace(read(t, homelab), "      - {name: backup-storage, size: 3, minSize: 2, pgNum: 128}", "      - {<<: *p, name: backup-storage, pgNum: 64}", 1)
	text = strings.Replace(text, "- {name: vm-storage, size: 3, minSize: 2, pgNum: 128}", "- &p {name: vm-storage, size: 4, minSize: 2, pgNum: 128}", 1)
	c, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Spec.Ceph.Pools[1]; p.Name != "backup-storage" || p.Size != 4 || p.PGNum != 64 {
		t.Errorf("%+v", p)
	}
}

func TestDefaultsDoNotOverrideZero(t *testing.T) {
	text := strings.NewReplacer("maxRestart: 3, maxRelocate: 3", "maxRestart: 0", "all: true\n", "all: true\n        enabled: false\n", "secretOut", "privsep: false, secretOut").Replace(read(t, homelab))
	c, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if ha := c.Spec.Guests[0].HA; ha.MaxRestart != 0 || ha.MaxRelocate != 1 {
		t.Errorf("%+v", ha)
	}
	if c.Spec.Backup.Jobs[0].Enabled || c.Spec.Monitoring.Token.PrivSep {
		t.Error("what the file switches off is on")
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "512": 512, "1K": 1024, "8G": 8 << 30, "8GiB": 8 << 30, "8 G": 8 << 30, "960GB": 960e9, "1.5T": 3 << 39, "67108864": 64 << 20} {
		if have, err := ParseBytes(text); err != nil || have != want {
			t.Errorf("%s: %d, %v", text, have, err)
		}
	}
	for _, text := range []string{"", "G", "-1G", "8X", "8GG", "1e300T", "NaN", "inf", "0x10"} {
		if have, err := ParseBytes(text); err == nil {
			t.Errorf("%q is %d", text, have)
		}
	}
	for _, b := range []Bytes{0, 1, 1 << 10, 3 << 39, 960e9, 8 << 30} {
		if again, err := ParseBytes(b.String()); err != nil || again != b {
			t.Errorf("%d is written as %s and read as %d, %v", b, b, again, err)
		}
	}
	var m MiB
	for text, want := range map[string]MiB{"2048": 2048, "2G": 2048, "512M": 512} {
		if err := m.UnmarshalText([]byte(text)); err != nil || m != want {
			t.Errorf("%s: %d, %v", text, m, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	// Small ones: what is found is minimised first.
	f.Add([]byte("apiVersion: quorate/v1\nkind: Cluster\nmetadata: {name: a}\nspec:\n  access: {}\n  networks: {}\n  nodes: [{name: a, management: 10.0.0.1}]\n"))
	f.Add([]byte("spec:\n  ceph: {pools: [&p {name: a, size: 3}, {<<: *p, name: b}]}\n  access: {api: {password: {env: X}}}\n"))
	f.Add([]byte("~"))
	f.Add([]byte("a: &a [*a]\nb: {<<: *a}\n"))
	f.Add([]byte("spec: {nodes: [{osds: [{match: {}}]}]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		var errs Errors
		if (err == nil) != (c != nil) || err != nil && (!errors.As(err, &errs) || len(errs) == 0) {
			t.Fatalf("%v, %v", c, err)
		}
		for _, e := range errs {
			if e.Line < 1 || e.Column < 1 {
				t.Errorf("no place: %+v", e)
			}
		}
		if c != nil {
			_ = fmt.Sprint(c.Links(), c.NetworkNames())
		}
	})
}
