package operate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
)

// running are the guests that run on a node, by VMID.
func (s State) running(node string) []Guest {
	var out []Guest
	for _, g := range s.Guests {
		if g.Node == node && g.Status == "running" {
			out = append(out, g)
		}
	}
	return out
}

// underHA says whether the HA manager decides where a guest runs.
func (s State) underHA(g Guest) bool {
	v, ok := s.Service(g.SID())
	return ok && v.Requested != "ignored"
}

// takes says whether a node can be given guests.
func (n Node) takes() bool { return n.Online && (n.HA == "" || n.HA == pve.HANodeOnline) }

// place finds a node for each guest by the memory that it may use, the largest first, each where most is
// free. left are those for which no node but except has enough.
func (s State) place(guests []Guest, except string) (to map[int]string, left []Guest) {
	free := map[string]int64{}
	var nodes []string
	for _, n := range s.Nodes {
		if n.Name != except && n.takes() {
			nodes = append(nodes, n.Name)
			free[n.Name] = n.Memory - n.MemoryUsed
		}
	}
	guests = slices.Clone(guests)
	slices.SortStableFunc(guests, func(a, b Guest) int { return cmp.Compare(b.Memory, a.Memory) })
	to = map[int]string{}
	for _, g := range guests {
		best := ""
		for _, n := range nodes {
			if g.Memory <= free[n] && (best == "" || free[n] > free[best]) {
				best = n
			}
		}
		if best == "" {
			left = append(left, g)
			continue
		}
		to[g.VMID] = best
		free[best] -= g.Memory
	}
	return to, left
}

// gib is a number of bytes for people.
func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

// withMemory tells guests with what they may use: vm:100 (2.0 GiB), ct:101 (0.5 GiB).
func withMemory(guests []Guest) string {
	words := make([]string, len(guests))
	for i, g := range guests {
		words[i] = fmt.Sprintf("%s (%s)", g.SID(), gib(g.Memory))
	}
	return strings.Join(words, ", ")
}
