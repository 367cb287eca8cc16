package operate

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

// The phases of a link's failure.
const (
	phaseLinkDown = "down"
	phaseLost     = "lost"
	phaseLinkUp   = "up"
)

// NetworkBudgets are what a drill of a link can have a budget for.
func NetworkBudgets() []string { return []string{phaseLinkDown, phaseLinkUp} }

// LinkDown takes one of corosync's links away from a node, sees that the cluster keeps together over the others,
// and gives it back. The error is a *RefusedError if nothing was begun.
func (c *Cluster) LinkDown(ctx context.Context, node string, link int, budget Budget) (*DrillReport, error) {
	what := fmt.Sprintf("take link %d of %s down", link, node)
	s, err := c.lookToDrill(ctx, what)
	if err != nil {
		return nil, err
	}
	reasons := nodesAway(s, node, nil)
	if len(reasons) == 0 {
		reasons = append(c.sshWorks(ctx, node), c.canCut(ctx, node)...)
	}
	by, serr := c.Speaker(ctx, node)
	if serr != nil {
		reasons = append(reasons, fmt.Sprintf("no other node can be asked what happens: %v", serr))
	} else if len(reasons) == 0 {
		reasons = c.sshWorks(ctx, by.Node)
	}
	if err := refuse(what, reasons); err != nil {
		return nil, err
	}
	ids, err := c.nodeIDs(ctx, by.Node)
	if err != nil {
		return nil, err
	}
	links, err := c.links(ctx, node)
	if err != nil {
		return nil, err
	}
	if err := refuse(what, mayCut(links, link)); err != nil {
		return nil, err
	}
	tell := c.teller("drill")
	heard := func(ctx context.Context, observer string) (bool, error) {
		l, err := c.links(ctx, observer)
		return l[link][ids[node]] == linkConnected, err
	}
	r := &rehearsal{
		c: c, tell: tell, node: node, says: fmt.Sprintf("link %d is cut off from corosync, for 10 minutes at most", link), struck: phaseLinkDown,
		strike: []transport.Command{transport.ArmDrillUndo(transport.MendCorosync()), transport.CutCorosync(link)},
		undo:   []transport.Command{transport.MendCorosync(), transport.DisarmDrillUndo()},
		watch:  &watch{c: c, node: node, observer: by.Node, tell: tell, phases: linkPhases(), heard: heard},
	}
	return r.run(ctx, &DrillReport{Drill: "network", Cluster: c.Name, What: fmt.Sprintf("link %d of %s", link, node)}, budget)
}

func linkPhases() []watchPhase {
	return []watchPhase{
		{Phase{Name: phaseLinkDown, Says: "the others no longer hear it on that link", Expected: "some seconds, by corosync's token", Needed: true}, 0,
			func(_ *watch, s sight) bool { return s.heard != nil && !*s.heard }},
		{Phase{Name: phaseLost, Says: "a member was lost, though there is another link", Bad: true}, 0, func(_ *watch, s sight) bool {
			return slices.ContainsFunc(s.view.Members, func(m living.Member) bool { return !m.Online })
		}},
		{Phase{Name: phaseLinkUp, Says: "they hear it there again", Needed: true}, 0,
			func(w *watch, s sight) bool { return w.seen(phaseLinkDown) && s.heard != nil && *s.heard }},
	}
}

// mayCut says why a link must not be cut: every other node has to be heard on another one.
func mayCut(links map[int]map[int]string, link int) (reasons []string) {
	mine, ok := links[link]
	if !ok {
		return []string{fmt.Sprintf("corosync has no link %d there; it has %v", link, slices.Sorted(maps.Keys(links)))}
	}
	for _, id := range slices.Sorted(maps.Keys(mine)) {
		if mine[id] == linkLocal {
			continue
		}
		if mine[id] != linkConnected {
			reasons = append(reasons, fmt.Sprintf("node id %d is %s on that link already", id, mine[id]))
		}
		other := false
		for n, l := range links {
			other = other || n != link && l[id] == linkConnected
		}
		if !other {
			reasons = append(reasons, fmt.Sprintf("node id %d is heard on no other link, and would be lost", id))
		}
	}
	return reasons
}

// What corosync says of a node on a link.
const (
	linkConnected = "connected"
	linkLocal     = "localhost"
)

// links is what a node's corosync hears: by link and node id.
func (c *Cluster) links(ctx context.Context, node string) (map[int]map[int]string, error) {
	out, err := c.Nodes.Shell(node).Run(ctx, transport.CorosyncLinks())
	if err != nil {
		return nil, fmt.Errorf("links of corosync: %w", err)
	}
	return parseLinks(out.Stdout), nil
}

var (
	linkLine = regexp.MustCompile(`^LINK ID (\d+)`)
	peerLine = regexp.MustCompile(`^\s+nodeid:\s+(\d+):\s+(\S+)`)
)

// parseLinks reads what corosync-cfgtool -s prints (corosync 3.1).
func parseLinks(text string) map[int]map[int]string {
	links := map[int]map[int]string{}
	var at map[int]string
	for line := range strings.Lines(text) {
		if m := linkLine.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			at = map[int]string{}
			links[n] = at
		} else if m := peerLine.FindStringSubmatch(line); m != nil && at != nil {
			id, _ := strconv.Atoi(m[1])
			at[id] = m[2]
		}
	}
	return links
}

// nodeIDs are corosync's by name.
func (c *Cluster) nodeIDs(ctx context.Context, node string) (map[string]int, error) {
	var rows []struct {
		Name string  `json:"name"`
		ID   pve.Int `json:"nodeid"`
	}
	if err := c.Nodes.API(node).Get(ctx, "/cluster/config/nodes", &rows); err != nil {
		return nil, err
	}
	ids := map[string]int{}
	for _, r := range rows {
		ids[r.Name] = int(r.ID.V)
	}
	return ids, nil
}
