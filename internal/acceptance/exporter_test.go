package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/quorate/quorate/internal/lab"
)

// exporter is the program, on one node of a lab or by itself.
type exporter struct {
	lab  *lab.Lab // nil outside of a lab
	node int
	url  string
	pid  func() int
}

// startExporters runs the program on every node of l with args besides those it needs in a lab.
func startExporters(t *testing.T, l *lab.Lab, args ...string) []*exporter {
	t.Helper()
	binary := program(t)
	var all []*exporter
	for _, node := range l.Nodes() {
		address := freeAddress(t)
		o := lab.ExporterOptions{Binary: binary, Listen: address, Args: args}
		if err := l.StartExporter(t.Context(), node, o); err != nil {
			t.Fatal(err)
		}
		all = append(all, &exporter{lab: l, node: node, url: "http://" + address,
			pid: func() int { return l.Pid(node, "exporter") }})
	}
	for _, x := range all {
		x.waitReady(t)
	}
	return all
}

// startAlone runs the program on the machine itself until the test ends.
func startAlone(t *testing.T, binary string, args ...string) *exporter {
	t.Helper()
	address := freeAddress(t)
	cmd := exec.Command(binary, append([]string{"serve", "--web.listen-address=" + address}, args...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("the exporter had ended: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the exporter ended with %v:\n%s", err, &log)
		}
	})
	x := &exporter{node: 1, url: "http://" + address, pid: func() int { return cmd.Process.Pid }}
	x.waitReady(t)
	return x
}

func (x *exporter) name() string { return lab.NodeName(x.node) }

func (x *exporter) waitReady(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		resp, err := http.Get(x.url + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the exporter of %s is not ready: %v\n%s", x.name(), err, x.logTail())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// logTail is the end of the exporter's log.
func (x *exporter) logTail() string {
	if x.lab == nil {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(x.lab.NodeDir(x.node), "exporter.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// answer is one scrape.
type answer struct {
	series map[string]float64 // by name{label="value",…}, labels sorted
	took   time.Duration
}

// scrape asks as Prometheus with a timeout of 5 s does.
func (x *exporter) scrape(ctx context.Context, path string) (answer, error) {
	const timeout = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.url+path, nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(timeout.Seconds(), 'f', -1, 64))
	begun := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	took := time.Since(begun)
	if resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("%s: %s: %s", req.URL, resp.Status, body)
	}
	series, err := parse(string(body))
	return answer{series: series, took: took}, err
}

// parse reads the exposition format. Histograms become their _sum, _count and _bucket series.
func parse(text string) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			if h := m.Histogram; h != nil {
				out[key(name+"_sum", m.Label)] = h.GetSampleSum()
				out[key(name+"_count", m.Label)] = float64(h.GetSampleCount())
				continue
			}
			out[key(name, m.Label)] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return out, nil
}

func key(name string, labels []*dto.LabelPair) string {
	byName := map[string]string{}
	for _, l := range labels {
		byName[l.GetName()] = l.GetValue()
	}
	var b strings.Builder
	b.WriteString(name)
	b.WriteByte('{')
	for i, n := range slices.Sorted(maps.Keys(byName)) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s=%q", n, byName[n])
	}
	b.WriteByte('}')
	return b.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
