package pvefake

import (
	"context"
	"encoding/json"
	"net/url"
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	c := newCluster(t, Options{Guests: []Guest{{VMID: 100, Node: 1}}})
	c.Advance(20 * time.Second)
	cl := root(t, c)
	try := func(t *testing.T, r Rule, path string) (answer, error) {
		t.Helper()
		defer c.Inject(r)()
		limit := 10 * time.Second
		if r.Hang {
			limit = 300 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return cl.try(ctx, 1, "GET", path, nil)
	}
	for status, reason := range map[int]string{595: "Connection refused", 596: "Connection timed out", 599: "Too many redirections", 500: "cluster not ready - no quorum?"} {
		if a, err := try(t, Rule{Path: "/version", Status: status}, "/version"); err != nil || a.status != status || a.reason != reason || len(a.body) != 0 {
			t.Errorf("%d: %v %d %q %q", status, err, a.status, a.reason, a.body)
		}
	}
	if a, err := try(t, Rule{Status: 595, Body: `{"data":null}`}, "/version"); err != nil || string(a.body) != `{"data":null}` {
		t.Errorf("595 with a body: %v %q", err, a.body)
	}
	if _, err := try(t, Rule{Hang: true}, "/version"); err == nil {
		t.Error("a hanging call answered")
	}
	if _, err := try(t, Rule{CloseBefore: true}, "/version"); err == nil {
		t.Error("a closed connection answered")
	}
	if a, err := try(t, Rule{Truncate: true}, "/cluster/resources"); err == nil || json.Valid(a.body) {
		t.Errorf("truncated reply: %v, %d bytes", err, len(a.body))
	}
	if a, err := try(t, Rule{WrongTypes: true}, "/cluster/resources"); err != nil || !json.Valid(a.body) {
		t.Errorf("wrong types: %v %q", err, a.body)
	} else if _, isList := a.data(t).([]any); isList {
		t.Error("wrong types: the list is still a list")
	}
	if a, err := try(t, Rule{HugeBytes: 3 << 20}, "/version"); err != nil || len(a.body) != 3<<20 || !json.Valid(a.body) {
		t.Errorf("huge reply: %v, %d bytes", err, len(a.body))
	}
	start := time.Now()
	if _, err := try(t, Rule{Slow: 80 * time.Millisecond}, "/version"); err != nil || time.Since(start) < 80*time.Millisecond {
		t.Errorf("slow reply: %v after %v", err, time.Since(start))
	}
	if a := cl.get("/version"); a.status != 200 {
		t.Errorf("after the faults: %d", a.status)
	}
}

func TestAFaultHitsOnlyTheNthCallOfItsPathAndNode(t *testing.T) {
	c := newCluster(t, Options{})
	cl := root(t, c)
	c.Inject(Rule{Method: "GET", Path: "/nodes/*/status", Node: 2, Nth: 2, Status: 596})
	var got []int
	for range 3 {
		got = append(got, cl.do(2, "GET", "/nodes/pve2/status", nil).status)
	}
	if got[0] != 200 || got[1] != 596 || got[2] != 200 {
		t.Errorf("statuses %v, want 200 596 200", got)
	}
	if s := cl.get("/nodes/pve2/status").status; s != 200 {
		t.Errorf("through another node: %d", s)
	}
}

func TestALostReplyHasDoneItsEffect(t *testing.T) {
	c := newCluster(t, Options{Guests: []Guest{{VMID: 100, Node: 1}}})
	cl := root(t, c)
	c.Inject(Rule{Method: "POST", Path: "/cluster/ha/resources", LoseReply: true, Times: 1})
	if _, err := cl.try(t.Context(), 1, "POST", "/cluster/ha/resources", url.Values{"sid": {"vm:100"}}); err == nil {
		t.Fatal("the reply came")
	}
	if n := len(cl.must("/cluster/ha/resources").([]any)); n != 1 {
		t.Errorf("%d resources after the lost reply, want 1", n)
	}
}

func TestATaskCanBeMadeToFailOrNeverEnd(t *testing.T) {
	c := newCluster(t, Options{Guests: []Guest{{VMID: 100, Node: 1}}})
	cl := root(t, c)
	migrate := func() string {
		a := cl.do(1, "POST", "/nodes/pve1/qemu/100/migrate", url.Values{"target": {"pve2"}, "online": {"1"}})
		if a.status != 200 {
			t.Fatalf("migrate: %d %s", a.status, a.reason)
		}
		return a.data(t).(string)
	}
	c.Inject(Rule{TaskType: "qmigrate", TaskStatus: "migration problems", Times: 1})
	upid := migrate()
	c.Advance(20 * time.Second)
	if s := cl.must("/nodes/pve1/tasks/" + upid + "/status").(map[string]any); s["exitstatus"] != "migration problems" {
		t.Errorf("status %v", s)
	}
	if n, _ := c.GuestNode(100); n != "pve1" {
		t.Errorf("after a failed migration the guest is on %s", n)
	}
	c.HoldTasks("qmigrate", true)
	upid = migrate()
	c.Advance(time.Hour)
	if s := cl.must("/nodes/pve1/tasks/" + upid + "/status").(map[string]any); s["status"] != "running" {
		t.Errorf("a held task: %v", s)
	}
	if err := c.FinishTask(upid, ""); err != nil {
		t.Fatal(err)
	}
	if n, on := c.GuestNode(100); n != "pve2" || !on {
		t.Errorf("after the migration: on %s running=%v", n, on)
	}
}

func TestADeadNodeAnswers595ThroughOthersAndRefusesItself(t *testing.T) {
	c := newCluster(t, Options{})
	cl := root(t, c)
	if err := c.SetNodeDown(3, true); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"GET", "DELETE"} {
		path := "/nodes/pve3/tasks"
		if method == "DELETE" {
			path += "/UPID:pve3:00000001:00000001:00000001:qmstart:1:root@pam:"
		}
		if a := cl.do(1, method, path, nil); a.status != 595 || a.reason != "Connection refused" || len(a.body) != 0 {
			t.Errorf("%s: %d %q %q", method, a.status, a.reason, a.body)
		}
	}
	if _, err := cl.try(t.Context(), 3, "GET", "/version", nil); err == nil {
		t.Error("the dead node answered")
	}
	if err := c.SetNodeDown(3, false); err != nil {
		t.Fatal(err)
	}
	c.Advance(20 * time.Second)
	if a := cl.do(3, "GET", "/version", nil); a.status != 200 {
		t.Errorf("after the boot: %d", a.status)
	}
}

func TestAHangingClientDoesNotStopClose(t *testing.T) {
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Inject(Rule{Hang: true})
	done := make(chan struct{})
	cl := anonymous(t, c)
	go func() {
		defer close(done)
		_, _ = cl.try(context.Background(), 1, "GET", "/version", nil) // fails when Close cuts it
	}()
	deadline := time.Now().Add(5 * time.Second)
	for len(c.Calls()) == 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	c.Close()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the hanging call outlived Close")
	}
}
