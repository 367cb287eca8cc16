package pve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	proxmox "github.com/luthermonson/go-proxmox"
)

// counted counts the requests that reach h.
func counted(h http.HandlerFunc) (http.Handler, *atomic.Int32) {
	n := &atomic.Int32{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.Add(1); h(w, r) }), n
}

func TestReadsTurnToTheNextEndpoint(t *testing.T) {
	for _, c := range []struct {
		name  string
		first http.HandlerFunc // nil: nobody listens
		asked int32            // the first endpoint, by two reads
	}{
		{"refused", nil, 0},
		{"595", status("595 Connection refused", ""), 1},
		{"596", status("596 Connection timed out", ""), 1},
		{"599", status("599 Too many redirections", ""), 1},
		{"502", status("502 Bad Gateway", ""), 1},
		{"503", status("503 Service Unavailable", ""), 1},
		{"504", status("504 Gateway Timeout", ""), 1},
		{"hangs", hang, 1},
		{"cuts the connection", func(w http.ResponseWriter, _ *http.Request) { raw(w, "") }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeak(t)
			a := newAuthority(t)
			first, asked := counted(c.first)
			second, answered := counted(reply(goodStatus))
			var logged bytes.Buffer
			cl := a.client(t, func(cfg *Config) {
				cfg.Endpoints = []string{refusing(t), a.serve(t, second).URL}
				if c.first != nil {
					cfg.Endpoints[0] = a.serve(t, first).URL
				}
				cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
			})
			for range 2 {
				s, err := cl.ClusterStatus(within(t, 2*time.Second))
				if err != nil || len(s.Nodes) != 1 {
					t.Fatalf("got %+v, %v", s, err)
				}
			}
			if asked.Load() != c.asked || answered.Load() != 2 {
				t.Errorf("first endpoint asked %d times, second %d; want %d and 2: the good one is kept", asked.Load(), answered.Load(), c.asked)
			}
			if n := strings.Count(logged.String(), "asking another"); n != 1 {
				t.Errorf("the change was logged %d times", n)
			}
		})
	}
}

func TestReadsDoNotTurnAwayFromAnAnswer(t *testing.T) {
	for _, line := range []string{"400 Parameter verification failed.", "401 No ticket", "403 Forbidden", "500 boom", "501 not implemented"} {
		t.Run(line, func(t *testing.T) {
			noLeak(t)
			a := newAuthority(t)
			first, asked := counted(status(line, ""))
			second, others := counted(reply(goodStatus))
			cl := a.client(t, nil, a.serve(t, first), a.serve(t, second))
			if _, err := cl.ClusterStatus(within(t, 5*time.Second)); err == nil {
				t.Error("no error")
			}
			if asked.Load() != 1 || others.Load() != 0 {
				t.Errorf("asked %d and %d times, want 1 and 0", asked.Load(), others.Load())
			}
		})
	}
}

func TestReadsAreTriedAgainWhenTheProxyRestarts(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	var n atomic.Int32
	cl := a.client(t, nil, a.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			raw(w, "")
			return
		}
		reply(goodStatus)(w, r)
	})))
	if _, err := cl.ClusterStatus(within(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
}

func TestADeadNodeIsAskedForThroughThreeEndpointsAtMost(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	h, asked := counted(status("595 Connection refused", ""))
	cl := a.client(t, nil, a.serve(t, h), a.serve(t, h), a.serve(t, h), a.serve(t, h), a.serve(t, h))
	_, err := cl.Subscription(within(t, 5*time.Second), "pve3")
	var e *Error
	if !errors.As(err, &e) || e.Kind != NodeUnreachable || e.Node != "pve3" || asked.Load() != 3 {
		t.Errorf("got %v after %d requests", err, asked.Load())
	}
	if s := cl.Status(); !s.Up {
		t.Errorf("status %+v: the API is up, one node is not", s)
	}
}

func TestTheErrorThatSaysMostIsReturned(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	s := a.serve(t, status("595 no route to host", ""))
	cl := a.client(t, func(c *Config) { c.Endpoints = []string{refusing(t), s.URL, refusing(t)} })
	if _, err := cl.ClusterStatus(within(t, 5*time.Second)); !IsKind(err, NodeUnreachable) {
		t.Errorf("got %v", err)
	}
}

// writers are all ways to write, through us and through go-proxmox.
func writers(cl *Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Post":   func(ctx context.Context) error { return cl.Post(ctx, "/x", map[string]any{"a": 1}, nil) },
		"Put":    func(ctx context.Context) error { return cl.Put(ctx, "/x", map[string]any{"a": 1}, nil) },
		"Delete": func(ctx context.Context) error { return cl.Delete(ctx, "/x?force=1", nil) },
		"library HAResourceMigrate": func(ctx context.Context) error {
			return (&proxmox.Cluster{}).New(cl.Library()).HAResourceMigrate(ctx, "vm:100", "pve2")
		},
	}
}

func TestWritesAreSentExactlyOnce(t *testing.T) {
	faults := map[string]http.HandlerFunc{
		"success":            reply(`{"data":null}`),
		"595":                status("595 Connection refused", ""),
		"596":                status("596 Connection timed out", ""),
		"599":                status("599 x", ""),
		"404":                status("404 x", ""),
		"502":                status("502 Bad Gateway", ""),
		"503":                status("503 Service Unavailable", ""),
		"401":                status("401 No ticket", ""),
		"403":                status("403 Forbidden", ""),
		"hang":               hang,
		"reply lost":         func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); raw(w, "") },
		"reply cut":          func(w http.ResponseWriter, r *http.Request) { raw(w, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{") },
		"success, no JSON":   reply("ok"),
		"success, truncated": reply(`{"data":`),
	}
	for fault, h := range faults {
		for _, way := range []string{"Post", "Put", "Delete", "library HAResourceMigrate"} {
			t.Run(fault+"/"+way, func(t *testing.T) {
				noLeak(t)
				a := newAuthority(t)
				first, n := counted(h)
				second, others := counted(reply(`{"data":null}`))
				cl := a.client(t, nil, a.serve(t, first), a.serve(t, second))
				limit := 20 * time.Second
				if fault == "hang" {
					limit = time.Second // enough to get it there on a busy machine
				}
				err := writers(cl)[way](within(t, limit))
				if (err == nil) != (fault == "success") && way != "library HAResourceMigrate" {
					t.Errorf("got error %v", err)
				}
				if strings.HasPrefix(fault, "success") == (err != nil) && strings.HasPrefix(way, "library") {
					t.Errorf("got error %v", err)
				}
				if n.Load() != 1 || others.Load() != 0 {
					t.Errorf("sent %d times, and %d times to the other endpoint", n.Load(), others.Load())
				}
				var e *Error
				if err != nil && (!errors.As(err, &e) || !e.Sent) {
					t.Errorf("got %#v, want an *Error that says it was sent", err)
				}
			})
		}
	}
}

func TestWritesOverKeptConnectionsAreSentOnce(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	var posts atomic.Int32
	cl := a.client(t, nil, a.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			reply(goodStatus)(w, r)
			return
		}
		posts.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		raw(w, "") // carried out, and the reply is lost
	})))
	if _, err := cl.ClusterStatus(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	err := cl.Post(within(t, 5*time.Second), "/x", nil, nil)
	if !IsKind(err, Truncated) || posts.Load() != 1 {
		t.Errorf("got %v after %d posts, want truncated after one", err, posts.Load())
	}
}

func TestWritesTurnToAnotherEndpointOnlyWhenNothingWasSent(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	h, n := counted(reply(`{"data":"UPID:pve2:1:2:3:qmstart:100:root@pam:"}`))
	s := a.serve(t, h)
	cl := a.client(t, func(c *Config) { c.Endpoints = []string{refusing(t), s.URL} })
	var upid string
	if err := cl.Post(within(t, 5*time.Second), "/nodes/pve2/qemu/100/status/start", nil, &upid); err != nil || !strings.HasPrefix(upid, "UPID:pve2") {
		t.Errorf("got %q, %v", upid, err)
	}
	if n.Load() != 1 {
		t.Errorf("sent %d times", n.Load())
	}
	cl = a.client(t, func(c *Config) { c.Endpoints = []string{refusing(t)} })
	var e *Error
	if err := cl.Post(within(t, 5*time.Second), "/x", nil, nil); !errors.As(err, &e) || e.Sent || e.Kind != Refused {
		t.Errorf("got %#v, want refused and not sent", err)
	}
}

// ticketServer is an API with logins. Tickets are t1, t2, …; valid says which are good.
type ticketServer struct {
	mu     sync.Mutex
	logins int
	valid  string
	seen   []string // METHOD TICKET CSRF
}

func (s *ticketServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == apiPrefix+ticketPath {
		s.logins++
		if r.FormValue("username") != "root@pam" || r.FormValue("password") != "pass+word&" {
			status("401 authentication failure", "")(w, r)
			return
		}
		s.valid = fmt.Sprintf("PVE:root@pam:65F::t%d+/==", s.logins)
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"ticket": s.valid, "CSRFPreventionToken": "csrf" + s.valid}})
		return
	}
	cookie := strings.TrimPrefix(r.Header.Get("Cookie"), "PVEAuthCookie=")
	s.seen = append(s.seen, r.Method)
	switch {
	case r.Header.Get("Authorization") != "", cookie != s.valid:
		status("401 Authentication failed!", "")(w, r)
	case r.Method != http.MethodGet && r.Header.Get("CSRFPreventionToken") != "csrf"+s.valid:
		status("401 Permission denied - invalid csrf token", "")(w, r)
	case r.Method == http.MethodGet && r.Header.Get("CSRFPreventionToken") != "":
		status("400 CSRF token on a read", "")(w, r)
	default:
		reply(goodStatus)(w, r)
	}
}

func (s *ticketServer) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.valid = "another key"
}

func (s *ticketServer) counts() (logins int, seen []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins, slices.Clone(s.seen)
}

func withPassword(pw string) func(*Config) {
	return func(c *Config) { c.Auth = Auth{User: "root@pam", Password: NewSecret(pw)} }
}

func TestConcurrentFirstCallsLogInOnce(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	srv := &ticketServer{}
	cl := a.client(t, withPassword("pass+word&"), a.serve(t, srv))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			var out json.RawMessage
			if err := cl.Get(within(t, 5*time.Second), "/cluster/status", &out); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if logins, _ := srv.counts(); logins != 1 {
		t.Errorf("%d logins", logins)
	}
}

func TestADeadTicketIsReplacedOnceForReadsAndNeverRepeatsAWrite(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	srv := &ticketServer{}
	cl := a.client(t, withPassword("pass+word&"), a.serve(t, srv))
	ctx := within(t, 10*time.Second)
	if _, err := cl.ClusterStatus(ctx); err != nil {
		t.Fatal(err)
	}
	srv.revoke()
	if _, err := cl.ClusterStatus(ctx); err != nil {
		t.Errorf("a read after the node joined a cluster: %v", err)
	}
	if logins, seen := srv.counts(); logins != 2 || len(seen) != 3 {
		t.Errorf("%d logins, requests %v", logins, seen)
	}
	srv.revoke()
	if err := cl.Post(ctx, "/x", nil, nil); !IsKind(err, Unauthorized) {
		t.Errorf("a write: %v", err)
	}
	if err := cl.Post(ctx, "/x", nil, nil); err != nil {
		t.Errorf("the next write: %v", err)
	}
	if logins, seen := srv.counts(); logins != 3 || len(seen) != 5 {
		t.Errorf("%d logins, requests %v", logins, seen)
	}
}

func TestTicketsAreRenewedBeforeTheyExpire(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	srv := &ticketServer{}
	now := time.Unix(1800000000, 0)
	cl := a.client(t, func(c *Config) {
		withPassword("pass+word&")(c)
		c.Now = func() time.Time { return now }
	}, a.serve(t, srv))
	for _, pass := range []time.Duration{0, 59 * time.Minute, 2 * time.Minute} {
		now = now.Add(pass)
		if _, err := cl.ClusterStatus(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if logins, seen := srv.counts(); logins != 2 || len(seen) != 3 {
		t.Errorf("%d logins for %d requests, want 2 for 3", logins, len(seen))
	}
}

func TestAWrongPasswordIsTriedOnceForAllWhoWait(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	srv := &ticketServer{}
	cl := a.client(t, withPassword("wrong"), a.serve(t, srv))
	_, err := cl.ClusterStatus(within(t, 5*time.Second))
	var e *Error
	if !errors.As(err, &e) || e.Kind != Unauthorized || e.Path != ticketPath {
		t.Errorf("got %v", err)
	}
	if logins, seen := srv.counts(); logins != 1 || len(seen) != 0 {
		t.Errorf("%d logins, %d requests", logins, len(seen))
	}
}

func TestLoginThatNeedsASecondFactorSaysSo(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	cl := a.client(t, withPassword("x"), a.serve(t, reply(`{"data":{"NeedTFA":1,"ticket":"PVE:!tfa!","CSRFPreventionToken":"c"}}`)))
	if _, err := cl.ClusterStatus(within(t, 5*time.Second)); !IsKind(err, Unauthorized) || !strings.Contains(err.Error(), "second factor") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsAppearInNoLogAndNoError(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	var logged bytes.Buffer
	// A server that repeats all it was told.
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		said := strings.Map(func(c rune) rune {
			if c == '"' || c == '\n' {
				return ' '
			}
			return c
		}, string(b))
		status("500 "+r.Header.Get("Authorization"), `{"message":"`+said+r.Header.Get("Authorization")+`"}`)(w, r)
	})
	cl := a.client(t, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}, a.serve(t, echo))
	ctx := within(t, 5*time.Second)
	join := map[string]any{"hostname": "pve1", "password": "root-password-of-join"}
	_, errLibrary := (&proxmox.Cluster{}).New(cl.Library()).JoinCluster(ctx, &proxmox.ClusterJoinOptions{Hostname: "pve1", Password: "root-password-of-join"})
	for name, err := range map[string]error{
		"read": cl.Get(ctx, "/x", new(any)), "write": cl.Put(ctx, "/x", nil, nil), "library": errLibrary,
	} {
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), testSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_ = cl.Post(ctx, "/cluster/config/join", join, nil)
	if !strings.Contains(logged.String(), "SEND: POST") {
		t.Fatal("the library logged nothing, so this proves nothing")
	}
	for _, s := range []string{testSecret, "root-password-of-join"} {
		if strings.Contains(logged.String(), s) {
			t.Errorf("%q is in the log:\n%s", s, logged.String())
		}
	}
	if s := fmt.Sprintf("%v %+v %#v", cl.transport.auth.Auth, cl.transport.auth.Auth, cl.transport.auth.Auth); strings.Contains(s, testSecret) {
		t.Errorf("printed: %s", s)
	}
}

func TestASecretPrintsAsStars(t *testing.T) {
	type config struct {
		Token  Secret
		hidden Secret
	}
	s := NewSecret("hunter2")
	c := config{s, s}
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", s, "config", c)
	all := fmt.Sprintf("%s %v %+v %#v %q %x %d %v %+v %#v %v %s %s", s, s, s, s, s, s, s, c, c, c, &c, js, logged.String())
	if strings.Contains(all, "hunter2") || strings.Contains(all, "68756e74") || !strings.Contains(all, "***") {
		t.Errorf("printed: %s", all)
	}
	if s.Reveal() != "hunter2" || (Secret{}).Reveal() != "" {
		t.Error("Reveal does not reveal")
	}
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	good := Auth{TokenID: testToken, TokenSecret: NewSecret("x")}
	for want, c := range map[string]Config{
		"no endpoint":            {Auth: good},
		"scheme must be https":   {Auth: good, Endpoints: []string{"http://pve1:8006"}},
		"no more":                {Auth: good, Endpoints: []string{"https://pve1:8006/other"}},
		"must not hold a user":   {Auth: good, Endpoints: []string{"https://root:secret@pve1"}},
		"not a URL|no URL":       {Auth: good, Endpoints: []string{"https://root:sec ret@pve1:x"}},
		"neither a token nor":    {Endpoints: []string{"pve1"}},
		"not both":               {Auth: Auth{TokenID: testToken, TokenSecret: NewSecret("x"), User: "a@pam"}, Endpoints: []string{"pve1"}},
		"USER@REALM!NAME":        {Auth: Auth{TokenID: "root@pam", TokenSecret: NewSecret("x")}, Endpoints: []string{"pve1"}},
		"no secret":              {Auth: Auth{TokenID: testToken}, Endpoints: []string{"pve1"}},
		"USER@REALM":             {Auth: Auth{User: "root", Password: NewSecret("x")}, Endpoints: []string{"pve1"}},
		"no password":            {Auth: Auth{User: "root@pam"}, Endpoints: []string{"pve1"}},
		"line break":             {Auth: Auth{TokenID: testToken, TokenSecret: NewSecret("x\n")}, Endpoints: []string{"pve1"}},
		"want 32 bytes":          {Auth: good, Endpoints: []string{"pve1"}, TLS: TLSConfig{Fingerprints: map[string]string{"pve1": "AA:BB"}}},
		"no PEM certificate":     {Auth: good, Endpoints: []string{"pve1"}, TLS: TLSConfig{CAPEM: []byte("x")}},
		"as a file or as text, ": {Auth: good, Endpoints: []string{"pve1"}, TLS: TLSConfig{CAPEM: []byte("x"), CAFile: "y"}},
	} {
		_, err := New(c)
		if err == nil || !slices.ContainsFunc(strings.Split(want, "|"), func(s string) bool { return strings.Contains(err.Error(), s) }) {
			t.Errorf("want %q, got %v", want, err)
		}
		if err != nil && strings.Contains(err.Error(), "sec") && strings.Contains(err.Error(), "ret@") {
			t.Errorf("a password is shown: %v", err)
		}
	}
}

func TestEndpointsMayBeWrittenInManyWays(t *testing.T) {
	for in, want := range map[string]string{
		"pve1": "https://pve1:8006", "pve1:443": "https://pve1:443", "https://pve1": "https://pve1:8006",
		"https://pve1:8006/": "https://pve1:8006", "https://pve1/api2/json": "https://pve1:8006",
		"fd00::1": "https://[fd00::1]:8006", "[fd00::1]:9": "https://[fd00::1]:9", "10.0.0.1": "https://10.0.0.1:8006",
	} {
		u, err := parseEndpoint(in, false)
		if err != nil || u.String() != want {
			t.Errorf("%s: got %v, %v; want %s", in, u, err, want)
		}
	}
}

func TestNothingWorksAfterClose(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	cl := a.client(t, nil, a.serve(t, reply(goodStatus)))
	_ = cl.Close()
	if _, err := cl.ClusterStatus(within(t, time.Second)); err == nil {
		t.Error("a call after Close succeeded")
	}
}

func TestCloseEndsCallsUnderWay(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	started := make(chan struct{})
	s := a.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { close(started); hang(w, r) }))
	cl := a.client(t, nil, s)
	done := make(chan error, 1)
	go func() { done <- cl.Post(context.Background(), "/x", nil, nil) }()
	<-started
	_ = cl.Close()
	if err := <-done; !IsKind(err, Timeout) {
		t.Errorf("got %v", err)
	}
}

func TestACallWithoutADeadlineEndsAtTheClientsTimeout(t *testing.T) {
	noLeak(t)
	a := newAuthority(t)
	cl := a.client(t, func(c *Config) { c.Timeout = 100 * time.Millisecond }, a.serve(t, http.HandlerFunc(hang)))
	if _, err := cl.Version(context.Background()); !IsKind(err, Timeout) {
		t.Errorf("typed: %v", err)
	}
	if _, err := cl.Library().Nodes(context.Background()); !IsKind(err, Timeout) {
		t.Errorf("library: %v", err)
	}
}

func TestGoProxmoxReportsWhatItWouldTakeForSuccess(t *testing.T) {
	for _, line := range []string{"404 x", "502 x", "503 x", "595 Connection refused", "596 x", "599 x"} {
		a := newAuthority(t)
		s := a.serve(t, status(line, `{"data":null}`))
		plain := proxmox.NewClient(s.URL+apiPrefix, proxmox.WithHTTPClient(s.Client()), proxmox.WithAPIToken("a@b!c", "d"))
		if err := plain.Post(t.Context(), "/x", nil, nil); err != nil {
			t.Errorf("%s: alone it says %v: our transport is no longer needed for this", line, err)
		}
		cl := a.client(t, nil, s)
		var e *Error
		if err := cl.Library().Post(t.Context(), "/x", nil, nil); !errors.As(err, &e) {
			t.Errorf("%s: got %v", line, err)
		}
	}
}

var _ http.RoundTripper = (*transport)(nil)
