package provisionproof

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// Homelab is the example of the documentation, as it is or for PVE 8.
func Homelab(root string, v pvefake.Version) (*spec.Cluster, error) {
	const name = "examples/homelab.yaml"
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return nil, err
	}
	c, err := spec.Parse(name, b)
	if err != nil {
		return nil, err
	}
	if v == pvefake.V84 {
		c.Spec.PVE.Major = 8
		c.Spec.Ceph.Release = "squid"
	}
	return c, nil
}

// NewWorld makes machines as c describes them, each with Proxmox VE installed and nothing else done. more
// alters what the fake is made of.
func NewWorld(c *spec.Cluster, v pvefake.Version, more ...func(*pvefake.Options)) (*World, error) {
	var machines []pvefake.Machine
	mgmt := c.Spec.Networks["mgmt"]
	for _, n := range c.Spec.Nodes {
		m := pvefake.Machine{Name: n.Name, Address: fmt.Sprintf("%s/%d", n.Management, mgmt.CIDR.Bits())}
		if mgmt.Gateway.IsValid() {
			m.Gateway = mgmt.Gateway.String()
		}
		for _, o := range n.OSDs {
			if o.Dev == "" {
				continue // the fake's own three empty disks
			}
			if m.Disks == nil {
				m.Disks = []pvefake.Disk{{Dev: "/dev/sda", Used: "BIOS boot"}}
			}
			m.Disks = append(m.Disks, pvefake.Disk{Dev: o.Dev})
		}
		machines = append(machines, m)
	}
	o := pvefake.Options{Version: v, Standalone: true, Machines: machines, RootPassword: RootPassword, Seed: 7}
	for _, change := range more {
		change(&o)
	}
	fake, err := pvefake.New(o)
	if err != nil {
		return nil, err
	}
	pins, err := transport.OpenPins("")
	if err != nil {
		return nil, err
	}
	return &World{Fake: fake, Spec: c, Files: NewMemFiles(), Program: standIn, Pins: pins, Parallel: 1}, nil
}
