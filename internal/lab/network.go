package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// port is where a node's cable ends: an interface in the namespace of the switches.
type port struct{ node, network int }

func (p port) name() string { return fmt.Sprintf("p%dn%d", p.node, p.network) }

// A box sits between the port and its bridge: frames go port ⇄ box ⇄ inner ⇄ outer ⇄ bridge.
func (p port) inner() string  { return fmt.Sprintf("x%dn%d", p.node, p.network) }
func (p port) outer() string  { return fmt.Sprintf("y%dn%d", p.node, p.network) }
func (p port) daemon() string { return fmt.Sprintf("linkem-%d-%d", p.node, p.network) }

// bridgeName is the switch of a network, or the one of a group of nodes while it is partitioned.
func bridgeName(network, group int) string {
	if group == 0 {
		return fmt.Sprintf("br%d", network)
	}
	return fmt.Sprintf("br%dg%d", network, group)
}

// makeSwitches makes the namespace that holds one bridge per network.
func (l *Lab) makeSwitches(ctx context.Context) error {
	if _, err := l.Run(ctx, 0, "ip", "netns", "add", l.names.switches()); err != nil {
		return err
	}
	var script []string
	for _, network := range l.networks() {
		script = append(script, makeBridge(bridgeName(network, 0))...)
	}
	return l.ip(ctx, l.names.switches(), script)
}

func makeBridge(name string) []string {
	return []string{
		"link add " + name + " type bridge stp_state 0 forward_delay 0",
		"link set " + name + " up",
	}
}

// makeNodeNetwork makes a node's network namespace and its cables.
func (l *Lab) makeNodeNetwork(ctx context.Context, node int) error {
	name := l.names.node(node)
	if _, err := l.Run(ctx, 0, "ip", "netns", "add", name); err != nil {
		return err
	}
	networks := l.networks()
	if node == qnetdNode {
		networks = []int{management}
	}
	switches, inside := []string{}, []string{"link set lo up"}
	for _, network := range networks {
		p := port{node, network}
		eth := fmt.Sprintf("eth%d", network)
		switches = append(switches,
			fmt.Sprintf("link add %s type veth peer name %s netns %s", p.name(), eth, name),
			fmt.Sprintf("link set %s master %s up", p.name(), bridgeName(network, 0)))
		inside = append(inside,
			fmt.Sprintf("addr add %s/24 dev %s", l.Addr(node, network), eth),
			fmt.Sprintf("link set %s up", eth))
	}
	if err := l.ip(ctx, l.names.switches(), switches); err != nil {
		return err
	}
	return l.ip(ctx, name, inside)
}

// ip runs a batch of ip commands in a network namespace.
func (l *Lab) ip(ctx context.Context, namespace string, script []string) error {
	if len(script) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := l.Command(ctx, 0, "ip", "-n", namespace, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(script, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ip -n %s: %w: %s", namespace, err, strings.ReplaceAll(strings.TrimSpace(stderr.String()), "\n", "; "))
	}
	return nil
}

// cabling says what the switches should look like.
type cabling struct {
	down   map[port]bool
	bridge map[port]string
	box    map[port]boxSettings
}

// wanted derives the cabling from the faults in effect, so that faults add up and heal in any order.
func wantedCabling(nodes, networks []int, faults []ActiveFault) cabling {
	c := cabling{down: map[port]bool{}, bridge: map[port]string{}, box: map[port]boxSettings{}}
	for _, network := range networks {
		groups := partitionGroups(nodes, network, faults)
		for _, node := range nodes {
			c.bridge[port{node, network}] = bridgeName(network, groups[node])
		}
	}
	for _, f := range faults {
		switch f.Name {
		case faultNodeDown:
			for _, node := range numbers(f.Args) {
				for _, network := range networks {
					c.down[port{node, network}] = true
				}
			}
		case faultLinkDown:
			c.down[portOf(f.Args)] = true
		case faultLinkDelay, faultLinkLoss:
			box := c.box[portOf(f.Args)]
			box.add(f)
			c.box[portOf(f.Args)] = box
		}
	}
	return c
}

// partitionGroups numbers the sides that nodes are on in a network; the side of the lowest node is 0.
func partitionGroups(nodes []int, network int, faults []ActiveFault) map[int]int {
	keys := map[int]string{}
	for _, f := range faults {
		if f.Name == faultPartition && network <= Storage || f.Name == faultPartitionLinks && network <= Link1 {
			for _, node := range nodes {
				// Nodes that are in no group stay together: index -1.
				side := slices.IndexFunc(f.Args, func(group string) bool { return slices.Contains(groupNodes(group), node) })
				keys[node] += fmt.Sprintf("%d,", side)
			}
		}
	}
	var sides []string
	groups := map[int]int{}
	for _, node := range nodes {
		if !slices.Contains(sides, keys[node]) {
			sides = append(sides, keys[node])
		}
		groups[node] = slices.Index(sides, keys[node])
	}
	return groups
}

// groupNodes reads a group such as "2,3" or "2 3".
func groupNodes(group string) []int {
	return numbers(strings.FieldsFunc(group, func(r rune) bool { return r == ',' || r == ' ' }))
}

// numbers reads arguments that checkArgs has seen; anything else is left out.
func numbers(args []string) []int {
	var out []int
	for _, arg := range args {
		if n, err := strconv.Atoi(arg); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// portOf reads the arguments NODE LINK, which checkArgs has seen.
func portOf(args []string) port {
	n := numbers(args[:2])
	return port{node: n[0], network: n[1]}
}

// netInterface is what `ip -j link` says of one.
type netInterface struct {
	Name   string   `json:"ifname"`
	Master string   `json:"master"`
	Flags  []string `json:"flags"`
}

func (l *Lab) interfaces(ctx context.Context) (map[string]netInterface, error) {
	out, err := l.Run(ctx, 0, "ip", "-n", l.names.switches(), "-j", "link", "show")
	if err != nil {
		return nil, err
	}
	return parseInterfaces(out)
}

func parseInterfaces(out string) (map[string]netInterface, error) {
	var list []netInterface
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("ip -j link: %w", err)
	}
	found := make(map[string]netInterface, len(list))
	for _, i := range list {
		found[i.Name] = i
	}
	return found, nil
}

// rewire makes the switches look as the faults in effect say.
func (l *Lab) rewire(ctx context.Context) error {
	want := wantedCabling(l.Nodes(), l.networks(), l.inEffect())
	have, err := l.interfaces(ctx)
	if err != nil {
		return err
	}
	for p := range want.bridge {
		if err := l.stopBox(ctx, p, want.box[p]); err != nil {
			return err
		}
	}
	if err := l.ip(ctx, l.names.switches(), rewiring(want, have)); err != nil {
		return err
	}
	for p, box := range want.box {
		if err := l.startBox(ctx, p, box); err != nil {
			return err
		}
	}
	return nil
}

// rewiring is the ip script that leads from one cabling to the other.
func rewiring(want cabling, have map[string]netInterface) []string {
	var bridges, script, obsolete []string
	wanted := map[string]bool{}
	for _, p := range sortedPorts(want.bridge) {
		bridge := want.bridge[p]
		if _, ok := have[bridge]; !ok && !wanted[bridge] {
			bridges = append(bridges, makeBridge(bridge)...)
		}
		wanted[bridge] = true
		_, boxed := have[p.outer()]
		_, box := want.box[p]
		plug := p.name() // what is plugged into the bridge
		switch {
		case box && !boxed:
			script = append(script,
				fmt.Sprintf("link set %s nomaster", p.name()),
				fmt.Sprintf("link add %s type veth peer name %s", p.inner(), p.outer()),
				fmt.Sprintf("link set %s up", p.inner()),
				fmt.Sprintf("link set %s up", p.outer()))
			plug = p.outer()
		case box:
			plug = p.outer()
		case boxed:
			script = append(script, "link delete "+p.outer())
		}
		if have[plug].Master != bridge {
			script = append(script, fmt.Sprintf("link set %s master %s", plug, bridge))
		}
		if up := slices.Contains(have[p.name()].Flags, "UP"); up == want.down[p] {
			state := map[bool]string{true: "down", false: "up"}[want.down[p]]
			script = append(script, fmt.Sprintf("link set %s %s", p.name(), state))
		}
	}
	for name := range have {
		if strings.HasPrefix(name, "br") && strings.Contains(name, "g") && !wanted[name] {
			obsolete = append(obsolete, "link delete "+name)
		}
	}
	return slices.Concat(bridges, script, obsolete)
}

func sortedPorts[V any](m map[port]V) []port {
	ports := make([]port, 0, len(m))
	for p := range m {
		ports = append(ports, p)
	}
	slices.SortFunc(ports, func(a, b port) int {
		if a.network != b.network {
			return a.network - b.network
		}
		return a.node - b.node
	})
	return ports
}
