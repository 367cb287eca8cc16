package pvefake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Update is one that apt finds for a node. A package proxmox-kernel-VERSION-signed brings a kernel, which
// runs after the next boot.
type Update struct {
	Package, From, To string // From is "" for a package that comes new
	Removes           bool   // the upgrade would remove it
}

// SetUpdates says what apt finds for node i from now on.
func (c *Cluster) SetUpdates(i int, all ...Update) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.node(i).box
	b.upgraded, b.updates = false, all
	if b.updates == nil {
		b.updates = []Update{}
	}
}

// StayDown makes a node that boots not come back until SetNodeDown does it.
func (c *Cluster) StayDown(i int, stay bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.node(i).box.stuck = stay
}

// updates is what apt would do; a machine nobody said anything about has one update.
func (n *node) updates() []Update {
	switch b := n.box; {
	case b.upgraded || b.recorded:
		return nil
	case b.updates == nil:
		return []Update{{Package: "pve-docs", From: "9.2.1", To: "9.2.2"}}
	default:
		return b.updates
	}
}

// upgrade is apt-get dist-upgrade, or with simulate what it says it would do.
func (n *node) upgrade(simulate bool) output {
	var b strings.Builder
	b.WriteString("Reading package lists...\nBuilding dependency tree...\nReading state information...\nCalculating upgrade...\n")
	news, old, gone := 0, 0, 0
	all := maps.Clone(n.box.spec.Packages)
	if all == nil {
		all = map[string]string{}
	}
	for _, u := range n.updates() {
		switch {
		case u.Removes:
			gone++
			fmt.Fprintf(&b, "Remv %s [%s]\n", u.Package, u.From)
			all[u.Package] = ""
			continue
		case u.From == "":
			news++
			fmt.Fprintf(&b, "Inst %s (%s Proxmox:stable [amd64])\n", u.Package, u.To)
		default:
			old++
			fmt.Fprintf(&b, "Inst %s [%s] (%s Proxmox:stable [amd64])\n", u.Package, u.From, u.To)
		}
		all[u.Package] = u.To
	}
	fmt.Fprintf(&b, "%d upgraded, %d newly installed, %d to remove and 0 not upgraded.\n", old, news, gone)
	if simulate {
		return output{stdout: b.String()}
	}
	for _, u := range n.updates() {
		if k, ok := strings.CutPrefix(u.Package, "proxmox-kernel-"); ok && strings.HasSuffix(k, "-signed") {
			n.box.kernels = append(n.box.kernels, strings.TrimSuffix(k, "-signed"))
		}
	}
	n.box.spec.Packages, n.box.upgraded = all, true
	return output{stdout: b.String()}
}

// kernel is the one that runs.
func (n *node) kernel() string {
	if n.box.kernel == "" {
		return kernel
	}
	return n.box.kernel
}

// bootKernel is what a boot does: the kernel that came last runs.
func (n *node) bootKernel() {
	if k := n.box.kernels; len(k) > 0 {
		n.box.kernel = k[len(k)-1]
	}
}

// listBoot is ls /boot.
func listBoot(v *invocation) output {
	var names []string
	for _, k := range append([]string{kernel}, v.n.box.kernels...) {
		names = append(names, "config-"+k, "initrd.img-"+k, "vmlinuz-"+k)
	}
	slices.Sort(names)
	return output{stdout: strings.Join(slices.Compact(names), "\n") + "\n"}
}
