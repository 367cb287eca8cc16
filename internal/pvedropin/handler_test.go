package pvedropin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/source/pve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "s3cr3t-0123"

// aCluster answers as Proxmox VE does.
func aCluster() map[string]string {
	return map[string]string{
		"/cluster/status": `{"data":[{"type":"cluster","id":"cluster","name":"c1","nodes":2,"quorate":1,"version":3},
			{"type":"node","id":"node/pve1","name":"pve1","nodeid":1,"online":1,"local":1,"ip":"10.0.0.1","level":""},
			{"type":"node","id":"node/pve2","name":"pve2","nodeid":2,"online":0,"local":0,"ip":"10.0.0.2","level":""}]}`,
		"/cluster/resources": `{"data":[{"type":"qemu","id":"qemu/100","vmid":100,"node":"pve1","name":"web","status":"running","template":0,"cpu":0.5,"maxcpu":2},
			{"type":"node","id":"node/pve2","node":"pve2","status":"offline"}]}`,
		"/version":                           `{"data":{"release":"9.2","repoid":"x","version":"9.2.11"}}`,
		"/cluster/backup-info/not-backed-up": `{"data":[]}`,
		"/cluster/config/qdevice":            `{"data":{}}`,
		"/nodes/pve1/subscription":           `{"data":{"status":"notfound"}}`,
		"/nodes/pve1/qemu":                   `{"data":[{"vmid":100},{"vmid":101},{"vmid":102}]}`,
		"/nodes/pve1/lxc":                    `{"data":[{"vmid":200}]}`,
		"/nodes/pve1/qemu/100/config":        `{"data":{"onboot":1}}`,
		"/nodes/pve1/qemu/101/config":        `{"data":{"onboot":"0"}}`,
		"/nodes/pve1/qemu/102/config":        `{"data":{"name":"says nothing"}}`,
		"/nodes/pve1/lxc/200/config":         `{"data":{"onboot":1}}`,
		"/nodes/pve1/replication":            `{"data":[{"id":"200-0","type":"local","source":"pve1","target":"pve2","guest":200,"vmtype":"lxc","fail_count":0}]}`,
	}
}

// A setup is a handler and the one target that it may ask.
type setup struct {
	*Handler
	host  string
	log   *bytes.Buffer
	calls *atomic.Int64
}

// aHandler makes one for a server that answers fault where there is one, else as aCluster does.
func aHandler(t *testing.T, fault map[string]http.HandlerFunc, change func(*Config)) setup {
	t.Helper()
	replies, calls := aCluster(), new(atomic.Int64)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		path := strings.TrimPrefix(r.URL.Path, "/api2/json")
		for _, p := range []string{path, ""} {
			if answer := fault[p]; answer != nil {
				answer(w, r)
				return
			}
		}
		if r.Header.Get("Authorization") != "PVEAPIToken=u@pve!t="+secret {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, replies[path])
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	t.Cleanup(srv.Close)
	var log bytes.Buffer
	host := srv.Listener.Addr().String()
	targets, err := ParseTargets([]string{host})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Modules: Modules{"default": {Auth: pve.Auth{TokenID: "u@pve!t", TokenSecret: pve.NewSecret(secret)}}},
		Targets: targets,
		Parts:   collector.AllPVEParts(),
		TLS:     pve.TLSConfig{CAPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})},
		Log:     slog.New(slog.NewTextHandler(&log, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return setup{h, host, &log, calls}
}

func (s setup) get(t *testing.T, query string, within time.Duration) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/pve?"+query, nil))
	return w.Code, w.Body.String()
}

func TestPageIsThatOfTheTarget(t *testing.T) {
	s := aHandler(t, nil, nil)
	code, body := s.get(t, "target="+s.host, 5*time.Second)
	if code != http.StatusOK {
		t.Fatalf("status %d: %s", code, body)
	}
	for _, want := range []string{
		`pve_up{id="cluster/c1"} 1`, `pve_up{id="node/pve2"} 0`, `pve_up{id="qemu/100"} 1`, "pve_version_info", `pve_ha_state{id="qemu/100",state="error"} 0`,
		`pve_onboot_status{id="qemu/100",node="pve1",type="qemu"} 1`, `pve_onboot_status{id="qemu/101",node="pve1",type="qemu"} 0`,
		`pve_onboot_status{id="lxc/200",node="pve1",type="lxc"} 1`, `pve_replication_info{guest="lxc/200",id="200-0"`,
		`pve_subscription_info{id="node/pve1",level="unknown"} 1`, `quorate_source_up{source="pve"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, `pve_onboot_status{id="qemu/102"`) {
		t.Error("a configuration that does not say so has an onboot status")
	}
	if s.log.Len() > 0 {
		t.Errorf("it logs %s", s.log)
	}
}

func TestParametersAreThoseOfPrometheusPVEExporter(t *testing.T) {
	s := aHandler(t, nil, nil)
	for query, want := range map[string][2]bool{ // cluster, node
		"":                        {true, true},
		"&cluster=1&node=1":       {true, true},
		"&cluster=0":              {false, true},
		"&node=0":                 {true, false},
		"&node=False":             {true, false},
		"&node=":                  {true, false},
		"&node=no":                {true, true}, // as it takes it, too
		"&cluster=FALSE&node=yes": {false, true},
		"&cluster=0&node=0":       {false, false},
		"&other=1&module=default": {true, true},
	} {
		code, body := s.get(t, "target="+s.host+query, 5*time.Second)
		if code != http.StatusOK || strings.Contains(body, "pve_version_info") != want[0] || strings.Contains(body, "pve_subscription_info") != want[1] {
			t.Errorf("%q: status %d, want cluster %t and node %t", query, code, want[0], want[1])
		}
	}
}

func TestRequestsThatAreNotCarriedOut(t *testing.T) {
	s := aHandler(t, nil, nil)
	for name, c := range map[string]struct {
		query string
		code  int
		want  string
	}{
		"a module that is not there": {"module=nope&target=" + s.host, 400, `Module "nope" not found in config`},
		"a host that is not allowed": {"target=evil.example.org", 403, `target evil.example.org:8006 is not on the list of allowed targets`},
		"no target":                  {"", 403, "target localhost:8006 is not on the list"}, // the list is not empty
		"another port":               {"target=127.0.0.1:1", 403, "--pve.dropin.target"},
		"a user before the host":     {"target=x@" + s.host, 400, "want HOST, HOST:PORT"},
		"an empty target":            {"target=", 400, "want HOST"},
		"a URL":                      {"target=https://" + s.host, 400, "target"},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := s.get(t, c.query, 5*time.Second)
			if code != c.code || !strings.Contains(body, c.want) {
				t.Errorf("status %d: %s", code, body)
			}
		})
	}
	if n := s.calls.Load(); n > 0 {
		t.Errorf("the target was asked %d times", n)
	}
}

func TestTheTokenNeverFollowsARedirect(t *testing.T) {
	var seen atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	defer other.Close()
	s := aHandler(t, map[string]http.HandlerFunc{"": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}}, nil)
	if code, body := s.get(t, "target="+s.host, 5*time.Second); code != http.StatusBadGateway || !strings.Contains(body, "redirects") {
		t.Errorf("status %d: %s", code, body)
	}
	if seen.Load() > 0 {
		t.Error("the other host was asked")
	}
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestFaultsCostTheirOwnSeriesAndTellTheReason(t *testing.T) {
	replication := map[string]http.HandlerFunc{"/nodes/pve1/replication": hang}
	for name, c := range map[string]struct {
		fault  map[string]http.HandlerFunc
		code   int
		reason string
		has    []string
		hasNot []string
	}{
		"everything hangs": {map[string]http.HandlerFunc{"": hang}, 504, "timeout", nil, []string{"pve_"}},
		"bad token":        {map[string]http.HandlerFunc{"": status(401, "")}, 502, "unauthorized", nil, []string{"pve_"}},
		"replication hangs": {replication, 200, "timeout",
			[]string{`pve_up{id="qemu/100"} 1`, "pve_onboot_status", `quorate_source_request_errors_total{reason="timeout",source="pve"} 1`}, []string{"pve_replication"}},
		"the node is not reachable": {map[string]http.HandlerFunc{
			"/nodes/pve1/qemu": status(595, ""), "/nodes/pve1/lxc": status(595, ""), "/nodes/pve1/replication": status(595, ""), "/nodes/pve1/subscription": status(595, "")},
			200, "node_unreachable", []string{`pve_up{id="qemu/100"} 1`}, []string{"pve_onboot_status", "pve_subscription"}},
		"no quorum": {map[string]http.HandlerFunc{"/cluster/status": status(200, strings.Replace(aCluster()["/cluster/status"], `"quorate":1`, `"quorate":0`, 1))},
			200, "no_quorum", []string{`pve_up{id="cluster/c1"} 0`, "pve_onboot_status"}, []string{"pve_replication"}},
		"a configuration is hidden": {map[string]http.HandlerFunc{"/nodes/pve1/qemu/100/config": status(403, "")}, 200, "forbidden",
			[]string{`pve_onboot_status{id="qemu/101"`, `pve_onboot_status{id="lxc/200"`}, []string{`pve_onboot_status{id="qemu/100"`}},
		"a guest left while we looked": {map[string]http.HandlerFunc{"/nodes/pve1/qemu/101/config": status(500, "")}, 200, "server",
			[]string{`pve_onboot_status{id="qemu/100"`, `pve_onboot_status{id="lxc/200"`}, []string{`pve_onboot_status{id="qemu/101"`}},
		"resources are cut off": {map[string]http.HandlerFunc{"/cluster/resources": status(200, `{"data":[{"id":`)}, 200, "truncated",
			[]string{`pve_up{id="node/pve1"} 1`, "pve_version_info"}, []string{"pve_guest_info"}},
		"an old version without qdevice": {map[string]http.HandlerFunc{"/cluster/config/qdevice": status(501, "")}, 200, "", []string{"pve_version_info"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := aHandler(t, c.fault, nil)
			limit := 20 * time.Second // nobody is to wait for it
			if c.reason == "timeout" {
				limit = 3 * time.Second
			}
			begun := time.Now()
			code, body := s.get(t, "target="+s.host, limit)
			if took := time.Since(begun); took > limit+2*time.Second {
				t.Errorf("it took %s", took)
			}
			if code != c.code {
				t.Fatalf("status %d: %s", code, body)
			}
			for _, want := range c.has {
				if !strings.Contains(body, want) {
					t.Errorf("no %s", want)
				}
			}
			for _, not := range c.hasNot {
				if strings.Contains("\n"+body, "\n"+not) {
					t.Errorf("%s is there", not)
				}
			}
			if c.reason == "" {
				if s.log.Len() > 0 {
					t.Errorf("it logs %s", s.log)
				}
				return
			}
			if st := s.Status(); st.Requests != 1 || st.Errors[c.reason] != 1 || st.Up {
				t.Errorf("status %+v, want an error of reason %s", st, c.reason)
			}
			if line := s.log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, "reason="+c.reason) || !strings.Contains(line, "target="+s.host) {
				t.Errorf("log: %s", line)
			}
			if strings.Contains(s.log.String()+body, secret) {
				t.Error("the secret is shown")
			}
		})
	}
}

func TestAFaultIsLoggedWhenItBeginsAndWhenItEnds(t *testing.T) {
	var failing atomic.Bool
	s := aHandler(t, map[string]http.HandlerFunc{"/version": func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() {
			w.WriteHeader(500)
			return
		}
		_, _ = io.WriteString(w, aCluster()["/version"])
	}}, nil)
	for _, fails := range []bool{false, true, true, true, false, false} {
		failing.Store(fails)
		if code, body := s.get(t, "target="+s.host, 5*time.Second); code != 200 || strings.Contains(body, "pve_version_info") == fails {
			t.Errorf("failing %t: status %d", fails, code)
		}
	}
	if n := strings.Count(s.log.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, s.log)
	}
}

func TestACertificateNobodyKnowsIsNotBelieved(t *testing.T) {
	s := aHandler(t, nil, func(c *Config) { c.TLS = pve.TLSConfig{} })
	if code, body := s.get(t, "target="+s.host, 5*time.Second); code != http.StatusBadGateway || !strings.Contains(body, "certificate") {
		t.Errorf("status %d: %s", code, body)
	}
	if s.Status().Errors["tls"] != 1 || s.calls.Load() != 0 {
		t.Errorf("status %+v, %d calls", s.Status(), s.calls.Load())
	}
	trusting := aHandler(t, nil, func(c *Config) {
		m := c.Modules["default"]
		m.Insecure = true
		c.Modules, c.TLS = Modules{"default": m}, pve.TLSConfig{}
	})
	if code, body := trusting.get(t, "target="+trusting.host, 5*time.Second); code != http.StatusOK {
		t.Errorf("verify_ssl: false: status %d: %s", code, body)
	}
}

func TestAnExpiredCertificateIsNotBelieved(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.StartTLS()
	defer srv.Close()
	host := srv.Listener.Addr().String()
	s := aHandler(t, nil, func(c *Config) {
		c.TLS.CAPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if c.Targets, err = ParseTargets([]string{host}); err != nil {
			t.Fatal(err)
		}
	})
	if code, body := s.get(t, "target="+host, 5*time.Second); code != http.StatusBadGateway || !strings.Contains(body, "expired") {
		t.Errorf("status %d: %s", code, body)
	}
	if s.Status().Errors["tls"] != 1 {
		t.Errorf("status %+v", s.Status())
	}
}

func TestNothingListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	s := aHandler(t, nil, func(c *Config) {
		if c.Targets, err = ParseTargets([]string{host}); err != nil {
			t.Fatal(err)
		}
	})
	if code, body := s.get(t, "target="+host, 5*time.Second); code != http.StatusBadGateway || !strings.Contains(body, "refused") {
		t.Errorf("status %d: %s", code, body)
	}
}

func TestManyScrapesOfOneTargetShareAClient(t *testing.T) {
	s := aHandler(t, nil, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if code, body := s.get(t, "target="+s.host, 10*time.Second); code != http.StatusOK {
				t.Errorf("status %d: %s", code, body)
			}
		})
	}
	wg.Wait()
	if n := len(s.clients.all); n != 1 {
		t.Errorf("%d clients", n)
	}
}

func TestAfterCloseNothingIsAsked(t *testing.T) {
	s := aHandler(t, nil, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _ := s.get(t, "target="+s.host, time.Second); code != http.StatusServiceUnavailable || s.calls.Load() > 0 {
		t.Errorf("status %d, %d calls", code, s.calls.Load())
	}
}

func TestAModuleThatCanNeverWorkIsFoundAtTheStart(t *testing.T) {
	_, err := New(Config{Modules: Modules{"m": {Auth: pve.Auth{TokenID: "no id", TokenSecret: pve.NewSecret(secret)}}}})
	if err == nil || !strings.Contains(err.Error(), `module "m"`) || strings.Contains(err.Error(), secret) {
		t.Errorf("error %v", err)
	}
}
