package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/alerts"
	"github.com/quorate/quorate/dashboards"
)

// A shown is one query of a panel, an annotation or a variable, as Grafana sends it.
type shown struct {
	page, panel string
	kind        dashboards.Kind // "" of what is no panel
	expr        string          // with Grafana's variables
	legend      string
	labels      []string // all that a table's row may have; nil of what is no table
	shows       dashboards.When
	reads       []string // names of the series that it is made of, also by way of recording rules
}

const annotation = dashboards.Kind("annotation")

// allShown are the queries of all pages. Annotations are those of every page.
func allShown(t *testing.T) []shown {
	t.Helper()
	recorded := recordingRules(t)
	var all []shown
	add := func(s shown) {
		s.reads = readsOf(s.expr, recorded)
		all = append(all, s)
	}
	for _, d := range dashboards.All() {
		for _, p := range d.Panels() {
			var labels []string
			for _, k := range p.Keys {
				labels = append(labels, k.Label)
			}
			for _, q := range p.Queries {
				add(shown{page: d.Title, panel: p.Title, kind: p.Kind, expr: dashboards.Resolve(q.Expr), legend: q.Legend, labels: labels, shows: p.Shows})
			}
		}
	}
	for _, a := range dashboards.Annotations() {
		add(shown{page: "every page", panel: a.Name, kind: annotation, expr: dashboards.Resolve(a.Expr), legend: a.Title + a.Text, shows: a.Shows})
	}
	return all
}

func recordingRules(t *testing.T) map[string]string {
	t.Helper()
	groups, err := alerts.Load(alerts.Rules())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				all[r.Record] = r.Expr
			}
		}
	}
	return all
}

var (
	nameInPromQL   = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	quotedInPromQL = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
)

// readsOf are all names in an expression, and in the rules that it uses. Functions and labels are
// among them, which does no harm.
func readsOf(expr string, recorded map[string]string) []string {
	seen := map[string]bool{}
	var follow func(string)
	follow = func(expr string) {
		for _, name := range nameInPromQL.FindAllString(quotedInPromQL.ReplaceAllString(expr, ""), -1) {
			if !seen[name] {
				seen[name] = true
				follow(recorded[name])
			}
		}
	}
	follow(expr)
	return slices.Sorted(maps.Keys(seen))
}

// A view is how the person in front of the screen has chosen the variables.
type view map[string]string

// everything is what a page shows that was just opened.
var everything = view{"cluster": ".*", "node": ".*", "guest": ".*", "pool": ".*", "vmid": ".*"}

// fill puts in values for Grafana's variables: those of a Prometheus that scrapes as shipped, and a
// graph of three hours. The pace makes them shorter, like those of the rules.
func (p *paging) fill(t *testing.T, expr string, v view) string {
	t.Helper()
	expr = strings.NewReplacer("$__rate_interval", "1m", "$__range", "3h").Replace(expr)
	expr, err := p.pace.Expr(expr)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range v {
		expr = strings.ReplaceAll(expr, "$"+name, value)
	}
	if strings.Contains(strings.ReplaceAll(expr, `"$1"`, ""), "$") {
		t.Fatalf("a variable is left in %s", expr)
	}
	return expr
}

// A vector is what Prometheus answers.
type vector []sampled

type sampled struct {
	Metric map[string]string
	Value  [2]any   // time and value, of a query as it is now
	Values [][2]any // the same of a query over a time
}

// ask runs a query as it is now, or over the time since from.
func (p *paging) ask(t *testing.T, expr string, from time.Time) (vector, error) {
	t.Helper()
	values := url.Values{"query": {expr}}
	path := "/api/v1/query"
	if !from.IsZero() {
		path = "/api/v1/query_range"
		values.Set("start", fmt.Sprint(float64(from.UnixMilli())/1000))
		values.Set("end", fmt.Sprint(float64(time.Now().UnixMilli())/1000))
		values.Set("step", "1")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.prometheus+path+"?"+values.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var reply struct {
		Status, Error string
		Data          struct{ Result vector }
	}
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil {
		t.Fatalf("%s: %s: %v", expr, resp.Status, err)
	}
	if reply.Status != "success" {
		return nil, fmt.Errorf("%s: %s", expr, reply.Error)
	}
	return reply.Data.Result, nil
}

// show runs the query as its panel does. A tile and a table are as it is now, the others since from.
func (p *paging) show(t *testing.T, s shown, v view, from time.Time) (vector, error) {
	t.Helper()
	if s.kind == dashboards.Tile || s.kind == dashboards.Table {
		from = time.Time{}
	}
	have, err := p.ask(t, p.fill(t, s.expr, v), from)
	if err != nil {
		return nil, err
	}
	return have, s.readable(have)
}

// said is what a tile shows, "" without a value.
func (v vector) said() string {
	if len(v) == 0 {
		return ""
	}
	return fmt.Sprint(v[0].Value[1])
}

var labelInLegend = regexp.MustCompile(`{{(\w+)}}`)

// readable says whether a person can tell one of the results from another, and a table has one row
// for each thing.
func (s shown) readable(have vector) error {
	if s.kind == dashboards.Tile && len(have) > 1 {
		return fmt.Errorf("a tile has %d values: %s", len(have), s.expr)
	}
	allowed := append(slices.Clone(s.labels), "cluster")
	if s.labels == nil {
		for _, m := range labelInLegend.FindAllStringSubmatch(s.legend, -1) {
			allowed = append(allowed, m[1])
		}
	}
	for _, one := range have {
		for label := range one.Metric {
			// A graph or timeline that has a legend does not show the name; a table makes a column of it.
			if !slices.Contains(allowed, label) && (label != "__name__" || s.kind == dashboards.Table) {
				return fmt.Errorf("label %s is in the result and in no column or legend: %v of %s", label, one.Metric, s.expr)
			}
		}
	}
	return nil
}
