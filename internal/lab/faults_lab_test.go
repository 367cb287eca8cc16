package lab

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// fact is what corosync's own tools show while a fault is in effect.
type fact func(ctx context.Context, l *Lab) error

// sees claims what one node says of the cluster.
func sees(node int, quorate bool, total int, members ...int) fact {
	return func(ctx context.Context, l *Lab) error {
		q, err := l.Quorum(ctx, node)
		if err == nil && (q.Quorate != quorate || q.Total != total || !slices.Equal(q.Members, members)) {
			err = fmt.Errorf("%s: quorate %t, %d votes, members %v", NodeName(node), q.Quorate, q.Total, q.Members)
		}
		return err
	}
}

func expects(node, votes int) fact {
	return func(ctx context.Context, l *Lab) error {
		q, err := l.Quorum(ctx, node)
		if err == nil && q.Expected != votes {
			err = fmt.Errorf("%s expects %d votes", NodeName(node), q.Expected)
		}
		return err
	}
}

// waitsForAll claims the trap of wait_for_all: enough votes and no quorum.
func waitsForAll(node int) fact {
	return func(ctx context.Context, l *Lab) error {
		q, err := l.Quorum(ctx, node)
		if err == nil && (q.Quorate || q.Total < q.Needed || !slices.Contains(q.Flags, "WaitForAll")) {
			err = fmt.Errorf("%s: quorate %t with %d of %d votes, flags %v", NodeName(node), q.Quorate, q.Total, q.Needed, q.Flags)
		}
		return err
	}
}

func connected(node, peer, link int, want bool) fact {
	return func(ctx context.Context, l *Lab) error {
		links, err := l.Links(ctx, node)
		if have, known := links[KnetLink{peer, link}]; err == nil && (!known || have != want) {
			err = fmt.Errorf("%s: link %d to %s: connected %t", NodeName(node), link, NodeName(peer), have)
		}
		return err
	}
}

func silent(node int) fact {
	return func(ctx context.Context, l *Lab) error {
		if q, err := l.Quorum(ctx, node); err == nil {
			return fmt.Errorf("%s answers: %+v", NodeName(node), q)
		}
		return nil
	}
}

// roundTrip claims how long a refused connection takes: one round trip.
func roundTrip(from, to, network int, atLeast, atMost time.Duration) fact {
	return func(ctx context.Context, l *Lab) error {
		began := time.Now()
		conn, err := l.Dial(ctx, from, "tcp", net.JoinHostPort(l.Addr(to, network).String(), "9"))
		if err == nil {
			conn.Close()
			return fmt.Errorf("port 9 of %s is open", NodeName(to))
		}
		took := time.Since(began)
		if !strings.Contains(err.Error(), "refused") || took < atLeast || took > atMost {
			return fmt.Errorf("after %s: %w", took, err)
		}
		return nil
	}
}

func unreachable(from, to, network int) fact {
	return func(ctx context.Context, l *Lab) error {
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_, err := l.Dial(ctx, from, "tcp", net.JoinHostPort(l.Addr(to, network).String(), "9"))
		if err == nil || strings.Contains(err.Error(), "refused") {
			return fmt.Errorf("%s reaches %s in network %d: %v", NodeName(from), NodeName(to), network, err)
		}
		return nil
	}
}

func TestLabFaults(t *testing.T) {
	t.Parallel()
	l := startLab(t, Options{Nodes: 3})
	for _, test := range []struct {
		faults []string
		facts  []fact
	}{
		{[]string{"node-down 3"}, []fact{silent(3), unreachable(1, 3, Storage), sees(1, true, 2, 1, 2)}},
		{[]string{"node-down 2 3"}, []fact{sees(1, false, 1, 1), silent(2), silent(3)}},
		{[]string{"partition 1 2,3"}, []fact{sees(1, false, 1, 1), sees(2, true, 2, 2, 3), unreachable(1, 2, Storage)}},
		{[]string{"partition-links 1"}, []fact{sees(1, false, 1, 1), sees(3, true, 2, 2, 3), roundTrip(1, 2, Storage, 0, time.Second)}},
		{[]string{"link-down 3 0"}, []fact{connected(1, 3, 0, false), connected(1, 3, 1, true), connected(1, 2, 0, true), sees(1, true, 3, 1, 2, 3)}},
		{[]string{"link-delay 2 0 40 5"}, []fact{roundTrip(1, 2, Link0, 80*time.Millisecond, 500*time.Millisecond), roundTrip(1, 3, Link0, 0, 60*time.Millisecond)}},
		{[]string{"link-loss 2 1 100"}, []fact{connected(1, 2, 1, false), connected(1, 2, 0, true), connected(1, 3, 1, true)}},
		{[]string{"link-delay 1 0 30", "link-loss 1 0 5"}, []fact{roundTrip(1, 2, Link0, 60*time.Millisecond, 500*time.Millisecond), connected(2, 1, 0, true)}},
		{[]string{"corosync-stop 3"}, []fact{silent(3), sees(1, true, 2, 1, 2)}},
		{[]string{"corosync-kill 1"}, []fact{silent(1), sees(2, true, 2, 2, 3)}},
		{[]string{"corosync-hang 2"}, []fact{sees(1, true, 2, 1, 3), silent(2)}},
		{[]string{"wait-for-all"}, []fact{waitsForAll(1), waitsForAll(2), sees(1, false, 2, 1, 2), silent(3)}},
		{[]string{"node-down 3", "link-down 1 0"}, []fact{sees(1, true, 2, 1, 2), connected(1, 2, 0, false)}},
	} {
		t.Run(strings.Join(test.faults, " and "), func(t *testing.T) {
			for _, fault := range test.faults {
				words := strings.Fields(fault)
				if err := l.Inject(t.Context(), words[0], words[1:]...); err != nil {
					t.Fatal(err)
				}
			}
			for _, claim := range test.facts {
				eventually(t, func(ctx context.Context) error { return claim(ctx, l) })
			}
			healed(t, l)
		})
	}
	t.Run("expected-votes", func(t *testing.T) { forcedVotes(t, l) })
}

// healed heals everything and holds the lab against the state it started in.
func healed(t *testing.T, l *Lab) {
	t.Helper()
	began := time.Now()
	if err := l.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("healed after %s", time.Since(began).Round(10*time.Millisecond))
	if active := l.Active(); len(active) > 0 {
		t.Errorf("still active: %v", active)
	}
	for _, node := range l.Nodes() {
		for _, claim := range []fact{sees(node, true, configuredVotes(l.o), l.Nodes()...), expects(node, configuredVotes(l.o))} {
			if err := claim(t.Context(), l); err != nil {
				t.Error(err)
			}
		}
	}
}

// forcedVotes makes one node of three quorate by force, and takes that back while the others are
// still down, when votequorum refuses the true number.
func forcedVotes(t *testing.T, l *Lab) {
	ctx := t.Context()
	inject := func(name string, args ...string) {
		if err := l.Inject(ctx, name, args...); err != nil {
			t.Fatal(err)
		}
	}
	inject("node-down", "2", "3")
	eventually(t, func(ctx context.Context) error { return sees(1, false, 1, 1)(ctx, l) })
	inject("expected-votes", "1")
	eventually(t, func(ctx context.Context) error { return sees(1, true, 1, 1)(ctx, l) })
	if err := expects(1, 1)(ctx, l); err != nil {
		t.Error(err)
	}
	if err := l.Heal(ctx, "expected-votes"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error { return sees(1, false, 1, 1)(ctx, l) })
	if err := expects(1, 3)(ctx, l); err != nil {
		t.Error(err)
	}
	healed(t, l)
}

func TestLabQDeviceDecidesAnEvenSplit(t *testing.T) {
	t.Parallel()
	l := startLab(t, Options{Nodes: 2, QDevice: true})
	for _, test := range []struct {
		fault string
		facts []fact
	}{
		{"partition 1 2", []fact{sees(1, true, 2, 1), sees(2, false, 1, 2)}}, // the tie goes to the lowest id
		{"node-down 1", []fact{sees(2, true, 2, 2)}},
		{"qnetd-down", []fact{sees(1, true, 2, 1, 2)}},
		{"qdevice-down 2", []fact{sees(2, true, 2, 1, 2), sees(1, true, 3, 1, 2)}},
		{"corosync-kill 2", []fact{sees(1, true, 2, 1)}},
	} {
		t.Run(test.fault, func(t *testing.T) {
			words := strings.Fields(test.fault)
			if err := l.Inject(t.Context(), words[0], words[1:]...); err != nil {
				t.Fatal(err)
			}
			for _, claim := range test.facts {
				eventually(t, func(ctx context.Context) error { return claim(ctx, l) })
			}
			healed(t, l)
		})
	}
}

func TestLabNodeDownTakesItsCephAlong(t *testing.T) {
	t.Parallel()
	l := cephLab(t, Options{Nodes: 3})
	ceph := onNode(l.cephPlan().all(), 3)
	if len(ceph) == 0 {
		t.Fatal("no Ceph daemon on node 3")
	}
	for _, d := range ceph {
		if !l.Running(3, d.name()) {
			t.Errorf("%s does not run before the fault", d.name())
		}
	}
	if err := l.Inject(t.Context(), "node-down", "3"); err != nil {
		t.Fatal(err)
	}
	for _, d := range ceph {
		if l.Running(3, d.name()) {
			t.Errorf("%s survives its node", d.name())
		}
	}
	healed(t, l)
	s, err := l.cephStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.healthy(l.cephPlan()); err != nil {
		t.Errorf("after the node came back: %v", err)
	}
}
