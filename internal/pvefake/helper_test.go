package pvefake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

const dataDir = "../../../shared/data/proxmox"

// needData skips a test when the recordings are not beside the project.
func needData(t *testing.T, name string) string {
	t.Helper()
	p := dataDir + "/" + name
	if _, err := os.Stat(p); err != nil {
		t.Skipf("recordings are not here (%v): the test needs %s", err, p)
	}
	return p
}

func newCluster(t *testing.T, opt Options) *Cluster {
	t.Helper()
	c, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// client speaks to one cluster with a ticket or a token.
type client struct {
	t      *testing.T
	c      *Cluster
	http   *http.Client
	header http.Header
}

type answer struct {
	status int
	reason string
	body   []byte
}

func (a answer) data(t *testing.T) any {
	t.Helper()
	var v struct {
		Data any `json:"data"`
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("status %d, body %q: %v", a.status, a.body, err)
	}
	return v.Data
}

func (a answer) errors(t *testing.T) map[string]string {
	t.Helper()
	var v struct {
		Errors map[string]string `json:"errors"`
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("status %d, body %q: %v", a.status, a.body, err)
	}
	return v.Errors
}

func anonymous(t *testing.T, c *Cluster) *client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.CAPEM()) {
		t.Fatal("the CA is no certificate")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t: t, c: c, http: &http.Client{Transport: tr, Timeout: 10 * time.Second}, header: http.Header{}}
}

func (cl *client) withToken(token string) *client {
	out := *cl
	out.header = http.Header{"Authorization": {"PVEAPIToken=" + token}}
	return &out
}

// root logs in as root@pam with a ticket.
func root(t *testing.T, c *Cluster) *client {
	t.Helper()
	return anonymous(t, c).login("root@pam", "fake-root")
}

func (cl *client) login(user, password string) *client {
	cl.t.Helper()
	via := 1
	for via < cl.c.Size() && !cl.c.node(via).running() {
		via++
	}
	a := cl.do(via, "POST", "/access/ticket", url.Values{"username": {user}, "password": {password}})
	if a.status != 200 {
		cl.t.Fatalf("login of %s: %d %s", user, a.status, a.reason)
	}
	d := a.data(cl.t).(map[string]any)
	out := *cl
	out.header = http.Header{
		"Cookie":              {"PVEAuthCookie=" + url.QueryEscape(d["ticket"].(string))},
		"Csrfpreventiontoken": {d["CSRFPreventionToken"].(string)},
	}
	return &out
}

func (cl *client) try(ctx context.Context, via int, method, path string, form url.Values) (answer, error) {
	var body io.Reader
	u := cl.c.Node(via).URL() + "/api2/json" + path
	if form != nil && (method == "POST" || method == "PUT") {
		body = strings.NewReader(form.Encode())
	} else if form != nil {
		u += "?" + form.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return answer{}, err
	}
	req.Header = cl.header.Clone()
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := cl.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	_, reason, _ := strings.Cut(resp.Status, " ")
	return answer{resp.StatusCode, reason, b}, err
}

func (cl *client) do(via int, method, path string, form url.Values) answer {
	cl.t.Helper()
	a, err := cl.try(context.Background(), via, method, path, form)
	if err != nil {
		cl.t.Fatalf("%s %s via node %d: %v", method, path, via, err)
	}
	return a
}

func (cl *client) get(path string) answer {
	cl.t.Helper()
	return cl.do(1, "GET", path, nil)
}

// must returns the data of a GET that has to succeed.
func (cl *client) must(path string) any {
	cl.t.Helper()
	a := cl.get(path)
	if a.status != 200 {
		cl.t.Fatalf("GET %s: %d %s", path, a.status, a.reason)
	}
	return a.data(cl.t)
}

// until moves the clock until ok holds; the test fails after limit.
func until(t *testing.T, c *Cluster, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	d, err := c.AdvanceUntil(limit, ok)
	if err != nil {
		t.Fatalf("%s: not within %s", what, limit)
	}
	return d
}

func ptr[T any](v T) *T { return &v }
