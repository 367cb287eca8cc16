package lab

import (
	"slices"
	"strings"
	"testing"
)

func TestABareLabSaysWhatCannotBeMadeYet(t *testing.T) {
	ctx := t.Context()
	for _, test := range []struct {
		name string
		bare bool
		made made
		do   func(l *Lab) error
		want string
	}{
		{"a lab that has all", false, made{}, func(l *Lab) error { return l.MakeMon(ctx, 1) }, "Options.Bare"},
		{"no such node", true, made{}, func(l *Lab) error { return l.MakeMon(ctx, 4) }, "nodes 1 to 3"},
		{"a join without a cluster", true, made{}, func(l *Lab) error { return l.JoinCluster(ctx, 2) }, "no cluster"},
		{"a second cluster", true, made{Cluster: "a", Members: 1}, func(l *Lab) error { return l.MakeCluster(ctx, "b") }, "in cluster a already"},
		{"a join out of order", true, made{Cluster: "a", Members: 1}, func(l *Lab) error { return l.JoinCluster(ctx, 3) }, "the next is pve2"},
		{"a member joins again", true, made{Cluster: "a", Members: 2}, func(l *Lab) error { return l.JoinCluster(ctx, 2) }, "the next is pve3"},
		{"a manager without a monitor", true, made{}, func(l *Lab) error { return l.MakeMgr(ctx, 1) }, errNoMon.Error()},
		{"an OSD without a monitor", true, made{}, func(l *Lab) error { _, err := l.MakeOSD(ctx, 1); return err }, errNoMon.Error()},
		{"a pool without placement groups", true, made{}, func(l *Lab) error { return l.MakePool(ctx, 1, "p", nil) }, "pg_num"},
		{"an unknown setting of a pool", true, made{}, func(l *Lab) error { return l.SetPool(ctx, 1, "p", map[string]string{"colour": "red"}) }, "cannot set colour"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(Options{Dir: t.TempDir(), Nodes: 3, Bare: test.bare})
			if err := l.claim(); err != nil {
				t.Fatal(err)
			}
			if err := l.saveMade(test.made); err != nil {
				t.Fatal(err)
			}
			if err := test.do(l); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
			if now, err := l.made(); err != nil || now.Members != test.made.Members || len(now.Daemons) > 0 {
				t.Errorf("afterwards %+v, %v; want nothing made", now, err)
			}
		})
	}
}

func TestCephConfOfABareLabNamesTheDaemonsThatWereMade(t *testing.T) {
	l := newLab(Options{Dir: t.TempDir(), Nodes: 3, Bare: true})
	if err := l.saveMade(made{Daemons: []madeDaemon{{"mon", "pve2", 2}, {"osd", "0", 3}}}); err != nil {
		t.Fatal(err)
	}
	text := l.cephPlan().render("f")
	for _, want := range []string{"mon_host = [v2:10.77.1.2:3300,v1:10.77.1.2:6789]\n", "[mon.pve2]\nhost = pve2\n", "[osd.0]\nhost = pve3\n", "osd_pool_default_size = 3\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("ceph.conf lacks %q", want)
		}
	}
	if strings.Contains(text, "pve1") {
		t.Error("ceph.conf names pve1, which has no daemon")
	}
}

func TestABareLabLeavesTheExportersClientToOthers(t *testing.T) {
	for _, bare := range []bool{false, true} {
		l := newLab(Options{Dir: t.TempDir(), Nodes: 3, Bare: bare})
		has := slices.ContainsFunc(l.cephPlan().identities(), func(id cephIdentity) bool { return id.name == cephClient })
		if has == bare {
			t.Errorf("bare %v: %s is made: %v", bare, cephClient, has)
		}
	}
}
