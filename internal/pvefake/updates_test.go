package pvefake

import (
	"strings"
	"testing"
	"time"
)

// spread is a cluster with Ceph on every node and SSH.
func spread(t *testing.T) *Cluster {
	t.Helper()
	c := newCluster(t, Options{Machines: make([]Machine, 3)})
	for _, err := range []error{c.ServeSSH(), c.SpreadCeph(2)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Advance(time.Minute)
	return c
}

// said runs a command that ends with a code.
func said(t *testing.T, c *Cluster, i, want int, line string) (stdout, stderr string) {
	t.Helper()
	exit, stdout, stderr := c.RunCommand(i, line, "")
	if exit != want {
		t.Errorf("%s ended with %d, want %d: %s", line, exit, want, stderr)
	}
	return stdout, stderr
}

// The numbers and words are those of a Ceph 16.2.15 with as many copies.
func TestOKToStopCountsWhatWouldGoOffline(t *testing.T) {
	c := spread(t)
	if out, _ := said(t, c, 1, 0, "ceph osd ok-to-stop 0 1"); !strings.Contains(out, `"ok_to_stop":true`) || !strings.Contains(out, `"num_ok_pgs":128`) {
		t.Errorf("the OSDs of one host: %s", out)
	}
	out, stderr := said(t, c, 1, 16, "ceph osd ok-to-stop 1 2")
	if !strings.Contains(out, `"num_not_ok_pgs":128`) || stderr != "Error EBUSY: unsafe to stop osd(s) at this time (128 PGs are or would become offline)\n" {
		t.Errorf("OSDs of two hosts: %s, %s", out, stderr)
	}
	said(t, c, 1, 0, "ceph osd ok-to-stop 99")
	said(t, c, 1, 22, "ceph osd ok-to-stop x")
	if err := c.SetNodeDown(3, true); err != nil {
		t.Fatal(err)
	}
	said(t, c, 1, 16, "ceph osd ok-to-stop 0")
	said(t, c, 1, 0, "ceph osd ok-to-stop 4 5") // they are down
}

func TestAKernelRunsAfterTheNextBoot(t *testing.T) {
	c := spread(t)
	c.SetUpdates(2, Update{Package: "proxmox-kernel-6.14.11-3-pve-signed", To: "6.14.11-3"}, Update{Package: "pve-manager", From: "1", To: "2"}, Update{Package: "old-lib", From: "1", Removes: true})
	out, _ := said(t, c, 2, 0, "apt-get --simulate dist-upgrade")
	for _, line := range []string{"Inst proxmox-kernel-6.14.11-3-pve-signed (6.14.11-3 ", "Inst pve-manager [1] (2 ", "Remv old-lib [1]\n", "1 upgraded, 1 newly installed, 1 to remove"} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in %s", line, out)
		}
	}
	said(t, c, 2, 0, "apt-get -y dist-upgrade")
	if out, _ := said(t, c, 2, 0, "apt-get --simulate dist-upgrade"); strings.Contains(out, "Inst") {
		t.Errorf("after the upgrade: %s", out)
	}
	if out, _ := said(t, c, 2, 0, "ls /boot"); !strings.Contains(out, "vmlinuz-6.14.11-3-pve\n") {
		t.Errorf("/boot: %s", out)
	}
	boot, _ := said(t, c, 2, 0, "cat /proc/sys/kernel/random/boot_id")
	if out, _ := said(t, c, 2, 0, "uname -r"); out != kernel+"\n" {
		t.Errorf("before the boot it runs %s", out)
	}
	said(t, c, 2, 0, "systemctl reboot")
	c.Advance(10 * time.Second)
	if down := c.DownNodes(); len(down) != 1 || down[0] != "pve2" {
		t.Errorf("down are %q", down)
	}
	c.Advance(bootTime)
	if out, _ := said(t, c, 2, 0, "uname -r"); out != "6.14.11-3-pve\n" {
		t.Errorf("after the boot it runs %s", out)
	}
	if now, _ := said(t, c, 2, 0, "cat /proc/sys/kernel/random/boot_id"); now == boot {
		t.Error("the boot id is the old one")
	}
}

func TestCephRecoversSomeTimeAfterABoot(t *testing.T) {
	c := spread(t)
	health := func() string { out, _ := said(t, c, 1, 0, "ceph health"); return strings.TrimSpace(out) }
	if health() != "HEALTH_OK" {
		t.Fatal(health())
	}
	said(t, c, 3, 0, "reboot")
	c.Advance(bootTime + 5*time.Second)
	if out, _ := said(t, c, 1, 0, "ceph status"); !strings.Contains(out, `"num_up_osds":4`) {
		t.Errorf("its OSDs are up at once: %s", out)
	}
	c.Advance(osdBoot)
	if out, _ := said(t, c, 1, 0, "ceph status"); !strings.Contains(out, "active+recovering+degraded") || !strings.Contains(out, `"num_up_osds":6`) {
		t.Errorf("nothing to recover: %s", out)
	}
	c.Advance(recoveryTime)
	if health() != "HEALTH_OK" {
		t.Error(health())
	}
	c.StayDown(3, true)
	said(t, c, 3, 0, "reboot")
	c.Advance(10 * bootTime)
	if len(c.DownNodes()) != 1 {
		t.Error("it came back")
	}
}
