package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

const (
	qnetdName = "qnetd"
)

// makeQnetd starts the qnetd server and gives all nodes their certificates, by the steps of
// `pvecm qdevice setup` with file copies in place of ssh.
func (l *Lab) makeQnetd(ctx context.Context) error {
	if _, err := l.Run(ctx, qnetdNode, "corosync-qnetd-certutil", "-i"); err != nil {
		return err
	}
	serverEtc := filepath.Join(l.NodeDir(qnetdNode), "etc")
	nodeEtc := func(node int) string { return filepath.Join(l.NodeDir(node), "etc") }
	certutil := func(node int, args ...string) error {
		_, err := l.Run(ctx, node, append([]string{"corosync-qdevice-net-certutil"}, args...)...)
		return err
	}
	err := each(l.Nodes(), func(node int) error {
		if err := os.MkdirAll(filepath.Join(nodeEtc(node), "qdevice/net"), 0o755); err != nil {
			return err
		}
		if err := copyFile(serverEtc+"/qnetd/nssdb/qnetd-cacert.crt", nodeEtc(node)+"/qnetd-cacert.crt"); err != nil {
			return err
		}
		return certutil(node, "-i", "-c", "/etc/corosync/qnetd-cacert.crt")
	})
	if err != nil {
		return err
	}
	const first = 1
	request, signed := "qdevice-net-node.crq", "cluster-"+clusterName+".crt"
	for _, step := range []func() error{
		func() error { return certutil(first, "-r", "-n", clusterName) },
		func() error { return copyFile(nodeEtc(first)+"/qdevice/net/nssdb/"+request, serverEtc+"/"+request) },
		func() error {
			_, err := l.Run(ctx, qnetdNode, "corosync-qnetd-certutil", "-s", "-c", "/etc/corosync/"+request, "-n", clusterName)
			return err
		},
		func() error { return copyFile(serverEtc+"/qnetd/nssdb/"+signed, nodeEtc(first)+"/"+signed) },
		func() error { return certutil(first, "-M", "-c", "/etc/corosync/"+signed) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	const key = "qdevice-net-node.p12"
	err = each(l.Nodes()[1:], func(node int) error {
		if err := copyFile(nodeEtc(first)+"/qdevice/net/nssdb/"+key, nodeEtc(node)+"/"+key); err != nil {
			return err
		}
		return certutil(node, "-m", "-c", "/etc/corosync/"+key)
	})
	if err != nil {
		return err
	}
	return l.startQnetd(ctx)
}

func (l *Lab) startQnetd(ctx context.Context) error {
	if l.Running(qnetdNode, qnetdName) {
		return nil
	}
	return l.StartDaemon(ctx, Daemon{Node: qnetdNode, Name: qnetdName, Argv: []string{"corosync-qnetd", "-f", "-s", "on"}})
}

// startQdevice waits for corosync, without which corosync-qdevice ends at once.
func (l *Lab) startQdevice(ctx context.Context, node int) error {
	err := poll(ctx, waitLimit, waitInterval, func() error {
		if !l.Running(node, corosyncName) {
			return permanent(fmt.Errorf("%s: corosync ended, see %s", NodeName(node), filepath.Join(l.NodeDir(node), "log/corosync.log")))
		}
		_, err := l.Quorum(ctx, node)
		return err
	})
	if err != nil || l.Running(node, qdeviceName) {
		return err
	}
	return l.StartDaemon(ctx, Daemon{Node: node, Name: qdeviceName, Argv: []string{"corosync-qdevice", "-f"}})
}

// qdevicesDown are the nodes whose QDevice a fault has stopped.
func (l *Lab) qdevicesDown() []int {
	var nodes []int
	for _, f := range l.inEffect() {
		if f.Name == faultQdeviceDown {
			nodes = append(nodes, numbers(f.Args)...)
		}
	}
	slices.Sort(nodes)
	return nodes
}

func (l *Lab) needQDevice() error {
	if l.o.QDevice {
		return nil
	}
	return errors.New("this lab has no QDevice (start it with: quorate-lab up --qdevice)")
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeFile(to, text, 0o600)
}
