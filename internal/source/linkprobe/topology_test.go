package linkprobe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func names(hosts map[string][]netip.Addr) Lookup {
	return func(_ context.Context, host string) ([]netip.Addr, error) {
		if a, ok := hosts[host]; ok {
			return a, nil
		}
		return nil, errors.New("no such host")
	}
}

var threeNodes = []Node{
	{ID: 1, Name: "pve1", Rings: map[int]string{0: "10.0.0.1", 1: "fd00::1"}},
	{ID: 2, Name: "pve2", Rings: map[int]string{0: "10.0.0.2", 1: "fd00::2"}},
	{ID: 3, Name: "pve3", Rings: map[int]string{0: "pve3.ring"}},
}

func TestBuildTopologyFindsThisMachine(t *testing.T) {
	lookup := names(map[string][]netip.Addr{"pve3.ring": addrs("fd00::33", "10.0.0.3")})
	for name, tt := range map[string]struct {
		nodes []Node
		local []netip.Addr
		self  uint32
		peers string
		fails string
	}{
		"first node":             {nodes: threeNodes, local: addrs("127.0.0.1", "10.0.0.1", "fd00::1"), self: 1, peers: "pve2 pve3"},
		"by one of two links":    {nodes: threeNodes, local: addrs("fd00::2"), self: 2, peers: "pve1 pve3"},
		"by a name's IPv4":       {nodes: threeNodes, local: addrs("10.0.0.3"), self: 3, peers: "pve1 pve2"},
		"by a mapped address":    {nodes: threeNodes, local: addrs("::ffff:10.0.0.3"), self: 3, peers: "pve1 pve2"},
		"standalone":             {nodes: nil, local: addrs("10.0.0.1")},
		"another cluster's file": {nodes: threeNodes, local: addrs("192.168.0.1"), fails: "no ring address"},
		"addresses of two nodes": {nodes: threeNodes, local: addrs("10.0.0.1", "10.0.0.2"), fails: "both pve1 and pve2"},
		"a node without a name":  {nodes: []Node{{ID: 1, Rings: map[int]string{0: "10.0.0.1"}}, {ID: 7, Rings: map[int]string{0: "10.0.0.7"}}}, local: addrs("10.0.0.1"), self: 1, peers: "7"},
	} {
		t.Run(name, func(t *testing.T) {
			top, err := BuildTopology(t.Context(), tt.nodes, tt.local, lookup)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Fatalf("error %v, want one about %q", err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var peers []string
			for _, p := range top.Peers {
				peers = append(peers, p.Name)
			}
			if got := strings.Join(peers, " "); top.Self != tt.self || got != tt.peers {
				t.Errorf("self %d with peers %q, want %d with %q", top.Self, got, tt.self, tt.peers)
			}
		})
	}
}

func TestUnresolvableRingAddressCostsOnlyItself(t *testing.T) {
	top, err := BuildTopology(t.Context(), threeNodes, addrs("10.0.0.1"), names(nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(top.Unresolved) != 1 || !strings.Contains(top.Unresolved[0], "pve3 ring0_addr") {
		t.Errorf("unresolved: %q", top.Unresolved)
	}
	if n := len(top.pairs()); n != 2 {
		t.Errorf("%d pairs, want pve2 on both links", n)
	}
}

func TestPairsNeedAnAddressOfOneFamilyOnBothSides(t *testing.T) {
	top := Topology{
		Self:      1,
		SelfLinks: map[int]netip.Addr{0: addrs("10.0.0.1")[0], 1: addrs("fd00::1")[0], 8: addrs("10.8.0.1")[0], -1: addrs("10.9.0.1")[0]},
		Peers: []Peer{
			{ID: 2, Name: "pve2", Links: map[int]netip.Addr{0: addrs("::ffff:10.0.0.2")[0], 1: addrs("fd00::2")[0]}},
			{ID: 3, Name: "pve3", Links: map[int]netip.Addr{0: addrs("fd00::3")[0], 2: addrs("10.2.0.3")[0]}},
			{ID: 4, Name: "pve4", Links: map[int]netip.Addr{8: addrs("10.8.0.4")[0], -1: addrs("10.9.0.4")[0]}},
		},
	}
	var got []string
	for p := range maps.Keys(top.pairs()) {
		got = append(got, fmt.Sprintf("%s/%d %v-%v", p.name, p.link, p.local, p.remote))
	}
	slices.Sort(got)
	want := []string{"pve2/0 10.0.0.1-10.0.0.2", "pve2/1 fd00::1-fd00::2"}
	if !slices.Equal(got, want) {
		t.Errorf("pairs %q, want %q", got, want)
	}
}

func TestLocalAddrsIncludeLoopback(t *testing.T) {
	got, err := LocalAddrs()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(got, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("%v lacks 127.0.0.1", got)
	}
}
