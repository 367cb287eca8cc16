package collector

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/internal/source/pve"
)

// The recordings have the files of /etc/pve and, taken at the same time, what prometheus-pve-exporter
// made of the API's replies.
func TestHAStatesAreThoseOfPrometheusPVEExporter(t *testing.T) {
	const dir = "../../shared/data/proxmox"
	for _, state := range []string{"healthy"} {
		etc := filepath.Join(dir, "files", state, "pve1", "etc/pve")
		text, err := os.ReadFile(filepath.Join(dir, "peer-output", state, "default.prom"))
		if err != nil {
			t.Skipf("no recording: %v", err)
		}
		var want []string
		guests := map[string]bool{}
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok && strings.HasPrefix(line, "pve_ha_state{") {
				want = append(want, fmt.Sprintf("%s} %s", name, strings.TrimSuffix(value, ".0")))
				id := strings.SplitN(name, `"`, 3)[1]
				guests[id] = !strings.HasPrefix(id, "node/")
			}
		}
		h, err := pve.HAFromFiles(os.DirFS(etc), time.Now)(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range h.Services {
			guests[s.ID()] = false
		}
		for id, without := range guests {
			if without {
				h.Unmanaged = append(h.Unmanaged, id)
			}
		}
		got := haLines(t, haAsMetrics{t: t, c: newHACollector(t, &haSays{view: pve.HAView{HA: h}})})
		got = slices.DeleteFunc(got, func(l string) bool { return !strings.HasPrefix(l, "pve_ha_state{") })
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" || len(want) < 50 {
			t.Errorf("%s, %d series: %s", state, len(want), d)
		}
	}
}
