package pvedropin

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/source/pve"
)

// BenchmarkPage is one page of 5 nodes and 500 guests, 100 of them on the node asked. Look at
// cpu-ms/op: it has the TLS server that plays Proxmox VE in it as well.
func BenchmarkPage(b *testing.B) {
	replies := aCluster()
	var rows, local []string
	for g := range 500 {
		rows = append(rows, fmt.Sprintf(`{"id":"qemu/%d","type":"qemu","vmid":%d,"node":"pve%d","name":"guest-%d","status":"running","template":0,"tags":"prod;web",`+
			`"cpu":0.07263,"maxcpu":4,"mem":4294967296,"maxmem":8589934592,"disk":0,"maxdisk":34359738368,`+
			`"netin":1234567890,"netout":987654321,"diskread":55555555555,"diskwrite":66666666666,"uptime":864000}`, 100+g, 100+g, g%5+1, g))
		if g%5 == 0 {
			local = append(local, fmt.Sprintf(`{"vmid":%d}`, 100+g))
			replies[fmt.Sprintf("/nodes/pve1/qemu/%d/config", 100+g)] = `{"data":{"onboot":1,"name":"guest","cores":4,"memory":"8192"}}`
		}
	}
	replies["/cluster/resources"] = `{"data":[` + strings.Join(rows, ",") + `]}`
	replies["/nodes/pve1/qemu"] = `{"data":[` + strings.Join(local, ",") + `]}`
	replies["/nodes/pve1/lxc"] = `{"data":[]}`
	var calls atomic.Int64
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		_, _ = io.WriteString(w, replies[strings.TrimPrefix(r.URL.Path, "/api2/json")])
	}))
	defer srv.Close()
	host := srv.Listener.Addr().String()
	targets, err := ParseTargets([]string{host})
	if err != nil {
		b.Fatal(err)
	}
	h, err := New(Config{
		Modules: Modules{"default": {Auth: pve.Auth{TokenID: "u@pve!t", TokenSecret: pve.NewSecret(secret)}, Insecure: true}},
		Targets: targets, Parts: collector.AllPVEParts(),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	for _, query := range []string{"cluster=1&node=1", "cluster=1&node=0"} {
		b.Run(query, func(b *testing.B) {
			calls.Store(0)
			cpu := cpuTime(b)
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/pve?target="+host+"&"+query, nil))
				if w.Code != http.StatusOK || w.Body.Len() < 100_000 {
					b.Fatalf("status %d, %d bytes", w.Code, w.Body.Len())
				}
			}
			b.ReportMetric(float64(cpuTime(b)-cpu)/1e6/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(calls.Load())/float64(b.N), "calls/op")
		})
	}
}

// cpuTime is what this process has used of the CPUs.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
