package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/provision/transport"
)

// A Package is one that apt would install in place of another version, or anew.
type Package struct {
	Name string `json:"name"`
	From string `json:"from,omitempty"`
	To   string `json:"to"`
}

// A Host is what a node would run after an upgrade and a boot, and what it runs now.
type Host struct {
	Updates []Package `json:"updates"`
	Removes []string  `json:"removes,omitempty"` // packages that the upgrade would take away
	Kernel  string    `json:"kernel"`            // that runs
	Boots   string    `json:"boots"`             // that runs after the next boot, as installed now
	bootID  string
}

// readHost asks a node over SSH. It changes nothing there.
func (c *Cluster) readHost(ctx context.Context, node string) (h Host, err error) {
	var simulated, boot string
	for _, q := range []struct {
		ask transport.Command
		to  *string
	}{
		{transport.SimulateUpgrade(), &simulated}, {transport.InstalledKernels(), &boot}, {transport.RunningKernel(), &h.Kernel}, {transport.BootID(), &h.bootID},
	} {
		out, err := c.Nodes.Shell(node).Run(ctx, q.ask)
		if err != nil {
			return h, err
		}
		*q.to = strings.TrimSpace(out.Stdout)
	}
	h.Updates, h.Removes = parseUpgrade(simulated)
	h.Boots = newestKernel(boot)
	pin, err := c.Nodes.Shell(node).Run(ctx, transport.PinnedKernel())
	var none *transport.CommandError
	switch {
	case err == nil && strings.TrimSpace(pin.Stdout) != "":
		h.Boots = strings.TrimSpace(pin.Stdout)
	case err != nil && !errors.As(err, &none):
		return h, err
	}
	if h.Boots == "" {
		h.Boots = h.Kernel
	}
	return h, nil
}

// bringsKernel says whether the upgrade installs a kernel, which another boot would then run.
func (h Host) bringsKernel() bool {
	return slices.ContainsFunc(h.Updates, func(p Package) bool {
		return strings.HasSuffix(p.Name, "-pve-signed") || strings.HasSuffix(p.Name, "-pve") && p.From == ""
	})
}

// vital are packages without which a node is none; apt wants to remove them where its repositories are wrong.
var vital = []string{"proxmox-ve", "pve-manager", "pve-cluster", "corosync", "pve-ha-manager", "qemu-server", "pve-qemu-kvm", "ceph", "ceph-mon", "ceph-osd"}

// against says why a node must not be upgraded.
func (h Host) against(node string) []string {
	lost := slices.DeleteFunc(slices.Clone(h.Removes), func(p string) bool { return !slices.Contains(vital, p) })
	if len(lost) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("apt would remove %s from %s; correct its repositories first (`apt-get --simulate dist-upgrade` there)", strings.Join(lost, ", "), node)}
}

// parseUpgrade reads what apt-get --simulate says it would do: "Inst NAME [OLD] (NEW ORIGIN [ARCH])", without [OLD]
// for a package that is new, and "Remv NAME [OLD]".
func parseUpgrade(text string) (updates []Package, removes []string) {
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "Remv":
			removes = append(removes, words[1])
		case "Inst":
			p := Package{Name: words[1]}
			for _, w := range words[2:] {
				if strings.HasPrefix(w, "(") {
					p.To = strings.Trim(w, "()")
					break
				}
				p.From = strings.Trim(w, "[]")
			}
			updates = append(updates, p)
		}
	}
	return updates, removes
}

// newestKernel is the highest version of the kernels in /boot, "" if there is none.
func newestKernel(boot string) (newest string) {
	for _, f := range strings.Fields(boot) {
		if v, ok := strings.CutPrefix(f, "vmlinuz-"); ok && (newest == "" || compareVersions(v, newest) > 0) {
			newest = v
		}
	}
	return newest
}

// compareVersions compares numbers as numbers and what is between them as text: 6.8.12-9-pve is older than 6.8.12-10-pve.
func compareVersions(a, b string) int {
	as, bs := pieces(a), pieces(b)
	for i := range min(len(as), len(bs)) {
		x, xerr := strconv.Atoi(as[i])
		y, yerr := strconv.Atoi(bs[i])
		order := strings.Compare(as[i], bs[i])
		if xerr == nil && yerr == nil {
			order = cmp.Compare(x, y)
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(len(as), len(bs))
}

// pieces are runs of digits and runs of other characters.
func pieces(s string) (out []string) {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	for i := range len(s) {
		if i == 0 || digit(s[i]) != digit(s[i-1]) {
			out = append(out, "")
		}
		out[len(out)-1] += s[i : i+1]
	}
	return out
}
