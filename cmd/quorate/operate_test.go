package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/provisionproof"
	"github.com/quorate/quorate/internal/pvefake"
)

// livingFile is the home lab's file for a fake of a cluster that runs. Its time passes with the wall clock.
func livingFile(t *testing.T) (file string, fake *pvefake.Cluster) {
	t.Helper()
	fake, err := pvefake.New(pvefake.Options{
		ClusterName: "homelab-cluster", Machines: make([]pvefake.Machine, 3), RootPassword: provisionproof.RootPassword, Start: time.Now(), HAPace: 10,
		Guests: []pvefake.Guest{{VMID: 100, Node: 1, Name: "dns"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	for _, err := range []error{fake.ServeSSH(), fake.SpreadCeph(1), fake.AddHAResource(pvefake.HAResource{SID: "vm:100"})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fake.Advance(time.Minute)
	return fileFor(t, fake), fake
}

func quorate(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestOperationsEndWithTheirExitCodes(t *testing.T) {
	file, fake := livingFile(t)
	off := func(i int) func() {
		return func() {
			if err := fake.SetNodeDown(i, true); err != nil {
				t.Fatal(err)
			}
			fake.Advance(20 * time.Second)
		}
	}
	for _, tt := range []struct {
		name string
		do   func()
		args []string
		code int
		says string
	}{
		{"status of a healthy cluster", nil, []string{"status", "-f", file}, 0, "all is well"},
		{"a plan of a rolling update", nil, []string{"rolling-update", "-f", file, "--plan"}, 0, "1. pve2: 1 updates, no reboot"},
		{"a rolling update that nobody confirms", nil, []string{"rolling-update", "-f", file}, exitFailed, "give --yes"},
		{"a rolling update of a node there is not", nil, []string{"rolling-update", "-f", file, "--plan", "--nodes", "pve9"}, exitSyntax, "pve9 is no node of the file"},
		{"no such way to reboot", nil, []string{"rolling-update", "-f", file, "--reboot=maybe"}, exitSyntax, "auto,always,never"},
		{"no VMID", nil, []string{"maintenance", "enable", "pve1", "-f", file, "--leave", "dns"}, exitSyntax, "want VMIDs"},
		{"maintenance that is not on", nil, []string{"maintenance", "disable", "pve1", "-f", file}, 0, "nothing was done"},
		{"maintenance of a node there is not", nil, []string{"maintenance", "enable", "pve9", "-f", file}, exitPreflight, "pve9 is no node of the cluster"},
		{"maintenance, only asked for", nil, []string{"maintenance", "enable", "pve2", "-f", file, "--no-wait"}, 0, "was asked"},
		{"status with a node off", off(3), []string{"status", "-f", file}, exitVerify, "! pve3 is offline"},
		{"maintenance then", nil, []string{"maintenance", "enable", "pve1", "-f", file}, exitPreflight, "quorum would be lost"},
		{"a plan then", nil, []string{"rolling-update", "-f", file, "--plan", "--nodes=pve1"}, exitVerify, "would be refused now"},
		{"status without quorum", off(2), []string{"status", "-f", file}, exitVerify, "Quorum    NO"},
		{"status of nobody", off(1), []string{"status", "-f", file}, exitUnreachable, "pve1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.do != nil {
				tt.do()
			}
			code, out, errs := quorate(tt.args...)
			if code != tt.code || !strings.Contains(out+errs, tt.says) {
				t.Errorf("exit %d, want %d and %q\n%s\n%s", code, tt.code, tt.says, out, errs)
			}
			if strings.Contains(out+errs, provisionproof.RootPassword) {
				t.Error("a secret is shown")
			}
		})
	}
}

func TestStatusInJSONHasWhatTheTextSays(t *testing.T) {
	file, _ := livingFile(t)
	code, out, errs := quorate("status", "-f", file, "-o", "json")
	var s struct {
		Cluster  string
		Problems []string
		Votes    struct{ Present, Majority int }
		Ceph     struct{ Health string }
		Losses   []struct {
			Node     string
			Bearable bool
		}
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
		t.Fatalf("exit %d, %v\n%s\n%s", code, err, out, errs)
	}
	if s.Cluster != "homelab-cluster" || s.Votes.Present != 3 || s.Votes.Majority != 2 || s.Ceph.Health != "HEALTH_OK" || len(s.Losses) != 3 || !s.Losses[0].Bearable {
		t.Errorf("%+v", s)
	}
}
