package collector

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/source"
	"github.com/quorate/quorate/internal/source/pve"
)

// pvePageFake is a Client that also knows guests.
type pvePageFake struct {
	*pve.Client
	onBoot map[pve.GuestRef]bool
	err    error
}

func (f pvePageFake) Guests(context.Context, string) ([]pve.GuestRef, error) {
	return []pve.GuestRef{{Type: "qemu", VMID: 100}, {Type: "lxc", VMID: 102}}, nil
}

func (f pvePageFake) OnBoot(context.Context, string, []pve.GuestRef) (map[pve.GuestRef]bool, error) {
	return f.onBoot, f.err
}

func aPage(t *testing.T, replies map[string]string) pvePageFake {
	api, _ := pveServer(t, replies)
	return pvePageFake{Client: api, onBoot: map[pve.GuestRef]bool{{Type: "qemu", VMID: 100}: true}}
}

func TestPVEPageHasAllOfPrometheusPVEExporter(t *testing.T) {
	have, err := pveText(t, NewPVEPage(aPage(t, pveSmall()), AllPVEParts()))
	if err != nil {
		t.Fatal(err)
	}
	// Everything of /metrics is there, locks as whole sets.
	for line := range strings.Lines(pveSmallFast + pveSmallFacts) {
		if !strings.Contains(have, line) {
			t.Errorf("no %s", line)
		}
	}
	for want, count := range map[string]int{
		`pve_ha_state{id="qemu/100"`: 11, `pve_ha_state{id="lxc/101"`: 11, `pve_ha_state{id="node/pve2"`: 5,
		`pve_lock_state{id="lxc/101"`: 9, `pve_onboot_status{`: 1, `pve_subscription_status{`: 6,
		`pve_ha_state{id="node/pve2",state="unknown"} 1`:                                                         1,
		`pve_ha_state{id="qemu/100",state="started"} 1`:                                                          1,
		`pve_onboot_status{id="qemu/100",node="pve1",type="qemu"} 1`:                                             1,
		`pve_subscription_info{id="node/pve1",level="c"} 1`:                                                      1,
		`pve_subscription_status{id="node/pve1",status="active"} 1`:                                              1,
		`pve_subscription_next_due_timestamp_seconds{id="node/pve1"}`:                                            1,
		`pve_replication_info{guest="qemu/100",id="100-0",source="node/pve1",target="node/pve2",type="local"} 1`: 1,
		`pve_replication_failed_syncs{id="100-0"} 1`:                                                             1,
	} {
		if n := strings.Count(have, want); n != count {
			t.Errorf("%d times %s, want %d", n, want, count)
		}
	}
}

func TestPVEPageOfAStandaloneNode(t *testing.T) {
	replies := pveSmall()
	replies["/api2/json/cluster/status"] = `{"data":[{"type":"node","id":"node/pve1","name":"pve1","nodeid":0,"online":1,"local":1,"ip":"10.0.0.1","level":""}]}`
	have, err := pveText(t, NewPVEPage(aPage(t, replies), AllPVEParts()))
	if err != nil {
		t.Fatal(err)
	}
	for _, not := range []string{"pve_cluster_info", "pve_qdevice", `pve_up{id="cluster/`} {
		if strings.Contains(have, not) {
			t.Errorf("%s is there", not)
		}
	}
	for _, want := range []string{`pve_not_backed_up_total{id="cluster/pve1"} 1`, "pve_replication_info", `nodeid="0"`} {
		if !strings.Contains(have, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestPVEPageWithoutQuorumTellsWhatItKnows(t *testing.T) {
	replies := pveSmall()
	replies["/api2/json/cluster/status"] = strings.Replace(replies["/api2/json/cluster/status"], `"quorate":1`, `"quorate":0`, 1)
	have, err := pveText(t, NewPVEPage(aPage(t, replies), AllPVEParts()))
	if source.Reason(err) != "no_quorum" {
		t.Errorf("error %v", err)
	}
	if strings.Contains(have, "pve_replication") || !strings.Contains(have, "pve_onboot_status") || !strings.Contains(have, `pve_up{id="cluster/small"} 0`) {
		t.Errorf("have\n%s", have)
	}
}

func TestPVEPageHasOnlyTheChosenParts(t *testing.T) {
	for name, c := range map[string]struct {
		parts PVEParts
		has   []string
	}{
		"nothing":       {AllPVEParts().Choose(false, false), nil},
		"node":          {AllPVEParts().Choose(false, true), []string{"pve_onboot_status", "pve_replication_info", "pve_subscription_info"}},
		"status":        {PVEParts{Status: true}, []string{"pve_up"}},
		"version":       {PVEParts{Version: true}, []string{"pve_version_info"}},
		"node info":     {PVEParts{Node: true}, []string{"pve_node_info"}},
		"cluster info":  {PVEParts{Cluster: true}, []string{"pve_cluster_info"}},
		"resources":     {PVEParts{Resources: true}, []string{"pve_guest_info", "pve_storage_info", "pve_cpu_usage_ratio", "pve_ha_state", "pve_lock_state"}},
		"backup":        {PVEParts{BackupInfo: true}, []string{"pve_not_backed_up_total"}},
		"qdevice":       {PVEParts{QDevice: true}, []string{"pve_qdevice_up", "pve_qdevice_info"}},
		"configuration": {PVEParts{Config: true}, []string{"pve_onboot_status"}},
		"replication":   {PVEParts{Replication: true}, []string{"pve_replication_info"}},
		"subscription":  {PVEParts{Subscription: true}, []string{"pve_subscription_info"}},
	} {
		t.Run(name, func(t *testing.T) {
			have, err := pveText(t, NewPVEPage(aPage(t, pveSmall()), c.parts))
			if err != nil {
				t.Fatal(err)
			}
			for _, family := range []string{
				"pve_up", "pve_version_info", "pve_node_info", "pve_cluster_info", "pve_guest_info", "pve_storage_info", "pve_cpu_usage_ratio",
				"pve_ha_state", "pve_lock_state", "pve_not_backed_up_total", "pve_qdevice_up", "pve_qdevice_info", "pve_onboot_status",
				"pve_replication_info", "pve_subscription_info",
			} {
				want := false
				for _, h := range c.has {
					want = want || h == family
				}
				if strings.Contains("\n"+have, "\n"+family+"{") != want {
					t.Errorf("%s there: %t", family, !want)
				}
			}
		})
	}
}

func TestPVEPageKeepsTheConfigurationsThatCouldBeRead(t *testing.T) {
	page := aPage(t, pveSmall())
	page.err = errors.New("guest 102 is hidden")
	families, err := GatherPVEPage(t.Context(), page, AllPVEParts(), page.Status)
	if err == nil || !strings.Contains(err.Error(), "guest 102 is hidden") {
		t.Errorf("error %v", err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	for _, want := range []string{"pve_onboot_status", "pve_up", "quorate_source_up", "quorate_source_request_errors_total"} {
		if !names[want] {
			t.Errorf("no %s", want)
		}
	}
}
