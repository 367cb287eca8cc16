package lab

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const corosyncBoot = `Nov 20 23:43:10.124 [23891] pve1 corosync notice  [MAIN  ] Corosync Cluster Engine 3.1.7 starting up
Nov 20 23:43:10.488 [23891] pve1 corosync notice  [QUORUM] Using quorum provider corosync_votequorum
Nov 20 23:43:10.492 [23891] pve1 corosync notice  [QUORUM] Sync members[1]: 1
Nov 20 23:43:10.492 [23891] pve1 corosync notice  [QUORUM] Sync joined[1]: 1
Nov 20 23:43:10.496 [23891] pve1 corosync notice  [QUORUM] Members[1]: 1
`

const corosyncJoin = `Nov 20 23:43:13.608 [23891] pve1 corosync notice  [QUORUM] Sync members[3]: 1 2 3
Nov 20 23:43:13.612 [23891] pve1 corosync notice  [QUORUM] This node is within the primary component and will provide service.
Nov 20 23:43:13.612 [23891] pve1 corosync notice  [QUORUM] Members[3]: 1 2 3
`

const corosyncLoss = `Nov 20 23:45:42.940 [23891] pve1 corosync notice  [QUORUM] Sync members[1]: 1
Nov 20 23:45:42.940 [23891] pve1 corosync notice  [QUORUM] This node is within the non-primary component and will NOT provide any services.
Nov 20 23:45:42.940 [23891] pve1 corosync notice  [QUORUM] Members[1]: 1
`

const corosyncForced = `Nov 20 23:45:56.200 [23891] pve1 corosync notice  [QUORUM] This node is within the primary component and will provide service.
Nov 20 23:45:56.200 [23891] pve1 corosync notice  [QUORUM] Members[1]: 1
`

func TestMembershipIsWhatCorosyncLoggedLast(t *testing.T) {
	for _, test := range []struct {
		name, log string
		want      membership
	}{
		{"nothing logged", "", membership{}},
		{"started and alone", corosyncBoot, membership{members: []int{1}}},
		{"joined", corosyncBoot + corosyncJoin, membership{[]int{1, 2, 3}, true}},
		{"quorum lost", corosyncBoot + corosyncJoin + corosyncLoss, membership{[]int{1}, false}},
		{"quorum forced by expected votes", corosyncBoot + corosyncJoin + corosyncLoss + corosyncForced, membership{[]int{1}, true}},
		{"restarted", corosyncBoot + corosyncJoin + strings.SplitAfter(corosyncBoot, "\n")[0], membership{}},
		{"another program's lines", "Members[2]: 1 2\n[TOTEM ] Members[2]: 1 2\n", membership{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := parseMembership(membership{}, test.log); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, not %+v", got, test.want)
			}
		})
	}
}

func TestCorosyncLogIsReadOnAndForgotten(t *testing.T) {
	log := &corosyncLog{path: filepath.Join(t.TempDir(), "corosync.log")}
	write := func(text string) {
		t.Helper()
		file, err := os.OpenFile(log.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	want := func(members int, quorate bool) {
		t.Helper()
		if err := log.read(); err != nil || len(log.view.members) != members || log.view.quorate != quorate {
			t.Errorf("%+v (%v), not %d members, quorate %t", log.view, err, members, quorate)
		}
	}
	want(0, false) // no file yet
	write(corosyncBoot + corosyncJoin[:len(corosyncJoin)-3])
	want(1, true) // the last line has no end yet
	write(corosyncJoin[len(corosyncJoin)-3:])
	want(3, true)
	write("half a line")
	if err := log.forget(); err != nil {
		t.Fatal(err)
	}
	want(0, false)
	write(corosyncBoot)
	want(1, false)
}

func FuzzCorosyncLog(f *testing.F) {
	f.Add(corosyncBoot+corosyncJoin, corosyncLoss)
	f.Add("[QUORUM] Members[3]: 1 99999999999999999999 3\n", "[QUORUM] Members[0]:\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		if before != "" && !strings.HasSuffix(before, "\n") {
			return
		}
		whole := parseMembership(membership{}, before+after)
		if parts := parseMembership(parseMembership(membership{}, before), after); !reflect.DeepEqual(whole, parts) {
			t.Errorf("at once %+v, in two reads %+v", whole, parts)
		}
	})
}

func TestAPIGroupsFollowTheCables(t *testing.T) {
	fault := func(name string, args ...string) ActiveFault { return ActiveFault{Name: name, Args: args} }
	for _, test := range []struct {
		name   string
		faults []ActiveFault
		want   [][]int
	}{
		{"whole", nil, [][]int{{1, 2, 3}}},
		{"partition", []ActiveFault{fault(faultPartition, "1", "2,3")}, [][]int{{1}, {2, 3}}},
		{"partition of the links", []ActiveFault{fault(faultPartitionLinks, "2")}, [][]int{{1, 3}, {2}}},
		{"link 0 down", []ActiveFault{fault(faultLinkDown, "1", "0")}, [][]int{{1}, {2, 3}}},
		{"link 1 down", []ActiveFault{fault(faultLinkDown, "1", "1")}, [][]int{{1, 2, 3}}},
		{"two nodes without power", []ActiveFault{fault(faultNodeDown, "1", "3")}, [][]int{{1}, {2}, {3}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := apiGroups([]int{1, 2, 3}, test.faults); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, not %v", got, test.want)
			}
		})
	}
}
