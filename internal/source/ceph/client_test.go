package ceph

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// connected returns a Client on the fake cluster.
func connected(t *testing.T, f *fakeCluster, edit ...func(*Options)) *Client {
	t.Helper()
	o := Options{
		ProbeEvery: time.Millisecond, RetryAfter: time.Millisecond,
		look: func(Options) (settings, error) { return settings{}, nil },
		dial: func(Options, settings) (conn, error) { return f, nil },
	}
	for _, e := range edit {
		e(&o)
	}
	c := New(o)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t)
	})
	return c
}

func read(t *testing.T, c *Client) (Snapshot, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.Ceph(ctx)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}

func TestHealthyClusterIsReadWhole(t *testing.T) {
	c := connected(t, healthy())
	s, err := read(t, c)
	if err != nil {
		t.Fatal(err)
	}
	if !s.HasMon || !s.HasMgr || s.Release != (Release{16, 2, 15}) || s.Mon.Health.Status != "HEALTH_OK" {
		t.Errorf("got %+v", s)
	}
	if s.Mgr.Survivable["host"] != 1 || s.Mgr.Survivable["osd"] != 1 || !s.Mgr.OldestKnown {
		t.Errorf("survivable %v, oldest inactive %v %v", s.Mgr.Survivable, s.Mgr.OldestInactive, s.Mgr.OldestKnown)
	}
	for _, st := range c.Stats() {
		if st := st.Status(); !st.Up || !st.Configured {
			t.Errorf("%+v", st)
		}
	}
}

func TestNothingIsReadWithoutQuorum(t *testing.T) {
	f := healthy()
	f.edit(t, "status", `"quorum":[0,1,2]`, `"quorum":[]`)
	c := connected(t, f)
	s, err := read(t, c)
	if !errors.Is(err, ErrNoQuorum) || s.HasMon || s.HasMgr || s.Mon.Health.Status != "" {
		t.Fatalf("a monitor without quorum says HEALTH_OK and was believed: %+v, %v", s, err)
	}
	if mon, mgr := f.total(); mon != 1 || mgr != 0 {
		t.Errorf("%d monitor and %d manager commands after the empty quorum", mon-1, mgr)
	}
	st := c.Stats()[0].Status()
	if st.Up || st.Errors["no_quorum"] != 1 {
		t.Errorf("%+v", st)
	}
}

func TestQuorumLostBetweenCommandsDropsAll(t *testing.T) {
	f := healthy()
	f.fail("osd dump", -eTIMEDOUT)
	f.fail("quorum_status", -eTIMEDOUT)
	s, err := read(t, connected(t, f))
	if !errors.Is(err, ErrTimeout) || s.HasMon {
		t.Fatalf("got %v, %v", s.HasMon, err)
	}
	if n := f.count("df"); n != 0 {
		t.Error("asked on after a timeout")
	}
}

func TestManagerThatHangsCostsOnlyItsPart(t *testing.T) {
	f := healthy()
	release := make(chan struct{})
	f.set("pg stat", func() ([]byte, error) {
		<-release
		return nil, commandError("fake", "pg stat", eTIMEDOUT, "")
	})
	c := connected(t, f, func(o *Options) { o.ProbeEvery = time.Hour })
	for i := range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		s, err := c.Ceph(ctx)
		cancel()
		if err == nil || !s.HasMon || s.HasMgr || s.Mon.OSDMap == nil {
			t.Errorf("scrape %d: mon %v, mgr %v, %v", i, s.HasMon, s.HasMgr, err)
		}
	}
	if n := f.count("pg stat"); n != 1 {
		t.Errorf("the hung manager was asked %d times", n)
	}
	if st := c.Stats(); st[1].Status().Stuck == 0 || st[0].Status().Stuck != 0 || !st[0].Status().Up {
		t.Errorf("monitors %+v, manager %+v", st[0].Status(), st[1].Status())
	}
	close(release)
	until(t, "gate of the manager shut", func() bool { return c.mgrGate.pass() != nil })
	if _, err := read(t, c); !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v", err)
	}
	if n := f.count("pg stat"); n != 1 {
		t.Errorf("asked again while down")
	}
}

func TestMonitorPartStaysWithoutManager(t *testing.T) {
	f := healthy()
	f.edit(t, "status", `"available":true`, `"available":false`)
	c := connected(t, f)
	s, err := read(t, c)
	if !errors.Is(err, ErrNoManager) || !s.HasMon || s.HasMgr || len(s.Mon.OSDMap.OSDs) != 6 {
		t.Fatalf("got %+v, %v", s.HasMon, err)
	}
	if _, mgr := f.total(); mgr != 0 || f.count("df") != 0 {
		t.Errorf("%d manager commands, %d df", mgr, f.count("df"))
	}
	if st := c.Stats()[1].Status(); st.Up || st.Errors["no_mgr"] != 1 {
		t.Errorf("%+v", st)
	}
}

func TestOutageFailsScrapesAtOnceUntilQuorumIsBack(t *testing.T) {
	f := healthy()
	c := connected(t, f)
	f.hang("status", 30*time.Millisecond)
	f.hang("quorum_status", 30*time.Millisecond)
	if _, err := read(t, c); !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	asked := f.count("status")
	for range 20 {
		start := time.Now()
		s, err := read(t, c)
		if d := time.Since(start); !errors.Is(err, ErrTimeout) || s.HasMon || d > 20*time.Millisecond {
			t.Fatalf("%v after %s", err, d)
		}
	}
	if f.count("status") != asked {
		t.Error("scrapes went on asking monitors that are down")
	}
	f.text("quorum_status", `{"quorum":[]}`)
	n := f.count("quorum_status")
	until(t, "probes", func() bool { return f.count("quorum_status") > n+2 })
	if c.monGate.pass() == nil {
		t.Fatal("an empty quorum opened the gate")
	}
	f.set("status", nil)
	f.set("quorum_status", nil)
	until(t, "recovery", func() bool { s, err := read(t, c); return err == nil && s.HasMgr })
}

func TestUnchangedMapsAreReadOnce(t *testing.T) {
	f := healthy()
	c := connected(t, f)
	if _, err := read(t, c); err != nil {
		t.Fatal(err)
	}
	f.forget()
	if _, err := read(t, c); err != nil {
		t.Fatal(err)
	}
	if mon, mgr := f.total(); mon != 3 || mgr != 5 {
		t.Errorf("a steady scrape costs %d monitor and %d manager commands: %v", mon, mgr, f.asked)
	}
	for _, tt := range []struct{ name, cmd, old, new, again string }{
		{"OSD map", "status", `"osdmap":{"epoch":27`, `"osdmap":{"epoch":28`, "osd dump osd metadata osd tree osd crush rule dump"},
		{"election", "status", `"election_epoch":8`, `"election_epoch":10`, "mon dump mon metadata"},
		{"file systems", "status", `"fsmap":{"epoch":1`, `"fsmap":{"epoch":2`, "fs dump"},
		{"manager", "mgr stat", `"epoch":5`, `"epoch":6`, "mgr dump mgr metadata"},
	} {
		f.set(tt.cmd, nil)
		_, _ = read(t, c)
		f.edit(t, tt.cmd, tt.old, tt.new)
		f.forget()
		if _, err := read(t, c); err != nil {
			t.Fatal(err)
		}
		for cmd := range f.asked {
			if strings.Contains(tt.again, cmd) != (f.asked[cmd] == 1 && !steady[cmd]) {
				t.Errorf("new epoch of %s: %s asked %d times", tt.name, cmd, f.asked[cmd])
			}
		}
		if f.count(strings.Join(strings.Fields(tt.again)[:2], " ")) != 1 {
			t.Errorf("new epoch of %s: not read again", tt.name)
		}
	}
}

var steady = map[string]bool{
	"status": true, "mgr stat": true, "df": true, "pg stat": true, "osd perf": true, "osd df": true,
	"osd pool stats": true, "pg dump pools": true,
}

func TestAPartThatFailsCostsOnlyItself(t *testing.T) {
	f := healthy()
	f.fail("mgr dump", -eACCES)
	f.text("osd perf", `{"osdstats":`)
	s, err := read(t, connected(t, f))
	if !errors.Is(err, ErrRefused) || !errors.Is(err, ErrAnswer) {
		t.Errorf("got %v", err)
	}
	if !s.HasMon || !s.HasMgr || s.Mgr.Latencies != nil || len(s.Mgr.OSDUse) != 6 || s.Mon.MgrMap.Active != "x" {
		t.Errorf("got %+v", s.Mgr)
	}
}

func TestClearedChecksAreRememberedAndSeverityIsNew(t *testing.T) {
	f := healthy()
	check := func(severity string) {
		f.edit(t, "status", `"checks":{}`, `"checks":{"OSD_DOWN":{"severity":"`+severity+`","summary":{"message":"1 osds down"}}}`)
	}
	c := connected(t, f)
	for _, step := range []struct {
		name   string
		before func()
		want   []HealthCheck
	}{
		{"never raised", func() {}, nil},
		{"raised", func() { check("HEALTH_WARN") }, []HealthCheck{{"OSD_DOWN", "HEALTH_WARN", "1 osds down", true}}},
		{"worse", func() { check("HEALTH_ERR") }, []HealthCheck{{"OSD_DOWN", "HEALTH_ERR", "1 osds down", true}}},
		{"gone", func() { f.set("status", nil) }, []HealthCheck{{"OSD_DOWN", "HEALTH_ERR", "", false}}},
	} {
		step.before()
		s, err := read(t, c)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Mon.Health.Checks) != len(step.want) || len(step.want) > 0 && s.Mon.Health.Checks[0] != step.want[0] {
			t.Errorf("%s: got %+v", step.name, s.Mon.Health.Checks)
		}
	}
}

func TestFirstConnectTellsWhyItFailed(t *testing.T) {
	refused := newError(ErrRefused, nil, "refused")
	for _, tt := range []struct {
		name  string
		edit  func(*Options)
		want  Kind
		fatal bool
	}{
		{"refused", func(o *Options) { o.dial = func(Options, settings) (conn, error) { return nil, refused } }, ErrRefused, true},
		{"wrong cluster", func(o *Options) {
			o.look = func(Options) (settings, error) { return settings{fsid: "another"}, nil }
		}, ErrWrongCluster, true},
		{"timeout", func(o *Options) {
			o.dial = func(Options, settings) (conn, error) { return nil, newError(ErrTimeout, nil, "no answer") }
		}, ErrTimeout, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := connected(t, healthy(), tt.edit)
			err := <-c.FirstConnect()
			if !errors.Is(err, tt.want) || Fatal(err) != tt.fatal {
				t.Errorf("got %v, fatal %v", err, Fatal(err))
			}
			if _, err := read(t, c); !errors.Is(err, tt.want) {
				t.Errorf("scrape says %v", err)
			}
		})
	}
}

func TestCephThatIsNotThereIsPickedUpWhenItAppears(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "ceph.conf")
	c := connected(t, healthy(), func(o *Options) { o.ConfFile, o.look = conf, check })
	if _, err := read(t, c); !errors.Is(err, ErrNotConfigured) {
		t.Fatal(err)
	}
	if st := c.Stats()[0].Status(); st.Configured || len(st.Errors) != 0 && st.Errors["not_configured"] != 0 {
		t.Errorf("%+v", st)
	}
	if err := os.WriteFile(conf, []byte("[global]\nkey = x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "pick up", func() bool { _, err := read(t, c); return err == nil })
	if st := c.Stats()[0].Status(); !st.Configured || !st.Up {
		t.Errorf("%+v", st)
	}
}

func TestLostConnectionIsMadeAnew(t *testing.T) {
	f := healthy()
	dials := make(chan struct{}, 100)
	c := connected(t, f, func(o *Options) {
		o.dial = func(Options, settings) (conn, error) { dials <- struct{}{}; return f, nil }
	})
	<-dials
	f.fail("status", -eNOTCONN)
	if _, err := read(t, c); !errors.Is(err, ErrNotConnected) {
		t.Fatal(err)
	}
	f.set("status", nil)
	until(t, "second connection", func() bool { _, err := read(t, c); return err == nil })
	if len(dials) != 1 {
		t.Errorf("%d more dials", len(dials))
	}
}

func TestScrapeWaitsForTheFirstConnectionButNotLonger(t *testing.T) {
	gate := make(chan struct{})
	c := connected(t, healthy(), func(o *Options) {
		o.dial = func(Options, settings) (conn, error) { <-gate; return nil, newError(ErrTimeout, nil, "x") }
	})
	defer close(gate)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := c.Ceph(ctx); !errors.Is(err, ErrNotConnected) {
		t.Error(err)
	}
	if d := time.Since(start); d < 20*time.Millisecond || d > time.Second {
		t.Errorf("waited %s", d)
	}
}

func TestCheckNamesTheFileAndTheRemedy(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := write("good.keyring", "[client.quorate]\n\tkey = AQsecret==\n")
	other := write("other.keyring", "[client.admin]\n\tkey = AQsecret==\n")
	conf := write("ceph.conf", "[global]\nfsid = f\n[client]\nkeyring = "+dir+"/$name.keyring\n")
	viaConf := write("via.conf", "[client.quorate]\n keyring="+good+"\n")
	bad := write("bad.conf", "[global]\nfsid\n")
	for _, tt := range []struct {
		name string
		o    Options
		want Kind
		says []string
	}{
		{"good", Options{ConfFile: conf, Keyring: good}, "", nil},
		{"keyring named by ceph.conf", Options{ConfFile: viaConf, User: "client.quorate"}, "", nil},
		{"no ceph.conf", Options{ConfFile: dir + "/none"}, ErrNotConfigured, []string{dir + "/none"}},
		{"malformed ceph.conf", Options{ConfFile: bad}, ErrConf, []string{bad + ":2: "}},
		{"key of another user", Options{ConfFile: conf, Keyring: other}, ErrKeyring, []string{other, "client.quorate", "ceph auth get-or-create client.quorate mon 'allow r' mgr 'allow r' -o /etc/ceph/"}},
		{"no keyring", Options{ConfFile: conf, Keyring: dir + "/none.keyring"}, ErrKeyring, []string{dir + "/none.keyring", "-o " + dir}},
		{"unreadable keyring", Options{ConfFile: conf, Keyring: dir}, ErrKeyring, []string{dir, "read it"}},
		{"no keyring anywhere", Options{ConfFile: conf, User: "nobody-here"}, ErrKeyring, []string{dir + "/client.nobody-here.keyring", "/etc/pve/priv/ceph.client.nobody-here.keyring"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(tt.o)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, tt.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "AQsecret") {
				t.Fatalf("got %v", err)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}
