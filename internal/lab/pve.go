package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	pveName  = "pvefake"
	pveReady = "Proxmox VE answers"
	pvePort  = "8006"
)

// PVEPassword is that of root@pam in a lab with Proxmox VE.
const PVEPassword = "quorate-lab"

// PVEURL is the API of a node as its own programs reach it.
func (l *Lab) PVEURL() string { return "https://" + loopback + ":" + pvePort }

// PVECA is the path of the certificate that signed those of all nodes, the same inside and outside.
func (l *Lab) PVECA() string { return filepath.Join(l.NodeDir(0), "pve-root-ca.pem") }

// PVEToken is the path of a file, the same inside and outside, with an API token that may read
// everything: USER@REALM!NAME=SECRET.
func (l *Lab) PVEToken() string { return filepath.Join(l.NodeDir(0), "pve-token") }

// PVEDir is what a node has as /etc/pve, as seen on the machine.
func (l *Lab) PVEDir(node int) string { return filepath.Join(l.NodeDir(node), "pve") }

// pveTasksDir is what a node has as /var/log/pve/tasks.
func (l *Lab) pveTasksDir(node int) string { return filepath.Join(l.NodeDir(node), "pve-tasks") }

// ExporterArgs are the flags that `quorate serve` needs on a node of this lab.
func (l *Lab) ExporterArgs() []string {
	var args []string
	if l.o.Ceph {
		args = append(args, "--ceph.config="+l.CephConf(), "--ceph.keyring="+l.CephKeyring())
	}
	if l.o.PVE {
		args = append(args, "--pve.url="+l.PVEURL(), "--pve.ca-file="+l.PVECA(), "--pve.token-file="+l.PVEToken(), "--pve.etc=/etc/pve")
	}
	return args
}

// pveUp starts the process that plays Proxmox VE on all nodes, and returns when all answer. It lives
// in the namespace of the switches, where Down finds it without a record, and outlives its nodes.
func (l *Lab) pveUp(ctx context.Context) error {
	for _, node := range l.Nodes() { // Proxmox VE has it from the start, VMs or not
		if err := os.MkdirAll(l.vmRunDir(node), 0o755); err != nil {
			return err
		}
	}
	self, err := l.self(ctx)
	if err != nil {
		return err
	}
	log := filepath.Join(l.NodeDir(0), pveName+".log")
	err = l.StartDaemon(ctx, Daemon{Name: pveName, Log: log, Argv: []string{
		"nsenter", "--net=" + filepath.Join(netnsDir, l.names.switches()), "--", self, pveName, "--dir", l.o.Dir}})
	if err != nil {
		return err
	}
	return poll(ctx, answerLimit, 20*time.Millisecond, func() error {
		text, err := os.ReadFile(log)
		if err == nil && strings.Contains(string(text), pveReady) {
			return nil
		}
		if !l.Running(0, pveName) {
			return permanent(fmt.Errorf("it ended: %s", lastLine(string(text))))
		}
		return errors.Join(err, fmt.Errorf("it is not ready: %s", lastLine(string(text))))
	})
}
