package provisionproof

import (
	"bytes"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
	"github.com/quorate/quorate/provision/verify"
)

func newWorld(t *testing.T, v pvefake.Version) *World {
	t.Helper()
	c, err := Homelab("../..", v)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWorld(c, v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

var versions = []pvefake.Version{pvefake.V84, pvefake.V92}

func apply(t *testing.T, w *World) Run {
	t.Helper()
	var log bytes.Buffer
	p := engine.NewPrinter(&log, nil, false)
	p.Verbose = true
	run, err := w.Apply(t.Context(), p.Tell)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return run
}

func TestApplyBuildsTheHomelabAndASecondOneWritesNothing(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			w := newWorld(t, v)
			w.Parallel = 4
			first, second := apply(t, w), apply(t, w)
			t.Logf("first: %d requests, %d writes in %s; second: %d requests, %d writes", first.Requests, first.Writes, first.Result.Took, second.Requests, second.Writes)
			if first.Writes < 50 || second.Writes != 0 || second.Result.Changed != 0 {
				t.Errorf("%d writes, then %d with %d changes; want many, then none", first.Writes, second.Writes, second.Result.Changed)
			}
			p, err := w.Plan(t.Context())
			if err != nil || p.Writes() > 0 || p.Blocked() != nil {
				t.Errorf("a plan after apply: %v, %v", p.Summary(), err)
			}
			if err := w.unwiped(); err != nil {
				t.Error(err)
			}
			if err := w.spoken(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAPlanForEmptyMachinesIsCompleteAndOnlyReads(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			w := newWorld(t, v)
			p, err := w.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Blocked(); err != nil {
				t.Fatal(err)
			}
			for _, c := range w.Fake.Calls() {
				read := c.Method == "GET" || c.Method == "SSH" && (transport.Command{Argv: strings.Fields(c.Path)}).Reads()
				if !read && c.Path != "/access/ticket" {
					t.Errorf("plan sent %s %s", c.Method, c.Path)
				}
			}
			run := apply(t, w)
			if planned := p.Writes(); planned != run.Result.Changed {
				t.Errorf("%d changes were planned, %d made", planned, run.Result.Changed)
			}
		})
	}
}

func TestVerifyAcceptsWhatApplyMade(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			w := newWorld(t, v)
			apply(t, w)
			r := report(t, w)
			var b bytes.Buffer
			if err := r.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			if !r.OK() || len(r.Checks) < 11 {
				t.Errorf("\n%s", b.String())
			}
		})
	}
}

func report(t *testing.T, w *World) verify.Report {
	t.Helper()
	e, closer, err := w.Env()
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if err := e.Connect(t.Context(), false); err != nil {
		t.Logf("connect: %v", err)
	}
	return verify.Run(t.Context(), e, verify.Options{Now: w.Fake.Now})
}

func TestVerifyTellsWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name string
		harm func(w *World) error
		want []string // checks that are not ok
	}{
		{"a node is down", func(w *World) error {
			err := w.Fake.SetNodeDown(3, true)
			w.Fake.Advance(30e9)
			return err
		}, []string{"votes", "nodes-online", "ceph-health", "ceph-monitors", "ceph-osds", "storages"}},
		{"Ceph is not well", func(w *World) error {
			return w.Fake.SetCephHealth("HEALTH_WARN", map[string]string{"POOL_APP_NOT_ENABLED": "1 pool(s) do not have an application enabled"})
		}, []string{"ceph-health"}},
		{"no quorum", func(w *World) error {
			w.Fake.Partition([]int{1}, []int{2}, []int{3})
			w.Fake.Advance(30e9)
			return nil
		}, []string{"quorate", "votes", "nodes-online"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, pvefake.V92)
			apply(t, w)
			if err := tt.harm(w); err != nil {
				t.Fatal(err)
			}
			bad := map[string]string{}
			for _, c := range report(t, w).Checks {
				if c.Result != verify.OK {
					bad[c.Name] = c.Found
				}
			}
			for _, name := range tt.want {
				if _, ok := bad[name]; !ok {
					t.Errorf("check %s is ok; not ok: %v", name, bad)
				}
			}
			if tt.name == "Ceph is not well" && len(bad) != 1 {
				t.Errorf("not ok: %v, want ceph-health alone", bad)
			}
		})
	}
}
