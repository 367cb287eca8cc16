package lab

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const quorumtoolQdevice = `Quorum information
------------------
Date:             Sat Nov 21 09:17:11 2026
Quorum provider:  corosync_votequorum
Nodes:            2
Node ID:          1
Ring ID:          1.9
Quorate:          Yes

Votequorum information
----------------------
Expected votes:   3
Highest expected: 3
Total votes:      3
Quorum:           2  
Flags:            Quorate Qdevice 

Membership information
----------------------
    Nodeid      Votes    Qdevice Name
         1          1    A,V,NMW 10.77.0.1 (local)
         2          1    A,V,NMW 10.77.0.2
         0          1            Qdevice
`

const quorumtoolBlocked = `Quorum information
------------------
Date:             Fri Nov 20 23:45:53 2026
Quorum provider:  corosync_votequorum
Nodes:            1
Node ID:          1
Ring ID:          1.11
Quorate:          No

Votequorum information
----------------------
Expected votes:   3
Highest expected: 3
Total votes:      1
Quorum:           2 Activity blocked
Flags:            

Membership information
----------------------
    Nodeid      Votes Name
         1          1 pve1 (local)
`

func TestParseQuorum(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want Quorum
	}{
		"QDevice": {quorumtoolQdevice, Quorum{Quorate: true, RingID: "1.9", Expected: 3, Highest: 3, Total: 3, Needed: 2,
			Flags: []string{"Quorate", "Qdevice"}, Members: []int{1, 2}, QdeviceVote: 1}},
		"no quorum": {quorumtoolBlocked, Quorum{RingID: "1.11", Expected: 3, Highest: 3, Total: 1, Needed: 2,
			Flags: []string{}, Members: []int{1}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseQuorum(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for name, text := range map[string]string{
		"empty":           "",
		"no vote numbers": "Quorate:          Yes\n",
		"cut off":         quorumtoolQdevice[:strings.Index(quorumtoolQdevice, "Total votes")],
	} {
		if q, err := parseQuorum(text); err == nil {
			t.Errorf("%s: read as %+v", name, q)
		}
	}
}

func TestParseLinks(t *testing.T) {
	got := parseLinks("stats.knet.node2.link0.connected (u8) = 1\nstats.knet.node2.link1.connected (u8) = 0\n" +
		"stats.knet.node2.link1.mtu (u32) = 1\nstats.knet.handle.tx (u64) = 1\n")
	if diff := cmp.Diff(map[KnetLink]bool{{2, 0}: true, {2, 1}: false}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseStatWithAHostileName(t *testing.T) {
	start, state, err := parseStat("7 (a) S 1 (b) Z) R 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 424242 0 0\n")
	if err != nil || start != 424242 || state != 'R' {
		t.Errorf("start %d, state %c: %v", start, state, err)
	}
}

func TestParseStatOfAProcessWhoseThreadsStillEnd(t *testing.T) {
	const stat = "7 (qemu) Z 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 %d 0 424242 0 0\n"
	for threads, want := range map[int]byte{0: 'Z', 1: 'Z', 2: 'R', 12: 'R'} {
		if _, state, err := parseStat(fmt.Sprintf(stat, threads)); err != nil || state != want {
			t.Errorf("with %d threads: state %c, want %c: %v", threads, state, want, err)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (sleep) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 424242 0 0\n")
	f.Add(")")
	f.Add("7 (sleep) \x00 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 424242 0 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, state, err := parseStat(text); err == nil && state == 0 {
			t.Error("a process without a state")
		}
	})
}

func FuzzParseQuorum(f *testing.F) {
	f.Add(quorumtoolQdevice)
	f.Add(quorumtoolBlocked)
	f.Fuzz(func(t *testing.T, text string) {
		q, err := parseQuorum(text)
		if err == nil && (slices.Contains(q.Members, 0) || !slices.IsSorted(q.Members)) {
			t.Errorf("members %v", q.Members)
		}
	})
}

func FuzzParseLinks(f *testing.F) {
	f.Add("stats.knet.node2.link0.connected (u8) = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for link := range parseLinks(text) {
			if link.Peer < 0 || link.Link < 0 {
				t.Errorf("link %+v", link)
			}
		}
	})
}

func FuzzParseInterfaces(f *testing.F) {
	f.Add(`[{"ifname":"br0","flags":["UP"],"master":"x"}]`)
	f.Fuzz(func(t *testing.T, text string) {
		found, err := parseInterfaces(text)
		for name, i := range found {
			if err != nil || name != i.Name {
				t.Errorf("%q: %+v %v", name, i, err)
			}
		}
	})
}
