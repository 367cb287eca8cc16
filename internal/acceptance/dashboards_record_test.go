package acceptance

import (
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// With this flag TestLabDashboards writes what the exporters told on its walk, as the tests of package
// dashboards want it: ../../dashboards/testdata/walk.series.gz.
var recordWalk = flag.String("record-walk", "", "write the series of the walk through the dashboards' states to this file")

// walkStep is the time between two samples of the record.
const walkStep = 3 * time.Second

// record writes a line a series, in the notation of promtool's tests, and first the places of the states.
// Moments count from the beginning.
func (b *boards) record(t *testing.T, name string, begun time.Time) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out := gzip.NewWriter(file)
	for i, state := range b.states {
		fmt.Fprintf(out, "# %d %s\n", int(b.ends[i].Sub(begun)/walkStep), state)
	}
	samples, err := b.ask(t, fmt.Sprintf(`{job=~"proxmox|ceph"}[%ds]`, int(time.Since(begun).Seconds())), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	scraped := lastScrapes(samples, begun)
	var lines []string
	for _, s := range samples {
		if !strings.Contains(s.Metric["__name__"], ":") && !strings.HasPrefix(s.Metric["__name__"], "ALERTS") {
			lines = append(lines, s.line(begun, scraped))
		}
	}
	slices.Sort(lines)
	if _, err := io.WriteString(out, strings.Join(lines, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// A scrape is a target's in a step.
type scrape struct {
	job, instance string
	step          int
}

// lastScrapes are the times of the last scrape of each target in each step, in milliseconds. All that a
// scrape gives has its time.
func lastScrapes(samples vector, begun time.Time) map[scrape]int64 {
	last := map[scrape]int64{}
	for _, s := range samples {
		if s.Metric["__name__"] != "up" {
			continue
		}
		for _, v := range s.Values {
			at, step := place(v, begun)
			last[scrape{s.Metric["job"], s.Metric["instance"], step}] = at
		}
	}
	return last
}

// place is when a sample was taken, in milliseconds, and in which step.
func place(v [2]any, begun time.Time) (at int64, step int) {
	seconds, _ := v[0].(float64)
	at = int64(math.Round(seconds * 1000))
	return at, int(time.Duration(at-begun.UnixMilli()) * time.Millisecond / walkStep)
}

// line is the series with the values of the last scrape of each step, "_" without one.
func (s sampled) line(begun time.Time, scraped map[scrape]int64) string {
	name := s.Metric["__name__"]
	var labels []string
	for _, l := range slices.Sorted(maps.Keys(s.Metric)) {
		if l != "__name__" && l != "cluster" {
			labels = append(labels, fmt.Sprintf("%s=%q", l, s.Metric[l]))
		}
	}
	values := slices.Repeat([]string{"_"}, int(time.Since(begun)/walkStep)+1)
	for _, v := range s.Values {
		at, step := place(v, begun)
		if at < begun.UnixMilli() || step >= len(values) || at != scraped[scrape{s.Metric["job"], s.Metric["instance"], step}] {
			continue
		}
		values[step], _ = v[1].(string)
		var moment float64
		if _, err := fmt.Sscan(values[step], &moment); err == nil && strings.HasSuffix(name, "_timestamp_seconds") && moment > 0 {
			values[step] = fmt.Sprintf("%.3f", moment-float64(begun.UnixMilli())/1000)
		}
	}
	for step := 1; step < len(values); step++ {
		if values[step] == "_" && values[step-1] != "_" && values[step-1] != "stale" {
			values[step] = "stale" // as Prometheus takes a series that ended
		}
	}
	return name + "{" + strings.Join(labels, ",") + "} " + strings.Join(runs(values), " ")
}

// runs writes equal neighbours once, with how many more there are.
func runs(values []string) []string {
	var out []string
	for i := 0; i < len(values); {
		n := 1
		for i+n < len(values) && values[i+n] == values[i] {
			n++
		}
		one := values[i]
		if n > 1 {
			one = repeated(one, n-1)
		}
		out = append(out, one)
		i += n
	}
	return out
}

func repeated(value string, more int) string {
	if value == "_" {
		return fmt.Sprintf("_x%d", more+1)
	}
	return fmt.Sprintf("%s+0x%d", value, more)
}
