package dashboards

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quorate/quorate/alerts"
	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/promql"
)

// rules are the alerts and the recording rules of the bundle by name.
func rules(t *testing.T) (alert, recorded map[string]alerts.Rule) {
	t.Helper()
	groups, err := alerts.Load(alerts.Rules())
	if err != nil {
		t.Fatal(err)
	}
	alert, recorded = map[string]alerts.Rule{}, map[string]alerts.Rule{}
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				alert[r.Alert] = r
			} else {
				recorded[r.Record] = r
			}
		}
	}
	return alert, recorded
}

// metrics are the families that a scrape can have, by the names of their series.
func metrics() map[string]*collector.Family {
	self := func(name string, kind collector.Kind, labels ...string) *collector.Family {
		return &collector.Family{Name: name, Kind: kind, Labels: labels}
	}
	all := []*collector.Family{
		self("up", collector.Gauge), self("scrape_duration_seconds", collector.Gauge), self("scrape_samples_scraped", collector.Gauge),
		self("quorate_build_info", collector.Gauge, "version", "revision", "branch", "goversion", "goos", "goarch", "tags"),
		self("process_resident_memory_bytes", collector.Gauge), self("process_cpu_seconds_total", collector.Counter),
		self("process_open_fds", collector.Gauge), self("go_goroutines", collector.Gauge),
		self("ALERTS", collector.Gauge, "alertname", "alertstate", "severity", "subject", "node", "id", "vmid"),
	}
	all = append(all, collector.SelfFamilies()...)
	for _, s := range collector.Specs() {
		all = append(all, s.Families...)
	}
	known := map[string]*collector.Family{}
	for _, f := range all {
		if f.Kind != collector.Histogram {
			known[f.Name] = f
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			part := *f
			part.Kind = collector.Counter
			if suffix == "_bucket" {
				part.Labels = append(slices.Clone(f.Labels), "le")
			}
			known[f.Name+suffix] = &part
		}
	}
	return known
}

// A query of a page with the place it stands in.
type located struct{ where, expr string }

func queries() []located {
	var all []located
	for _, d := range All() {
		for _, p := range d.Panels() {
			for _, q := range p.Queries {
				all = append(all, located{d.UID + ": " + p.Title, q.Expr})
			}
		}
		for _, v := range d.Variables {
			all = append(all, located{d.UID + ": variable " + v.Name, v.Query})
		}
	}
	for _, a := range Annotations() {
		all = append(all, located{"annotation " + a.Name, a.Expr})
	}
	return all
}

func TestPanelsSayWhatTheyAre(t *testing.T) {
	for _, d := range All() {
		if d.Question == "" || !strings.HasSuffix(d.Question, "?") {
			t.Errorf("%s: the question is %q", d.UID, d.Question)
		}
		titles := map[string]int{}
		for _, p := range d.Panels() {
			titles[p.Title]++
			if p.Title == "" || p.About == "" || p.Unit == "" || p.None == "" {
				t.Errorf("%s: a panel lacks a title, a description, a unit or a word for no value: %+v", d.UID, p)
			}
			if !strings.HasSuffix(p.About, ".") {
				t.Errorf("%s: %s: the description is no sentence: %q", d.UID, p.Title, p.About)
			}
			// What is longer Grafana cuts beside the sign of the description.
			if p.Kind == Tile && len(p.Title) > 13 && p.Width <= 3 {
				t.Errorf("%s: the title of tile %q has %d characters", d.UID, p.Title, len(p.Title))
			}
		}
		if titles[d.First] == 0 {
			t.Errorf("%s: the panel to look at first, %q, is not there", d.UID, d.First)
		}
	}
}

// The same words mean the same everywhere.
func TestTilesOfOneTitleShowTheSame(t *testing.T) {
	seen := map[string]Panel{}
	for _, d := range All() {
		for _, p := range d.Panels() {
			if p.Kind != Tile {
				continue
			}
			if other, ok := seen[p.Title]; ok && (other.Queries[0] != p.Queries[0] || other.About != p.About || other.None != p.None) {
				t.Errorf("%s: tile %q is another one elsewhere: %q and %q", d.UID, p.Title, p.Queries[0].Expr, other.Queries[0].Expr)
			}
			seen[p.Title] = p
		}
	}
}

// A query for a metric or a label that does not exist is an empty panel that nobody misses.
func TestQueriesUseWhatExists(t *testing.T) {
	known := metrics()
	_, recorded := rules(t)
	for _, q := range queries() {
		expr := q.expr
		if inner, is := strings.CutPrefix(expr, "label_values("); is {
			expr = inner[:strings.LastIndex(inner, ",")]
		}
		read := reading(t, expr)
		if len(read.Selectors) == 0 {
			t.Errorf("%s: no selector in %s", q.where, expr)
		}
		for _, s := range read.Selectors {
			f, ok := known[s.Name]
			if _, rule := recorded[s.Name]; !ok && !rule {
				t.Errorf("%s: nothing exports %s", q.where, s.Name)
			}
			for _, m := range s.Matchers {
				if ok && !slices.Contains(f.Labels, m.Label) && m.Label != "job" {
					t.Errorf("%s: %s has no label %s", q.where, s.Name, m.Label)
				}
			}
		}
	}
}

// reading is what an expression with Grafana's variables consists of.
func reading(t *testing.T, expr string) promql.Reading {
	t.Helper()
	r, err := promql.Read(expr)
	if err != nil {
		t.Error(err)
	}
	return r
}

// Whoever chose one cluster must not see the state of another one. What is only matched against a
// selector of the chosen clusters may stand without.
func TestQueriesKeepToTheChosenClusters(t *testing.T) {
	for _, q := range queries() {
		if !strings.Contains(q.expr, "{CLUSTER") {
			t.Errorf("%s: no selector is of the chosen clusters: %s", q.where, q.expr)
		}
		for _, g := range reading(t, q.expr).Groupings {
			if (g.Word == "by" || g.Word == "on") && !slices.Contains(g.Labels, "cluster") {
				t.Errorf("%s: %s (%s) mixes clusters", q.where, g.Word, strings.Join(g.Labels, ", "))
			}
			if (g.Word == "without" || g.Word == "ignoring") && slices.Contains(g.Labels, "cluster") {
				t.Errorf("%s: %s drops cluster", q.where, g.Word)
			}
		}
	}
}

// A counter tells nothing by its level, and rates need a range that fits the scrapes and the graph.
func TestQueriesReadCountersAsRates(t *testing.T) {
	known := metrics()
	for _, q := range queries() {
		read := reading(t, q.expr)
		over := map[string]bool{}
		for _, r := range read.Ranges {
			over[r.Name] = true
			isRate := slices.Contains([]string{"rate", "increase", "irate"}, r.Function)
			if isRate && r.Duration != "$__rate_interval" && r.Duration != "$__range" && !strings.HasPrefix(q.where, "annotation") {
				t.Errorf("%s: %s(%s[%s])", q.where, r.Function, r.Name, r.Duration)
			}
			if f := known[r.Name]; f == nil || isRate != (f.Kind == collector.Counter) && r.Function != "changes" {
				t.Errorf("%s: %s of %s, which is no counter or is one", q.where, r.Function, r.Name)
			}
		}
		for _, s := range read.Selectors {
			// 0 * sum(counter) is there exactly while the counter is.
			if f := known[s.Name]; f != nil && f.Kind == collector.Counter && !over[s.Name] && !strings.Contains(q.expr, "0 * sum("+s.Name+"{CLUSTER})") {
				t.Errorf("%s: %s is a counter and stands without rate or increase", q.where, s.Name)
			}
		}
	}
}

// Zero is what is known to be none: vector(0) would say so of what nobody can tell.
func TestQueriesInventNoZero(t *testing.T) {
	for _, q := range queries() {
		if strings.Contains(q.expr, "vector(") {
			t.Errorf("%s: %s", q.where, q.expr)
		}
	}
}

var (
	severityColours = map[string]string{"critical": red, "warning": orange, "info": blue}
	numberForm      = regexp.MustCompile(`[0-9]+(?:\.[0-9]+)?`)
)

// The screen and the phone must say the same.
func TestThresholdsAreTheAlerts(t *testing.T) {
	alert, recorded := rules(t)
	for _, d := range All() {
		for _, p := range d.Panels() {
			where := d.UID + ": " + p.Title
			steps, words := p.Steps, p.Words
			for _, c := range p.Columns {
				steps, words = append(slices.Clone(steps), c.Steps...), append(slices.Clone(words), c.Words...)
			}
			for _, s := range steps {
				if s.Alert == "" {
					if s.From != 1 || !strings.Contains(p.Queries[0].Expr, "ALERTS{") {
						t.Errorf("%s: the threshold %v is no alert's", where, s.From)
					}
					continue
				}
				a, ok := alert[s.Alert]
				if !ok {
					t.Errorf("%s: there is no alert %s", where, s.Alert)
					continue
				}
				if s.Colour != severityColours[a.Labels["severity"]] {
					t.Errorf("%s: %s is %s, the alert %s is %s", where, strconv.FormatFloat(s.From, 'g', -1, 64), s.Colour, s.Alert, a.Labels["severity"])
				}
				// A count begins to matter with the first.
				if s.From != 1 && !stands(s.From, a, recorded) {
					t.Errorf("%s: %v does not stand in the expression of %s", where, s.From, s.Alert)
				}
			}
			for _, w := range words {
				a, ok := alert[w.Alert]
				switch {
				case w.Alert != "" && !ok:
					t.Errorf("%s: there is no alert %s", where, w.Alert)
				case w.Alert != "" && w.Colour != severityColours[a.Labels["severity"]] && w.Colour != purple:
					t.Errorf("%s: %q is %s, the alert %s is %s", where, w.Text, w.Colour, w.Alert, a.Labels["severity"])
				case w.Colour == red && w.Alert == "":
					t.Errorf("%s: %q is red and no alert is critical about it", where, w.Text)
				}
			}
			for _, name := range p.Runbooks {
				if _, ok := alert[name]; !ok {
					t.Errorf("%s: there is no alert %s", where, name)
				}
			}
		}
	}
}

// stands says whether the number is in the alert's expression, or in a recording rule that it reads.
func stands(n float64, a alerts.Rule, recorded map[string]alerts.Rule) bool {
	texts := []string{a.Expr}
	read, _ := promql.Read(a.Expr) // whose own tests say if it cannot be read
	for _, s := range read.Selectors {
		texts = append(texts, recorded[s.Name].Expr)
	}
	for _, text := range texts {
		for _, have := range numberForm.FindAllString(text, -1) {
			if f, err := strconv.ParseFloat(have, 64); err == nil && (f == n || f+1 == n) { // over 1 of a count is from 2 on
				return true
			}
		}
	}
	return false
}

// An alert that no panel leads to rings, and the screen is green.
func TestEachAlertIsOnAPanel(t *testing.T) {
	alert, _ := rules(t)
	for _, d := range All() {
		for _, p := range d.Panels() {
			for _, name := range p.alerts() {
				delete(alert, name)
			}
			for _, c := range p.Columns {
				for _, s := range c.Steps {
					delete(alert, s.Alert)
				}
				for _, w := range c.Words {
					delete(alert, w.Alert)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(alert)) {
		t.Errorf("no panel leads to the runbook of %s", name)
	}
}
