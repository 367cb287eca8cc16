package pve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/source"
)

const goodStatus = `{"data":[{"type":"cluster","id":"cluster","name":"lab","nodes":1,"quorate":1,"version":1},` +
	`{"type":"node","id":"node/pve1","name":"pve1","nodeid":1,"online":1,"local":1,"ip":"10.0.0.1","level":""}]}`

func TestFaultsAreToldApartWithinTheDeadline(t *testing.T) {
	huge := func(chunked bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			const size = 100 << 20
			if !chunked {
				w.Header().Set("Content-Length", fmt.Sprint(size))
			}
			block := []byte(strings.Repeat(" ", 1<<20))
			for range size / len(block) {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}
	}
	for _, c := range []struct {
		name   string
		h      http.HandlerFunc
		kind   Kind
		status int
		text   string // a part of the error
		up     bool
	}{
		{"answers", reply(goodStatus), "", 0, "", true},
		{"hangs", hang, Timeout, 0, "deadline", false},
		{"slow body", func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}, Timeout, 200, "broke off after", false},
		{"595", status("595 Connection refused", ""), NodeUnreachable, 595, "HTTP 595 Connection refused", false},
		{"596", status("596 Connection timed out", ""), NodeUnreachable, 596, "Connection timed out", false},
		{"599", status("599 Too many redirections", ""), NodeUnreachable, 599, "Too many redirections", false},
		{"401", status("401 No ticket", ""), Unauthorized, 401, "check id and secret of the token", false},
		{"403", status("403 Permission check failed", `{"data":null,"message":"Permission check failed (/, Sys.Audit)\n"}`),
			Forbidden, 403, "(/, Sys.Audit)", true},
		{"500 no quorum", status("500 cluster not ready - no quorum?", `{"data":null,"message":"cluster not ready - no quorum?\n"}`), NoQuorum, 500, "no quorum?", true},
		{"500 lock without quorum", status("500 cfs-lock 'file-replication_cfg' error: no quorum!", `{"data":null}`), NoQuorum, 500, "cfs-lock", true},
		{"500 else", status("500 cannot index groups: ha groups have been migrated to rules", `{"data":null}`), Server, 500, "migrated to rules", true},
		{"501", status("501 Method 'GET /foo' not implemented", ""), NotImplemented, 501, "", true},
		{"400", status("400 Parameter verification failed.", `{"data":null,"errors":{"vmid":"type check failed\n"},"message":"Parameter verification failed.\n"}`),
			Client4xx, 400, "vmid: type check failed", true},
		{"404", status("404 Not Found", ""), Client4xx, 404, "Not Found", true},
		{"503", status("503 Service Unavailable", ""), Server, 503, "", false},
		{"redirect", status("302 Found\r\nLocation: https://127.0.0.1:1/", ""), Type, 302, "redirects", false},
		{"connection cut before the reply", func(w http.ResponseWriter, _ *http.Request) { raw(w, "") }, Truncated, 0, "EOF", false},
		{"connection cut in the body", func(w http.ResponseWriter, _ *http.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"data\":[")
		}, Truncated, 200, "broke off after 9 bytes", false},
		{"truncated JSON", reply(goodStatus[:len(goodStatus)/2]), Truncated, 0, "in the middle of its JSON", false},
		{"empty body", reply(""), Truncated, 0, "", false},
		{"null", reply(`{"data":null}`), Type, 0, "no data", false},
		{"object for list", reply(`{"data":{"a":1}}`), Type, 0, "object", false},
		{"HTML", reply("<html>login</html>"), Type, 0, "not JSON", false},
		{"deep nesting", reply(strings.Repeat("[", 1<<20)), Type, 0, "", false},
		{"100 MB announced", huge(false), TooLarge, 200, "larger than 33554432 bytes", false},
		{"100 MB chunked", huge(true), TooLarge, 200, "larger than", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeak(t)
			a := newAuthority(t)
			cl := a.client(t, nil, a.serve(t, c.h))
			limit := 20 * time.Second // nobody is to wait for it
			if c.kind == Timeout {
				limit = 600 * time.Millisecond
			}
			begun := time.Now()
			s, err := cl.ClusterStatus(within(t, limit))
			if took := time.Since(begun); took > limit+2*time.Second {
				t.Errorf("took %s, the deadline was %s", took, limit)
			}
			checkFault(t, err, c.kind, c.status, c.text)
			if c.kind != "" && len(s.Nodes) > 0 {
				t.Errorf("got nodes beside the error: %+v", s)
			}
			st := cl.Status()
			if st.Up != c.up || st.Requests != 1 {
				t.Errorf("status %+v, want up %t and one request", st, c.up)
			}
			if n, ok := st.Errors[string(c.kind)]; c.kind != "" && (!ok || n != 1) {
				t.Errorf("errors %v, want one of %s", st.Errors, c.kind)
			}
		})
	}
}

func checkFault(t *testing.T, err error, kind Kind, status int, text string) {
	t.Helper()
	if kind == "" {
		if err != nil {
			t.Errorf("got %v", err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %T %v, want an *Error of kind %s", err, err, kind)
	}
	if kind == Timeout { // who gives up first, the caller or the request, is a matter of luck
		status, text = e.Status, ""
	}
	if e.Kind != kind || e.Status != status || e.Path != "/cluster/status" || e.Method != "GET" {
		t.Errorf("got %+v, want kind %s status %d for GET /cluster/status", e, kind, status)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q does not say %q", err, text)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), testSecret) {
		t.Errorf("the secret is in %+v", err)
	}
	if source.Reason(err) != string(kind) {
		t.Errorf("reason %q, want %q", source.Reason(err), kind)
	}
}

func TestFaultsOfTheConnectionAreToldApart(t *testing.T) {
	good, other := newAuthority(t), newAuthority(t)
	wrongPin := "AA:" + strings.Repeat("00:", 30) + "00"
	for _, c := range []struct {
		name   string
		change func(t *testing.T, c *Config)
		kind   Kind
		text   string
	}{
		{"refused", func(t *testing.T, c *Config) { c.Endpoints = []string{refusing(t)} }, Refused, "pveproxy"},
		{"no such name", func(_ *testing.T, c *Config) { c.Endpoints = []string{"pve1.invalid"} }, Dial, ""},
		{"unknown CA", func(_ *testing.T, c *Config) { c.TLS.CAPEM = other.pem }, TLS, "unknown authority"},
		{"unknown to the system", func(_ *testing.T, c *Config) { c.TLS = TLSConfig{} }, TLS, "pve-root-ca.pem"},
		{"expired", func(t *testing.T, c *Config) {
			c.Endpoints = []string{good.serveUntil(t, reply(goodStatus), time.Now().Add(-time.Hour)).URL}
		}, TLS, "expired"},
		{"other name", func(t *testing.T, c *Config) {
			c.Endpoints = []string{strings.Replace(c.Endpoints[0], "127.0.0.1", "localhost", 1)}
		}, TLS, "localhost"},
		{"fingerprint mismatch", func(_ *testing.T, c *Config) {
			c.TLS = TLSConfig{Fingerprints: map[string]string{"127.0.0.1": wrongPin}}
		}, TLS, "pinned is AA:00"},
		{"CA file missing", func(t *testing.T, c *Config) {
			c.TLS = TLSConfig{CAFile: t.TempDir() + "/pve-root-ca.pem"}
		}, TLS, "no such file"},
		{"plain HTTP at the port", func(t *testing.T, c *Config) {
			c.Endpoints = []string{"https://" + plainListener(t, "HTTP/1.1 400 Bad Request\r\n\r\n")}
		}, TLS, ""},
		{"hangs in the handshake", func(t *testing.T, c *Config) {
			c.Endpoints = []string{"https://" + plainListener(t, "")}
		}, Timeout, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeak(t)
			s := good.serve(t, reply(goodStatus))
			cl := good.client(t, func(cfg *Config) { c.change(t, cfg) }, s)
			limit := 20 * time.Second
			if c.kind == Timeout {
				limit = 500 * time.Millisecond
			}
			_, err := cl.ClusterStatus(within(t, limit))
			checkFault(t, err, c.kind, 0, c.text)
		})
	}
}

// plainListener accepts, writes text if there is any, and waits for the end of the test.
func plainListener(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var open []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				for _, c := range open {
					_ = c.Close()
				}
				return
			}
			open = append(open, conn)
			_, _ = io.WriteString(conn, text)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

func TestGoodCertificatesAreBelieved(t *testing.T) {
	a := newAuthority(t)
	expired := a.serveUntil(t, reply(goodStatus), time.Now().Add(-time.Hour))
	host := strings.TrimPrefix(expired.URL, "https://")
	for name, c := range map[string]TLSConfig{
		"pin for host:port":     {Fingerprints: map[string]string{host: colons(fingerprint(expired))}},
		"pin for host":          {Fingerprints: map[string]string{"127.0.0.1": strings.ToLower(colons(fingerprint(expired)))}},
		"pin for every host":    {Fingerprints: map[string]string{"": "sha256:" + strings.ReplaceAll(colons(fingerprint(expired)), ":", "")}},
		"pin wins over the CAs": {CAPEM: newAuthority(t).pem, Fingerprints: map[string]string{"127.0.0.1": colons(fingerprint(expired))}},
		"told to be insecure":   {Insecure: true},
	} {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			cl := a.client(t, func(cfg *Config) { cfg.TLS = c }, expired)
			if _, err := cl.ClusterStatus(within(t, 5*time.Second)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAHugeReplyDoesNotFillTheMemory(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	cl := a.client(t, func(c *Config) { c.MaxReply = 1 << 20 }, a.serve(t, func() http.HandlerFunc {
		block := []byte(strings.Repeat("x", 1<<16))
		return func(w http.ResponseWriter, _ *http.Request) {
			for range 100 << 20 / len(block) {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}
	}()))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := cl.Resources(within(t, 10*time.Second))
	runtime.ReadMemStats(&after)
	if !IsKind(err, TooLarge) {
		t.Fatalf("got %v", err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 { // the server's part included
		t.Errorf("allocated %d bytes on the way to a limit of 1 MiB", grown)
	}
}

func TestOneHangingKindOfCallCostsOnlyItself(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	var hung atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api2/json/nodes/pve1/replication", func(w http.ResponseWriter, r *http.Request) {
		hung.Add(1)
		hang(w, r)
	})
	mux.HandleFunc("GET /api2/json/cluster/status", reply(goodStatus))
	cl := a.client(t, nil, a.serve(t, mux))

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	results := make(chan error, 5)
	for range 5 {
		go func() {
			_, err := cl.Replication(ctx, "pve1")
			results <- err
		}()
	}
	if _, err := cl.ClusterStatus(ctx); err != nil {
		t.Errorf("the other call: %v", err)
	}
	for range 5 {
		if err := <-results; source.Reason(err) != "timeout" && source.Reason(err) != "stuck" {
			t.Errorf("got %v", err)
		}
	}
	if n := hung.Load(); n != 1 {
		t.Errorf("%d requests reached the server, want 1 shared by five callers", n)
	}
	if cl.Status().Up {
		t.Error("up although a call hung")
	}
}
