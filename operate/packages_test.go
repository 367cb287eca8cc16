package operate

import (
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
)

func TestAPinnedKernelIsTheOneThatBoots(t *testing.T) {
	l := newRollingLab(t, pvefake.V92)
	if exit, _, stderr := l.fake.RunCommand(1, "install -D -m 0644 /dev/stdin /etc/kernel/proxmox-boot-pin", "6.14.8-2-pve\n"); exit != 0 {
		t.Fatal(stderr)
	}
	if exit, _, stderr := l.fake.RunCommand(1, "apt-get -y dist-upgrade", ""); exit != 0 {
		t.Fatal(stderr)
	}
	h, err := l.readHost(t.Context(), "pve1")
	if err != nil || h.Boots != "6.14.8-2-pve" || (RollingUpdate{}).boots(h) {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestParseUpgrade(t *testing.T) {
	const text = `NOTE: This is only a simulation!
Reading package lists... Done
The following packages have been kept back:
  qemu-server
Remv old-lib [1.2-3] [pve-manager:amd64 ]
Inst base-files [12.4+deb12u5] (12.4+deb12u6 Debian:12.6/stable [amd64])
Inst proxmox-kernel-6.14.11-3-pve-signed (6.14.11-3 Proxmox Debian Repository:stable [amd64])
Conf base-files (12.4+deb12u6 Debian:12.6/stable [amd64])
`
	updates, removes := parseUpgrade(text)
	want := []Package{{"base-files", "12.4+deb12u5", "12.4+deb12u6"}, {"proxmox-kernel-6.14.11-3-pve-signed", "", "6.14.11-3"}}
	if !slices.Equal(updates, want) || !slices.Equal(removes, []string{"old-lib"}) {
		t.Errorf("got %+v and %q", updates, removes)
	}
}

// FuzzParseUpgrade feeds anything to what reads the words of a node.
func FuzzParseUpgrade(f *testing.F) {
	f.Add("Inst a [1] (2 Debian:12 [amd64])\nRemv b [3]\n")
	f.Add("Inst a\nInst\nRemv")
	f.Add("vmlinuz-6.8.12-9-pve vmlinuz-6.8.12-10-pve\nQuorate:   Yes\n")
	f.Fuzz(func(t *testing.T, text string) {
		updates, removes := parseUpgrade(text)
		if n := strings.Count(text, "Inst") + strings.Count(text, "Remv"); len(updates)+len(removes) > n {
			t.Errorf("%d packages of %d lines", len(updates)+len(removes), n)
		}
		newest := newestKernel(text)
		if !strings.Contains(text, "vmlinuz-"+newest) && newest != "" || compareVersions(newest, text) != -compareVersions(text, newest) {
			t.Errorf("the newest kernel is %q", newest)
		}
		if q := parseQuorate(text); q != nil && !strings.Contains(text, "Quorate:") {
			t.Error("quorate out of nothing")
		}
	})
}

func TestNewestKernel(t *testing.T) {
	for _, tt := range []struct{ name, boot, want string }{
		{"numbers are numbers", "vmlinuz-6.8.12-9-pve\nvmlinuz-6.8.12-10-pve\ninitrd.img-6.9.0-1-pve", "6.8.12-10-pve"},
		{"a longer version", "vmlinuz-6.14.11-3-pve vmlinuz-6.8.12-39-pve", "6.14.11-3-pve"},
		{"the same with more to it", "vmlinuz-6.8.12-9 vmlinuz-6.8.12-9-pve", "6.8.12-9-pve"},
		{"none", "grub config-6.8", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := newestKernel(tt.boot); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
