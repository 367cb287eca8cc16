package pvefake

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOrderOfKeysAndRowsIsRandom(t *testing.T) {
	c := newCluster(t, Options{Nodes: 5})
	cl := root(t, c)
	seen := map[string]bool{}
	for range 20 {
		seen[string(cl.get("/cluster/config/join").body)] = true
	}
	if len(seen) < 5 {
		t.Errorf("%d different texts of 20, want a random order each time", len(seen))
	}
}

func TestStartMovesTheClusterWithTheWallClock(t *testing.T) {
	c := newCluster(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begin := c.Now()
	c.Start(ctx)
	deadline := time.Now().Add(5 * time.Second)
	for c.Now().Equal(begin) {
		if time.Now().After(deadline) {
			t.Fatal("the clock stands still")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestOneNodeWithoutAClusterIsStandalone(t *testing.T) {
	c := newCluster(t, Options{Nodes: 1})
	cl := root(t, c)
	rows := cl.must("/cluster/status").([]any)
	if len(rows) != 1 || rows[0].(map[string]any)["nodeid"] != 0.0 {
		t.Errorf("status %v", rows)
	}
	if a := cl.get("/cluster/config/join"); a.status != 424 || a.reason != "node is not in a cluster, no join info available!" {
		t.Errorf("join info: %d %q", a.status, a.reason)
	}
}

// pve-http-server src/PVE/APIServer/AnyEvent.pm.
func TestRouterRefusesWhatItDoesNotKnow(t *testing.T) {
	c := newCluster(t, Options{})
	cl := root(t, c)
	for name, tc := range map[string]struct{ method, path, reason string }{
		"path":   {"GET", "/foo", "Method 'GET /foo' not implemented"},
		"verb":   {"PUT", "/version", "Method 'PUT /version' not implemented"},
		"method": {"PATCH", "/version", "method 'PATCH' not available"},
	} {
		if a := cl.do(1, tc.method, tc.path, nil); a.status != 501 || a.reason != tc.reason {
			t.Errorf("%s: %d %q, want 501 %q", name, a.status, a.reason, tc.reason)
		}
	}
	if a := cl.get("/nodes/pve9/status"); a.status != 500 || !strings.HasPrefix(a.reason, "hostname lookup 'pve9' failed") {
		t.Errorf("unknown node: %d %q", a.status, a.reason)
	}
}

func TestAFormatNobodyCheckedRefusesEverything(t *testing.T) {
	c := newCluster(t, Options{Guests: []Guest{{VMID: 100}}})
	a := root(t, c).do(1, "POST", "/nodes/pve1/qemu/100/status/start", url.Values{"machine": {"q35"}})
	if a.status != 400 || !strings.Contains(a.errors(t)["machine"], "undefined format") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestCallsAreCounted(t *testing.T) {
	c := newCluster(t, Options{})
	cl := root(t, c)
	c.ResetCalls()
	cl.get("/version")
	cl.do(2, "GET", "/cluster/resources", url.Values{"type": {"vm"}})
	calls := c.Calls()
	if len(calls) != 2 || calls[1].Node != 2 || calls[1].Path != "/cluster/resources" || calls[1].Query != "type=vm" || calls[1].Identity != "root@pam" || calls[1].Status != 200 {
		t.Errorf("calls %+v", calls)
	}
}

func FuzzRequestBody(f *testing.F) {
	f.Add("application/json", `{"sid":"vm:100","max_restart":2,"failback":true}`)
	f.Add("application/json", `["x"]`)
	f.Add("application/x-www-form-urlencoded", "sid=vm%3A100&state=started")
	f.Add("", "%")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		params, bad, err := decodeBody(contentType, body)
		if err == nil && (params == nil || bad == nil) {
			t.Error("no error and no parameters")
		}
	})
}
