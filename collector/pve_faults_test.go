package collector

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/source"
	"github.com/quorate/quorate/internal/source/pve"
)

// pveFault is what a server does to one path.
type pveFault struct {
	name   string
	path   string // after /api2/json; "" for all
	answer http.HandlerFunc
	reason string
	// What is still there, and what must not be.
	has, hasNot []string
}

func pveStatus(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func pveHang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func pveEndless(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"data":[`)
	for range 100 << 20 / (64 << 10) {
		if _, err := w.Write(bytes.Repeat([]byte(" "), 64<<10)); err != nil {
			return
		}
	}
}

func pveFaults() []pveFault {
	const status, resources = "/cluster/status", "/cluster/resources"
	ofStatus := []string{`pve_up{id="cluster/small"}`, "pve_node_info", "pve_cluster_info"}
	ofResources := []string{`pve_up{id="qemu/100"}`, "pve_guest_info", "pve_cpu_usage_ratio"}
	body := func(path string) string { return pveSmall()["/api2/json"+path] }
	cut := func(path string) http.HandlerFunc {
		return pveStatus(200, body(path)[:len(body(path))/2])
	}
	return []pveFault{
		{"595", resources, pveStatus(595, ""), "node_unreachable", ofStatus, ofResources},
		{"596", status, pveStatus(596, ""), "node_unreachable", ofResources, ofStatus},
		{"599", status, pveStatus(599, ""), "node_unreachable", ofResources, ofStatus},
		{"bad token", "", pveStatus(401, ""), "unauthorized", nil, []string{"pve_"}},
		{"no right to the status", status, pveStatus(403, `{"message":"Permission check failed (/, Sys.Audit)\n"}`), "forbidden", ofResources, ofStatus},
		{"500 no quorum", resources, pveStatus(500, `{"message":"cluster not ready - no quorum?"}`), "no_quorum", ofStatus, ofResources},
		{"hang of the resources", resources, pveHang, "timeout", ofStatus, ofResources},
		{"hang of all", "", pveHang, "timeout", nil, []string{"pve_"}},
		{"truncated resources", resources, cut(resources), "truncated", ofStatus, ofResources},
		{"truncated status", status, cut(status), "truncated", ofResources, ofStatus},
		{"a number that is an object", resources, pveStatus(200, strings.Replace(body(resources), `"maxcpu":2`, `"maxcpu":{}`, 1)), "type",
			append([]string{`pve_up{id="lxc/101"}`, `pve_up{id="storage/pve1/local"}`, `pve_cpu_usage_limit{id="node/pve1"}`}, ofStatus...),
			[]string{`{id="qemu/100"`}},
		{"a list that is a word", resources, pveStatus(200, `{"data":"none"}`), "type", ofStatus, ofResources},
		{"no JSON", resources, pveStatus(200, "<html>"), "type", ofStatus, ofResources},
		{"no data", resources, pveStatus(200, `{"data":null}`), "type", ofStatus, ofResources},
		{"100 MB", resources, pveEndless, "too_large", ofStatus, ofResources},
	}
}

func TestPVEFaultsCostTheirOwnSeriesOnly(t *testing.T) {
	for _, f := range pveFaults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			replies := pveSmall()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if path := strings.TrimPrefix(r.URL.Path, "/api2/json"); f.path == "" || path == f.path {
					f.answer(w, r)
					return
				}
				_, _ = io.WriteString(w, replies[r.URL.Path])
			}))
			defer srv.Close()
			api, err := pve.New(pve.Config{
				Endpoints: []string{srv.URL}, TLS: pve.TLSConfig{Insecure: true},
				Auth:     pve.Auth{TokenID: "a@pve!b", TokenSecret: pve.NewSecret("c")},
				MaxReply: 1 << 20, // far below what the endless reply has sent when its time is up
			})
			if err != nil {
				t.Fatal(err)
			}
			defer api.Close()
			begun := time.Now()
			have, err := pveText(t, pveBuilt(t, PVESource{API: api}))
			if source.Reason(err) != f.reason {
				t.Errorf("reason %q, want %q: %v", source.Reason(err), f.reason, err)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			for _, s := range f.has {
				if !strings.Contains(have, s) {
					t.Errorf("no %s", s)
				}
			}
			for _, s := range f.hasNot {
				if strings.Contains(have, s) {
					t.Errorf("%s is there", s)
				}
			}
			if n := api.Status().Errors[f.reason]; n == 0 {
				t.Errorf("no error is counted for reason %s", f.reason)
			}
		})
	}
}

func TestPVEExportsNothingOfBeforeWhenTheAPIIsGone(t *testing.T) {
	replies := pveSmall()
	gone := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, replies[r.URL.Path])
	}))
	defer srv.Close()
	api, err := pve.New(pve.Config{
		Endpoints: []string{srv.URL}, TLS: pve.TLSConfig{Insecure: true},
		Auth: pve.Auth{TokenID: "a@pve!b", TokenSecret: pve.NewSecret("c")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	facts := NewPVEFacts(api, nil, time.Now)
	facts.read(t.Context())
	c := pveBuilt(t, PVESource{API: api, Facts: facts})
	if have, err := pveText(t, c); err != nil || !strings.Contains(have, "pve_version_info") {
		t.Fatalf("%v\n%s", err, have)
	}
	gone = true
	if have, err := pveText(t, c); err == nil || have != "" {
		t.Errorf("error %v, and\n%s", err, have)
	}
}
