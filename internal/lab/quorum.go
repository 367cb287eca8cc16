package lab

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const toolTimeout = 5 * time.Second // corosync's tools wait for ever for a hung daemon

// Quorum is what corosync-quorumtool says on one node.
type Quorum struct {
	Quorate     bool
	RingID      string // "1.1a": leader and sequence
	Expected    int    // votes
	Highest     int    // highest expected votes of any member
	Total       int    // votes present
	Needed      int    // votes for quorum
	Flags       []string
	Members     []int // node ids, sorted
	QdeviceVote int   // votes that the QDevice adds
}

// Quorum asks a node. It fails when corosync does not run or does not answer.
func (l *Lab) Quorum(ctx context.Context, node int) (Quorum, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	out, err := l.Run(ctx, node, "corosync-quorumtool", "-s", "-i")
	// A node without quorum makes the tool exit with 2, after its answer.
	if q, parseErr := parseQuorum(out); parseErr == nil {
		return q, nil
	} else if err == nil {
		err = fmt.Errorf("%s: %w", NodeName(node), parseErr)
	}
	return Quorum{}, err
}

var (
	quorumField  = regexp.MustCompile(`(?m)^([A-Z][A-Za-z ]*):[ \t]*(.*?)[ \t]*$`)
	quorumMember = regexp.MustCompile(`(?m)^ +(\d+) +(\d+)(?: +(\S.*))?$`)
)

// parseQuorum reads the output of corosync-quorumtool -s.
func parseQuorum(text string) (Quorum, error) {
	var q Quorum
	fields := map[string]string{}
	for _, m := range quorumField.FindAllStringSubmatch(text, -1) {
		fields[m[1]] = m[2]
	}
	if _, ok := fields["Quorate"]; !ok {
		return q, errors.New("corosync-quorumtool did not say whether it is quorate")
	}
	q.Quorate = fields["Quorate"] == "Yes"
	q.RingID = fields["Ring ID"]
	q.Flags = strings.Fields(fields["Flags"])
	for name, value := range map[string]*int{"Expected votes": &q.Expected, "Highest expected": &q.Highest,
		"Total votes": &q.Total, "Quorum": &q.Needed} {
		// "Quorum: 2 Activity blocked"
		number, _, _ := strings.Cut(fields[name], " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			return q, fmt.Errorf("corosync-quorumtool: %s %q is not a number", name, fields[name])
		}
		*value = n
	}
	_, table, _ := strings.Cut(text, "Membership information")
	for _, m := range quorumMember.FindAllStringSubmatch(table, -1) {
		node, err := strconv.Atoi(m[1])
		if err != nil {
			return q, fmt.Errorf("corosync-quorumtool: node id: %w", err)
		}
		if node == 0 { // the QDevice's line
			q.QdeviceVote, err = strconv.Atoi(m[2])
			if err != nil {
				return q, fmt.Errorf("corosync-quorumtool: QDevice votes: %w", err)
			}
			continue
		}
		q.Members = append(q.Members, node)
	}
	slices.Sort(q.Members)
	return q, nil
}

// KnetLink names one link to one peer.
type KnetLink struct{ Peer, Link int }

// Links says which of a node's knet links are connected.
func (l *Lab) Links(ctx context.Context, node int) (map[KnetLink]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	out, err := l.Run(ctx, node, "corosync-cmapctl", "-m", "stats", "stats.knet.")
	if err != nil {
		return nil, err
	}
	return parseLinks(out), nil
}

var linkConnected = regexp.MustCompile(`(?m)^stats\.knet\.node(\d+)\.link(\d+)\.connected \(u8\) = ([01])$`)

// parseLinks reads the stats map as corosync-cmapctl prints it.
func parseLinks(text string) map[KnetLink]bool {
	links := map[KnetLink]bool{}
	for _, m := range linkConnected.FindAllStringSubmatch(text, -1) {
		n := numbers(m[1:3])
		if len(n) == 2 {
			links[KnetLink{Peer: n[0], Link: n[1]}] = m[3] == "1"
		}
	}
	return links
}

// WaitQuorate returns when corosync is quorate on every node where it runs, and runs on one at least.
// Without a deadline in ctx it gives up after 90 seconds.
func (l *Lab) WaitQuorate(ctx context.Context) error {
	return poll(ctx, waitLimit, waitInterval, func() error {
		running := slices.DeleteFunc(l.Nodes(), func(node int) bool { return !l.Running(node, corosyncName) })
		if len(running) == 0 {
			return errors.New("corosync runs on no node")
		}
		for _, node := range running {
			q, err := l.Quorum(ctx, node)
			if err != nil {
				return err
			}
			if !q.Quorate {
				return fmt.Errorf("%s is not quorate", NodeName(node))
			}
		}
		return nil
	})
}

// WaitMembers returns when a node sees n members, itself among them. Without a deadline in ctx it
// gives up after 90 seconds.
func (l *Lab) WaitMembers(ctx context.Context, node, n int) error {
	return poll(ctx, waitLimit, waitInterval, func() error {
		q, err := l.Quorum(ctx, node)
		if err == nil && len(q.Members) != n {
			err = fmt.Errorf("%s sees the members %v, not %d of them", NodeName(node), q.Members, n)
		}
		return err
	})
}
