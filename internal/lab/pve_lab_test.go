package lab_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/lab/labtest"
)

// pveClient asks the API from inside a node, with the lab's CA and token as an exporter does.
type pveClient struct {
	l     *lab.Lab
	token string
	roots *x509.CertPool
}

func newPVEClient(t *testing.T, l *lab.Lab) *pveClient {
	t.Helper()
	token, err := os.ReadFile(l.PVEToken())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(l.PVECA())
	if err != nil {
		t.Fatal(err)
	}
	c := &pveClient{l: l, token: strings.TrimSpace(string(token)), roots: x509.NewCertPool()}
	if !c.roots.AppendCertsFromPEM(ca) {
		t.Fatalf("no certificate in %s", l.PVECA())
	}
	return c
}

// do makes one request from inside a node and returns the status line and "data".
func (c *pveClient) do(ctx context.Context, node int, r *http.Request, data any) (status string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client := c.l.HTTPClient(node)
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: c.roots}
	if r.Header.Get("Cookie") == "" {
		r.Header.Set("Authorization", "PVEAPIToken="+c.token)
	}
	response, err := client.Do(r.WithContext(ctx))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return response.Status, err
	}
	return response.Status, json.Unmarshal(body, &struct{ Data any }{data})
}

func (c *pveClient) get(ctx context.Context, node int, base, path string, data any) error {
	r, err := http.NewRequest(http.MethodGet, base+"/api2/json"+path, nil)
	if err != nil {
		return err
	}
	status, err := c.do(ctx, node, r, data)
	if err == nil && status != "200 OK" {
		err = fmt.Errorf("%s: %s", path, status)
	}
	return err
}

// clusterStatus is what a node says of the others: who is online, and whether it is quorate.
func (c *pveClient) clusterStatus(ctx context.Context, node int) (online []string, quorate bool, err error) {
	var rows []struct {
		Type, Name      string
		Online, Quorate int
	}
	if err := c.get(ctx, node, c.l.PVEURL(), "/cluster/status", &rows); err != nil {
		return nil, false, err
	}
	for _, r := range rows {
		if r.Type == "node" && r.Online == 1 {
			online = append(online, r.Name)
		}
		if r.Type == "cluster" {
			quorate = r.Quorate == 1
		}
	}
	slices.Sort(online)
	return online, quorate, nil
}

// members is .members of a node, read inside of it.
func members(ctx context.Context, l *lab.Lab, node int) (online []string, quorate bool, err error) {
	text, err := l.Run(ctx, node, "cat", "/etc/pve/.members")
	if err != nil {
		return nil, false, err
	}
	var m struct {
		Cluster  struct{ Quorate int }
		Nodelist map[string]struct{ Online int }
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return nil, false, fmt.Errorf("%w: %s", err, text)
	}
	for name, n := range m.Nodelist {
		if n.Online == 1 {
			online = append(online, name)
		}
	}
	slices.Sort(online)
	return online, m.Cluster.Quorate == 1, nil
}

// untilSeen waits until API, .members and corosync of a node agree on what is claimed.
func untilSeen(t *testing.T, c *pveClient, node int, wantOnline string, wantQuorate bool) {
	t.Helper()
	began := time.Now()
	eventually(t, func(ctx context.Context) error {
		online, quorate, err := c.clusterStatus(ctx, node)
		if err != nil || strings.Join(online, " ") != wantOnline || quorate != wantQuorate {
			return fmt.Errorf("API of pve%d: online %v, quorate %t, %v", node, online, quorate, err)
		}
		online, quorate, err = members(ctx, c.l, node)
		if err != nil || strings.Join(online, " ") != wantOnline || quorate != wantQuorate {
			return fmt.Errorf(".members of pve%d: online %v, quorate %t, %v", node, online, quorate, err)
		}
		q, err := c.l.Quorum(ctx, node)
		if err != nil || q.Quorate != wantQuorate || len(q.Members) != len(online) {
			return fmt.Errorf("corosync of pve%d: %+v, %v", node, q, err)
		}
		return nil
	})
	t.Logf("pve%d sees %s, quorate %t after %s", node, wantOnline, wantQuorate, time.Since(began).Round(10*time.Millisecond))
}

func eventually(t *testing.T, claim func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := claim(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func pveLab(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	labtest.Need(t, false)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.PVE, o.Self, o.Token = true, self, time.Second
	return labtest.New(t, o)
}

func TestLabPVEFollowsTheFaultsOfTheLab(t *testing.T) {
	t.Parallel()
	l := pveLab(t, lab.Options{Nodes: 3})
	c := newPVEClient(t, l)
	ctx := t.Context()
	inject := func(name string, args ...string) {
		t.Helper()
		if err := l.Inject(ctx, name, args...); err != nil {
			t.Fatal(err)
		}
	}
	heal := func() {
		t.Helper()
		if err := l.Heal(ctx); err != nil {
			t.Fatal(err)
		}
		for _, node := range l.Nodes() {
			untilSeen(t, c, node, "pve1 pve2 pve3", true)
		}
	}
	t.Run("healthy", func(t *testing.T) { pveHealthy(t, c) })

	inject("node-down", "3")
	untilSeen(t, c, 1, "pve1 pve2", true)
	if conn, err := l.Dial(ctx, 3, "tcp", "127.0.0.1:8006"); err == nil {
		conn.Close()
		t.Error("the API of a node without power takes connections")
	}
	heal()

	inject("corosync-hang", "2")
	untilSeen(t, c, 1, "pve1 pve3", true)
	if online, quorate, err := c.clusterStatus(ctx, 2); err != nil || quorate {
		t.Errorf("a node whose corosync hangs: online %v, quorate %t, %v", online, quorate, err)
	}
	heal()

	inject("partition", "1", "2,3")
	untilSeen(t, c, 1, "pve1", false)
	untilSeen(t, c, 2, "pve2 pve3", true)
	if status := pveWrite(t, c, 1); !strings.HasPrefix(status, "500") || !strings.Contains(status, "quorum") {
		t.Errorf("a write without quorum: %q", status)
	}
	before, err := l.Run(ctx, 1, "cat", "/etc/pve/ha/manager_status")
	if err != nil {
		t.Fatal(err)
	}
	other := before
	eventually(t, func(ctx context.Context) error { // the other side goes on
		now, err := l.Run(ctx, 2, "cat", "/etc/pve/ha/manager_status")
		if err == nil && now == other {
			other, err = now, errors.New("manager_status of pve2 stands still")
		}
		return err
	})
	if now, err := l.Run(ctx, 1, "cat", "/etc/pve/ha/manager_status"); err != nil || now != before {
		t.Errorf("/etc/pve moves without quorum: %v\n%s\n%s", err, before, now)
	}
	heal()
	if status := pveWrite(t, c, 1); !strings.HasPrefix(status, "200") {
		t.Errorf("a write after the partition: %q", status)
	}
}

// pveHealthy holds what a lab without faults shows.
func pveHealthy(t *testing.T, c *pveClient) {
	l, ctx := c.l, t.Context()
	for _, node := range l.Nodes() {
		untilSeen(t, c, node, "pve1 pve2 pve3", true)
		base := "https://" + net.JoinHostPort(l.Addr(node, lab.Link0).String(), "8006")
		var version struct{ Release string }
		if err := c.get(ctx, 1, base, "/version", &version); err != nil || version.Release != "9.2" {
			t.Errorf("API of pve%d from pve1: %+v, %v", node, version, err)
		}
		for _, name := range []string{"/etc/pve/pve-root-ca.pem", "/etc/pve/ha/resources.cfg", "/var/log/pve/tasks/index", "/etc/passwd", "/etc/os-release"} {
			if _, err := l.Run(ctx, node, "test", "-r", name); err != nil {
				t.Error(err)
			}
		}
		if _, err := l.Run(ctx, node, "cmp", "/etc/pve/corosync.conf", "/etc/corosync/corosync.conf"); err != nil {
			t.Error(err)
		}
	}
	var services []struct{ SID, Type, State string }
	if err := c.get(ctx, 2, l.PVEURL(), "/cluster/ha/status/current", &services); err != nil {
		t.Fatal(err)
	}
	started := 0
	for _, s := range services {
		if s.Type == "service" && s.State == "started" {
			started++
		}
	}
	if started != 6 {
		t.Errorf("%d services are started, not 6: %+v", started, services)
	}
	if info, err := os.Stat(l.PVEToken()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat("/var/log/pve/tasks/index"); err == nil {
		t.Error("the machine itself has got a task list")
	}
	if args := l.ExporterArgs(); len(args) != 4 || !slices.Contains(args, "--pve.url=https://127.0.0.1:8006") {
		t.Errorf("flags of an exporter: %q", args)
	}
}

// pveWrite puts a guest under HA as root and says how that was answered.
func pveWrite(t *testing.T, c *pveClient, node int) string {
	t.Helper()
	request := func(method, path string, form url.Values) *http.Request {
		r, err := http.NewRequest(method, c.l.PVEURL()+"/api2/json"+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	var ticket struct{ Ticket, CSRFPreventionToken string }
	status, err := c.do(t.Context(), node, request("POST", "/access/ticket", url.Values{"username": {"root@pam"}, "password": {lab.PVEPassword}}), &ticket)
	if err != nil {
		t.Fatalf("login: %s %v", status, err)
	}
	write := request("POST", "/cluster/ha/resources", url.Values{"sid": {"vm:104"}})
	write.Header.Set("Cookie", "PVEAuthCookie="+url.QueryEscape(ticket.Ticket))
	write.Header.Set("CSRFPreventionToken", ticket.CSRFPreventionToken)
	status, err = c.do(t.Context(), node, write, new(any))
	if err != nil {
		t.Fatalf("write: %s %v", status, err)
	}
	return status
}

func TestLabPVEOf84LeavesNothing(t *testing.T) {
	t.Parallel()
	l := pveLab(t, lab.Options{Nodes: 1, PVEVersion: "8.4"})
	var version struct{ Release string }
	if err := newPVEClient(t, l).get(t.Context(), 1, l.PVEURL(), "/version", &version); err != nil || version.Release != "8.4" {
		t.Errorf("version: %+v, %v", version, err)
	}
	pid := l.Pid(0, "pvefake")
	// Without its record it is found by the namespace that it is in.
	if err := os.RemoveAll(filepath.Join(l.NodeDir(0), "procs")); err != nil {
		t.Fatal(err)
	}
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.Contains(string(text), l.Dir()) {
		t.Errorf("process %d is left: %q", pid, text)
	}
	if _, err := os.Stat(l.Dir()); !os.IsNotExist(err) {
		t.Errorf("directory left: %v", err)
	}
}
