package steps

import (
	"context"
	"fmt"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

// What is done about a node that the cluster lists and that never came up.

// pair says whether a member waits for the vote of the joiner alone: nobody else could make a quorum
// without it.
func pair(m living.View) bool { return !m.Quorate && len(m.Members) == 2 }

// repairAdvice is how a person takes the joiner out again. The order matters: `pvecm expected 1` while
// corosync runs on the other node makes two clusters of one.
func repairAdvice(m living.View, member, name string) string {
	text := fmt.Sprintf("look at `journalctl -u corosync -u pve-cluster` on %[1]s; if it is not going to come, and has no guests, apply --target join --repair-join joins it again. "+
		"By hand: on %[1]s `systemctl stop pve-cluster corosync; pmxcfs -l; rm -f /etc/pve/corosync.conf /etc/corosync/*; killall pmxcfs; systemctl start pve-cluster`; then on %[2]s ", name, member)
	switch {
	case pair(m):
		text += fmt.Sprintf("`pvecm expected 1`, as it lacks the vote of %[1]s (only now that corosync is stopped on %[1]s: before, that splits the cluster), and `pvecm delnode %[1]s`", name)
	case !m.Quorate:
		text += fmt.Sprintf("`pvecm delnode %s`, once enough of the other members are back for quorum", name)
	default:
		text += fmt.Sprintf("`pvecm delnode %s`", name)
	}
	return text + "; then run apply again"
}

// repair takes a node that joined halfway out of the cluster again. Guests would show that it was a
// proper member once; the cluster knows them even of a node that does not answer.
func (s *joinStep) repair(ctx context.Context, m living.View, name string, report engine.Reporter) error {
	rows, err := s.texts(ctx, m.Node, "/cluster/resources?type=vm")
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r["node"] == name {
			return fmt.Errorf("%s has guests, such as %s: it is not repaired by a program", name, r["id"])
		}
	}
	report.Progress(name, "is taken out of the cluster")
	if !m.Quorate {
		if err := s.quorumOfOne(ctx, m, name); err != nil {
			return err
		}
	}
	if err := s.Nodes.API(m.Node).Delete(ctx, "/cluster/config/nodes/"+name, nil); err != nil {
		return err
	}
	for _, c := range transport.LeaveCluster() {
		if _, err := s.Nodes.Shell(name).Run(ctx, c); err != nil {
			return err
		}
	}
	s.Nodes.Renew(name, "") // what its certificate is now, nobody has seen
	return s.poll(name+" to answer, alone", s.Limits.Reach).Until(ctx, func(ctx context.Context) (bool, string, error) {
		own, err := s.view(ctx, name)
		return err == nil && own.Name == "", "it is in cluster " + own.Name, err
	})
}

// quorumOfOne gives a member its quorum back that it lost to the joiner. Corosync of the joiner is
// stopped first: that nobody else is in corosync.conf is what makes the rest safe.
func (s *joinStep) quorumOfOne(ctx context.Context, m living.View, name string) error {
	ring, err := s.ring(ctx, m.Node)
	if err != nil {
		return err
	}
	if len(ring) != 2 || ring[name] == nil || ring[m.Node] == nil {
		return &engine.Advice{Node: m.Node, Err: fmt.Errorf("%s has no quorum, and the cluster has %d nodes", m.Node, len(ring)),
			Do: "bring the other nodes back first; without quorum no node can be taken out"}
	}
	if _, err := s.Nodes.Shell(name).Run(ctx, transport.StopService("corosync")); err != nil {
		return err
	}
	if _, err := s.Nodes.Shell(m.Node).Run(ctx, transport.ExpectVotes(1)); err != nil {
		return err
	}
	return s.poll("quorum of "+m.Node+" alone", s.Limits.Quorum).Until(ctx, func(ctx context.Context) (bool, string, error) {
		v, err := s.view(ctx, m.Node)
		return v.Quorate, "it has none", err
	})
}
