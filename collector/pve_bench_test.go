package collector

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/quorate/quorate/internal/source/pve"
)

// pveReplies are the replies of a made-up cluster, as Proxmox VE 9 gives them: all numbers are there.
func pveReplies(nodes, guests int) map[string]string {
	var status, resources []string
	status = append(status, fmt.Sprintf(`{"id":"cluster","type":"cluster","name":"bench","nodes":%d,"quorate":1,"version":9}`, nodes))
	for n := range nodes {
		status = append(status, fmt.Sprintf(`{"id":"node/pve%d","type":"node","name":"pve%d","nodeid":%d,"online":1,"local":%d,"ip":"10.0.0.%d","level":""}`,
			n+1, n+1, n+1, b2i(n == 0), n+1))
		resources = append(resources, fmt.Sprintf(`{"id":"node/pve%d","type":"node","node":"pve%d","status":"online","hastate":"online","level":"","cgroup-mode":2,`+
			`"cpu":0.0%d93743,"maxcpu":32,"mem":91286818816,"maxmem":270582939648,"disk":9126805504,"maxdisk":101597184000,"uptime":%d}`, n+1, n+1, n+1, 1000000+n))
		for _, s := range []string{"local", "local-zfs", "ceph", "backup"} {
			resources = append(resources, fmt.Sprintf(`{"id":"storage/pve%d/%s","type":"storage","node":"pve%d","storage":"%s","status":"available","shared":%d,`+
				`"plugintype":"dir","content":"vztmpl,iso,images,backup","disk":9126805504,"maxdisk":101597184000}`, n+1, s, n+1, s, b2i(s == "ceph")))
		}
	}
	for g := range guests {
		ha := ""
		if g%4 == 0 {
			ha = `"hastate":"started",`
		}
		resources = append(resources, fmt.Sprintf(`{"id":"qemu/%d","type":"qemu","vmid":%d,"node":"pve%d","name":"guest-%d","status":"running","template":0,"tags":"prod;web",%s`+
			`"cpu":0.0%d7263,"maxcpu":4,"mem":%d,"maxmem":8589934592,"memhost":4394967296,"disk":0,"maxdisk":34359738368,`+
			`"netin":%d,"netout":%d,"diskread":%d,"diskwrite":%d,"uptime":%d}`,
			100+g, 100+g, g%nodes+1, g, ha, g%9+1, 4294967296+g*4096, 1234567890+g, 987654321+g, 55555555555+g, 66666666666+g, 864000+g))
	}
	return map[string]string{
		"/api2/json/cluster/status":                    `{"data":[` + strings.Join(status, ",") + `]}`,
		"/api2/json/cluster/resources":                 `{"data":[` + strings.Join(resources, ",") + `]}`,
		"/api2/json/version":                           `{"data":{"release":"9.2","repoid":"14a22df35955d97d","version":"9.2.11"}}`,
		"/api2/json/cluster/backup-info/not-backed-up": `{"data":[]}`,
		"/api2/json/cluster/config/qdevice":            `{"data":{}}`,
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// pveServer serves replies without TLS and counts the requests.
func pveServer(t testing.TB, replies map[string]string) (*pve.Client, *atomic.Int64) {
	t.Helper()
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, ok := replies[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	c, err := pve.New(pve.Config{
		Endpoints: []string{srv.URL},
		Auth:      pve.Auth{TokenID: "a@pve!b", TokenSecret: pve.NewSecret("c")},
		TLS:       pve.TLSConfig{Insecure: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, &calls
}

// discard is a ResponseWriter that counts.
type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { d.n += len(b); return len(b), nil }

// BenchmarkPVEScrape is a scrape from the request to the last byte of the exposition. Look at
// cpu-ms/op: it has the server that plays Proxmox VE in it as well.
func BenchmarkPVEScrape(b *testing.B) {
	for _, size := range []struct{ nodes, guests int }{{5, 500}, {20, 2000}} {
		for _, gzip := range []string{"identity", "gzip"} {
			b.Run(fmt.Sprintf("%dnodes/%dguests/%s", size.nodes, size.guests, gzip), func(b *testing.B) {
				api, calls := pveServer(b, pveReplies(size.nodes, size.guests))
				facts := NewPVEFacts(api, nil, time.Now)
				facts.read(b.Context())
				e, err := NewExporter([]Spec{PVESpec()}, Sources{PVE: &PVESource{API: api, Facts: facts}},
					Options{Clusters: ScopeAll, Timeout: time.Minute, Log: slog.New(slog.DiscardHandler), Now: time.Now})
				if err != nil {
					b.Fatal(err)
				}
				req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
				req.Header.Set("Accept-Encoding", gzip)
				calls.Store(0)
				b.ReportAllocs()
				cpu := cpuTime(b)
				for b.Loop() {
					s, err := e.Scrape(context.Background(), Filter{})
					if err != nil {
						b.Fatal(err)
					}
					w := &discard{header: http.Header{}}
					promhttp.HandlerFor(s, promhttp.HandlerOpts{}).ServeHTTP(w, req)
					if w.n < 10000 {
						b.Fatalf("%d bytes", w.n)
					}
				}
				b.ReportMetric(float64(cpuTime(b)-cpu)/1e6/float64(b.N), "cpu-ms/op")
				b.ReportMetric(float64(calls.Load())/float64(b.N), "calls/op")
			})
		}
	}
}
