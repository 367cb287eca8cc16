package acceptance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/alerts"
	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/packaging"
)

// paging is a lab with all that stands between a fault and a phone: exporters, Prometheus with the
// shipped rules, Alertmanager with the shipped routes, and a webhook.
type paging struct {
	l          *lab.Lab
	pace       lab.Pace
	exporters  []*exporter
	prometheus string // URL
	pager      string // URL

	lasts map[string]time.Duration // for how long an alert is true before it fires, by name
	stays []string                 // names of alerts that outlast their faults
}

func startPaging(t *testing.T, l *lab.Lab, pace lab.Pace) *paging {
	t.Helper()
	return startPagingOf(t, l, pace, alerts.Rules(), l.Nodes())
}

// startPagingOf runs these rules, with the exporters of these nodes as targets.
func startPagingOf(t *testing.T, l *lab.Lab, pace lab.Pace, rules fs.FS, nodes []int) *paging {
	t.Helper()
	o := lab.PagingOptions{
		Rules: rules, Prometheus: shipped(t, packaging.Prometheus), Alertmanager: shipped(t, packaging.Alertmanager),
		Pace: pace, Exporters: map[int]string{},
		ListenPrometheus: freeAddress(t), ListenAlertmanager: freeAddress(t), ListenPager: freeAddress(t),
	}
	p := &paging{
		l: l, pace: pace, stays: []string{starved}, exporters: startExporters(t, l, l.ExporterArgs()...),
		prometheus: "http://" + o.ListenPrometheus, pager: "http://" + o.ListenPager,
	}
	for _, x := range p.exporters {
		if !slices.Contains(nodes, x.node) {
			continue
		}
		o.Exporters[x.node] = strings.TrimPrefix(x.url, "http://")
	}
	if err := l.StartPaging(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	p.lasts = p.durations(t)
	return p
}

// shipped is an example configuration.
func shipped(t *testing.T, name string) []byte {
	t.Helper()
	text, err := fs.ReadFile(packaging.Examples(), name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// durations are the values of for, at the lab's pace.
func (p *paging) durations(t *testing.T) map[string]time.Duration {
	t.Helper()
	var reply struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name     string
					Duration float64
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(p.get(t, p.prometheus+"/api/v1/rules?type=alert")), &reply); err != nil {
		t.Fatal(err)
	}
	all := map[string]time.Duration{}
	for _, group := range reply.Data.Groups {
		for _, r := range group.Rules {
			all[r.Name] = time.Duration(r.Duration * float64(time.Second))
		}
	}
	return all
}

// comes says whether an alert that is pending can still fire in this test. A few take hours, such as
// that of a guest without a backup, and some of these are true of every lab.
func (p *paging) comes(r rule) bool {
	if slices.Contains(p.stays, r.Labels["alertname"]) {
		return false
	}
	return r.State == "firing" || p.lasts[r.Labels["alertname"]] <= longestFor
}

// longestFor is the longest for that a test sits out: 15 minutes at the pace of the tests, and a little.
const longestFor = 100 * time.Second

// rulesEvaluated fails the test if Prometheus could not evaluate a rule: on series that no promtool
// test has thought of, such as two where one was expected.
func (p *paging) rulesEvaluated(t *testing.T) {
	t.Helper()
	series, err := parse(p.get(t, p.prometheus+"/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range series {
		if strings.HasPrefix(name, "prometheus_rule_evaluation_failures_total{") && value > 0 {
			t.Errorf("%s %g: %s", name, value, p.logged(t, "prometheus", "Evaluating rule failed"))
		}
	}
}

// logged is the last line of a program's log that contains text.
func (p *paging) logged(t *testing.T, program, text string) (last string) {
	t.Helper()
	file, err := os.Open(filepath.Join(p.l.NodeDir(0), program+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.Contains(lines.Text(), text) {
			last = lines.Text()
		}
	}
	return last
}

// rule is an alert as Prometheus has it, before routes and inhibition.
type rule struct {
	Labels   map[string]string
	State    string // "pending" or "firing"
	ActiveAt time.Time
}

func (r rule) String() string { return describe(r.Labels) + " " + r.State }

// rules are the alerts that are true now.
func (p *paging) rules(t *testing.T) []rule {
	t.Helper()
	var reply struct{ Data struct{ Alerts []rule } }
	if err := json.Unmarshal([]byte(p.get(t, p.prometheus+"/api/v1/alerts")), &reply); err != nil {
		t.Fatal(err)
	}
	return reply.Data.Alerts
}

// notifications are all that the webhook got.
func (p *paging) notifications(t *testing.T) []lab.Notification {
	t.Helper()
	var all []lab.Notification
	decoder := json.NewDecoder(strings.NewReader(p.get(t, p.pager+"/pages.jsonl")))
	for {
		var n lab.Notification
		if err := decoder.Decode(&n); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
}

func (p *paging) get(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", url, resp.Status, body)
	}
	return string(body)
}

// waitCalm returns when no alert fires. What looks back a few minutes stays pending for some of them, and
// fires no more.
func (p *paging) waitCalm(t *testing.T, limit time.Duration) {
	t.Helper()
	eventually(t, limit, func() error {
		if rules := slices.DeleteFunc(p.rules(t), func(r rule) bool { return r.State == "pending" || !p.comes(r) }); len(rules) > 0 {
			return fmt.Errorf("not calm: true are %v", rules)
		}
		return nil
	})
}

// waitResolved returns when everything that was paged has been told to be over.
func (p *paging) waitResolved(t *testing.T, limit time.Duration) {
	t.Helper()
	eventually(t, limit, func() error {
		firing := slices.DeleteFunc(lab.Firing(p.notifications(t)), func(a lab.Paged) bool { return slices.Contains(p.stays, a.Name()) })
		if len(firing) > 0 {
			return fmt.Errorf("paged and never resolved are %v", names(firing))
		}
		return nil
	})
}

// eventually fails the test unless claim becomes true in time.
func eventually(t *testing.T, limit time.Duration, claim func() error) {
	t.Helper()
	begun := time.Now()
	for {
		err := claim()
		if err == nil {
			return
		}
		if time.Since(begun) > limit {
			t.Fatalf("after %s: %v", limit, err)
		}
		time.Sleep(pollEvery)
	}
}

const pollEvery = 200 * time.Millisecond // of the webhook and of Prometheus, to see what comes

func names(paged []lab.Paged) []string {
	var all []string
	for _, a := range paged {
		all = append(all, describe(a.Labels))
	}
	return all
}

// describe is NAME{LABEL="VALUE"} without the labels that say nothing here.
func describe(labels map[string]string) string {
	var rest []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if !slices.Contains([]string{"alertname", "severity", "subject", "job", "instance"}, name) {
			rest = append(rest, fmt.Sprintf("%s=%q", name, labels[name]))
		}
	}
	if len(rest) == 0 {
		return labels["alertname"]
	}
	return labels["alertname"] + "{" + strings.Join(rest, ",") + "}"
}
