package pvefake

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// Texts and codes: pve-http-server src/PVE/APIServer/AnyEvent.pm and pve-access-control
// src/PVE/AccessControl.pm, seen in write-transcripts/invalid.jsonl 244 to 261, 430, 431.
func TestBadCredentialsGetTheRealTexts(t *testing.T) {
	c := newCluster(t, Options{})
	c.AddUser("prometheus@pve", "")
	token, err := c.AddToken("prometheus@pve", "exporter", false)
	if err != nil {
		t.Fatal(err)
	}
	old, err := c.AddToken("prometheus@pve", "old", false)
	if err != nil {
		t.Fatal(err)
	}
	c.ExpireToken("prometheus@pve", "old")
	anon := anonymous(t, c)
	header := func(k, v string) *client { out := *anon; out.header = http.Header{k: {v}}; return &out }
	for name, tc := range map[string]struct {
		cl     *client
		reason string
	}{
		"nothing":         {anon, "No ticket"},
		"bearer":          {header("Authorization", "Bearer x"), "No ticket"},
		"garbage ticket":  {header("Cookie", "PVEAuthCookie=garbage"), "Authentication failed!"},
		"forged ticket":   {header("Cookie", "PVEAuthCookie="+url.QueryEscape("PVE:root@pam:6B00F103::AAAA")), "Authentication failed!"},
		"unknown token":   {anon.withToken("prometheus@pve!nope=x"), "Authentication failed!"},
		"wrong secret":    {anon.withToken("prometheus@pve!exporter=x"), "Authentication failed!"},
		"malformed token": {anon.withToken("x"), "Authentication failed!"},
		"unknown user":    {anon.withToken("who@pve!exporter=x"), "Authentication failed!"},
		"expired token":   {anon.withToken(old), "Authentication failed!"},
	} {
		t.Run(name, func(t *testing.T) {
			a := tc.cl.get("/version")
			if a.status != 401 || a.reason != tc.reason || len(a.body) != 0 {
				t.Errorf("%d %q with %d bytes, want 401 %q and no body", a.status, a.reason, len(a.body), tc.reason)
			}
		})
	}
	if a := anon.withToken(token).get("/version"); a.status != 200 {
		t.Errorf("good token: %d %s", a.status, a.reason)
	}
	c.DisableUser("prometheus@pve")
	if a := anon.withToken(token).get("/version"); a.status != 401 {
		t.Errorf("token of a disabled user: %d", a.status)
	}
}

func TestLogin(t *testing.T) {
	c := newCluster(t, Options{})
	anon := anonymous(t, c)
	a := anon.do(1, "POST", "/access/ticket", url.Values{"username": {"root@pam"}, "password": {"wrong"}})
	if a.status != 401 || a.reason != "authentication failure" || len(a.body) == 0 {
		t.Errorf("wrong password: %d %q %q", a.status, a.reason, a.body)
	}
	a = anon.do(1, "POST", "/access/ticket", url.Values{"username": {"root@pam"}})
	if a.status != 400 || a.errors(t)["password"] != "property is missing and it is not optional" {
		t.Errorf("no password: %d %s", a.status, a.body)
	}
	first := anon.login("root@pam", "fake-root")
	if a := first.get("/version"); a.status != 200 {
		t.Errorf("with the ticket: %d", a.status)
	}
	// A join replaces the key: tickets of before are dead.
	c.ReplaceAuthKey()
	if a := first.get("/version"); a.status != 401 || a.reason != "Authentication failed!" {
		t.Errorf("ticket from before the join: %d %q", a.status, a.reason)
	}
	second := anon.login("root@pam", "fake-root")
	c.Advance(2*time.Hour + time.Second)
	if a := second.get("/version"); a.status != 401 {
		t.Errorf("ticket after two hours: %d", a.status)
	}
}

func TestWritesByTicketNeedTheCSRFToken(t *testing.T) {
	c := newCluster(t, Options{})
	cl := root(t, c)
	cl.header.Del("Csrfpreventiontoken")
	a := cl.do(1, "POST", "/cluster/ha/status/arm-ha", nil)
	if a.status != 401 || a.reason != "Permission denied - invalid csrf token" {
		t.Errorf("%d %q", a.status, a.reason)
	}
	if a := cl.get("/version"); a.status != 200 {
		t.Errorf("a read without CSRF: %d", a.status)
	}
}

func TestA401ComesLateOnTheScaledClock(t *testing.T) {
	c := newCluster(t, Options{DelayScale: 0.02}) // 3 s become 60 ms
	start := time.Now()
	if a := anonymous(t, c).get("/version"); a.status != 401 {
		t.Fatalf("status %d", a.status)
	}
	if d := time.Since(start); d < 60*time.Millisecond {
		t.Errorf("answered after %v, want at least 60 ms", d)
	}
}

// pve-access-control src/PVE/RPCEnvironment.pm; invalid.jsonl 265 to 361.
func TestPermissionsAreThoseOfTheSchema(t *testing.T) {
	c := newCluster(t, Options{Guests: []Guest{{VMID: 100, Node: 1}, {VMID: 101, Node: 1}}})
	c.Advance(30 * time.Second)
	c.AddUser("nobody@pve", "secret")
	c.AddUser("prometheus@pve", "")
	auditor, err := c.AddToken("prometheus@pve", "exporter", false)
	if err != nil {
		t.Fatal(err)
	}
	separated, err := c.AddToken("prometheus@pve", "sep", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Grant("/", "prometheus@pve", "PVEAuditor"); err != nil {
		t.Fatal(err)
	}
	anon := anonymous(t, c)
	none, audit, sep := anon.login("nobody@pve", "secret"), anon.withToken(auditor), anon.withToken(separated)
	for name, tc := range map[string]struct {
		cl           *client
		method, path string
		form         url.Values
		status       int
		reason       string
	}{
		"no rights, status":       {none, "GET", "/cluster/status", nil, 403, "Permission check failed (/, Sys.Audit)"},
		"no rights, ceph":         {none, "GET", "/cluster/ceph/status", nil, 403, "Permission check failed (/, Sys.Audit|Datastore.Audit)"},
		"no rights, alternatives": {none, "GET", "/nodes/pve1/disks/list", nil, 403, "Permission check failed"},
		"no rights, config":       {none, "GET", "/nodes/pve1/qemu/100/config", nil, 403, "Permission check failed (/vms/100, VM.Audit)"},
		"no rights, stop":         {none, "POST", "/nodes/pve1/qemu/100/status/stop", url.Values{}, 403, "Permission check failed (/vms/100, VM.PowerMgmt)"},
		"auditor, status":         {audit, "GET", "/cluster/status", nil, 200, "OK"},
		"auditor, HA":             {audit, "GET", "/cluster/ha/status/current", nil, 200, "OK"},
		"auditor, migrate":        {audit, "POST", "/nodes/pve1/qemu/100/migrate", url.Values{"target": {"pve2"}}, 403, "Permission check failed (/vms/100, VM.Migrate)"},
		"auditor, add resource":   {audit, "POST", "/cluster/ha/resources", url.Values{"sid": {"vm:100"}}, 403, "Permission check failed (/, Sys.Console)"},
		"separated token":         {sep, "GET", "/cluster/status", nil, 403, "Permission check failed (/, Sys.Audit)"},
	} {
		t.Run(name, func(t *testing.T) {
			a := tc.cl.do(1, tc.method, tc.path, tc.form)
			if a.status != tc.status || a.reason != tc.reason {
				t.Errorf("%d %q, want %d %q", a.status, a.reason, tc.status, tc.reason)
			}
		})
	}
	if n := len(none.must("/cluster/resources").([]any)); n != 3 {
		t.Errorf("a user without rights sees %d resources, want the three nodes", n)
	}
	if err := c.Grant("/vms/101", "prometheus@pve!sep", "PVEAuditor"); err != nil {
		t.Fatal(err)
	}
	vms := sep.must("/nodes/pve1/qemu").([]any)
	if len(vms) != 1 || vms[0].(map[string]any)["vmid"] != 101.0 {
		t.Errorf("the separated token sees %v, want vm 101 only", vms)
	}
}

// pve-access-control: "allowtoken" 0 and parameters of root alone (qemu-server src/PVE/API2/Qemu.pm).
func TestRootsTokenIsNotRoot(t *testing.T) {
	c := newCluster(t, Options{Guests: []Guest{{VMID: 100, Node: 1}}})
	token, err := c.AddToken("root@pam", "prov", false)
	if err != nil {
		t.Fatal(err)
	}
	cl := anonymous(t, c).withToken(token)
	a := cl.do(1, "POST", "/nodes/pve1/qemu/100/migrate", url.Values{"target": {"pve2"}, "online": {"1"}, "migration_type": {"insecure"}})
	if a.status != 400 || a.errors(t)["migration_type"] != "Only root may use this option." {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestRolesAreTheRecordedOnes(t *testing.T) {
	c := newCluster(t, Options{})
	want := map[string]string{}
	for _, r := range readRecorded(t, "healthy/access_roles.json").([]any) {
		o := r.(map[string]any)
		want[o["roleid"].(string)] = o["privs"].(string)
	}
	for _, r := range root(t, c).must("/access/roles").([]any) {
		o := r.(map[string]any)
		if id := o["roleid"].(string); want[id] != o["privs"] {
			t.Errorf("%s:\n have %v\n want %s", id, o["privs"], want[id])
		}
		delete(want, o["roleid"].(string))
	}
	if len(want) != 0 {
		t.Errorf("roles missing: %v", want)
	}
}
