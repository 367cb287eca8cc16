package dashboards

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// A page is a committed file, as far as the tests look into it.
type page struct {
	name     string
	UID      string
	Title    string
	Editable *bool
	Schema   int `json:"schemaVersion"`
	Refresh  string
	Tags     []string
	Links    []link
	Panels   []drawn

	Templating struct {
		List []struct {
			Name, Type, Label string
			Query             any
			Refresh           int
			Multi, IncludeAll bool
			AllValue          string
			Datasource        *struct{ UID string }
		}
	}
	Annotations struct {
		List []struct {
			Name, Expr, IconColor, TitleFormat string
			Datasource                         struct{ Type, UID string }
		}
	}
}

type link struct{ Title, Type, URL string }

// A drawn panel is one as Grafana gets it.
type drawn struct {
	ID          int
	Type, Title string
	Description string
	Collapsed   bool
	Panels      []drawn
	Datasource  *struct{ Type, UID string }
	GridPos     struct{ X, Y, W, H int }
	Links       []link
	Options     map[string]any
	FieldConfig struct {
		Defaults struct {
			Unit, NoValue string
		}
		Overrides []struct{ Properties []map[string]any }
	}
	Targets []struct {
		RefID, Expr, LegendFormat string
		Instant, Range            bool
		Datasource                *struct{ UID string }
	}
}

func pages(t *testing.T) []page {
	t.Helper()
	names, err := filepath.Glob("json/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no pages (%v)", err)
	}
	var all []page
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p := page{name: name}
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, p)
	}
	return all
}

// all are the panels of the page without its rows.
func (p page) all() []drawn {
	var all []drawn
	for _, d := range p.Panels {
		if d.Type != "row" {
			all = append(all, d)
		}
		all = append(all, d.Panels...)
	}
	return all
}

// The library's types are made from Grafana's own schema; read strictly they refuse keys that it does
// not have. What they have no place for in an annotation Grafana's Prometheus data source does read.
func TestPagesKeepToGrafanasSchema(t *testing.T) {
	for _, p := range pages(t) {
		text, err := os.ReadFile(p.name)
		if err != nil {
			t.Fatal(err)
		}
		var tree map[string]any
		if err := json.Unmarshal(text, &tree); err != nil {
			t.Fatal(err)
		}
		for _, a := range tree["annotations"].(map[string]any)["list"].([]any) {
			for _, key := range []string{"titleFormat", "textFormat", "tagKeys", "step"} {
				delete(a.(map[string]any), key)
			}
		}
		text, err = json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard.Dashboard
		if err := d.UnmarshalJSONStrict(text); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		// 36 is Grafana 10's; later ones add only what an older Grafana leaves out.
		if p.Schema < 36 {
			t.Errorf("%s: schemaVersion %d would be migrated by every Grafana from 10 on", p.name, p.Schema)
		}
	}
}

// Those rules of grafana/dashboard-linter that are about the page. Those that demand the variables and
// selectors job and instance are left out: these pages are of clusters and nodes.
func TestPagesPassTheLintersRules(t *testing.T) {
	for _, p := range pages(t) {
		t.Run(p.UID, func(t *testing.T) {
			if p.Editable == nil || *p.Editable {
				t.Error("uneditable: changes would be lost with the next version")
			}
			for i, v := range p.Templating.List {
				switch {
				case i == 0:
					if v.Type != "datasource" || v.Name != "datasource" || v.Query != "prometheus" || v.Label != "Data source" {
						t.Errorf("template-datasource: the first variable is %+v", v)
					}
					continue
				case i == 1 && v.Name != "cluster":
					t.Errorf("the second variable is %s, not cluster", v.Name)
				}
				if v.Refresh != 2 {
					t.Errorf("template-on-time-change-reload: variable %s", v.Name)
				}
				if q, ok := v.Query.(string); !ok || !strings.HasPrefix(q, "label_values(") {
					t.Errorf("template-label-promql: variable %s has the query %v", v.Name, v.Query)
				}
				if v.Datasource == nil || v.Datasource.UID != "${datasource}" || !v.Multi || !v.IncludeAll || v.AllValue != ".*" {
					t.Errorf("variable %s: %+v; All has to match what lacks the label", v.Name, v)
				}
			}
			for _, d := range p.all() {
				lintPanel(t, d)
			}
			for _, a := range p.Annotations.List {
				if a.Datasource.UID != "${datasource}" || a.TitleFormat == "" || a.IconColor == "" {
					t.Errorf("annotation %+v", a)
				}
			}
		})
	}
}

// lintPanel are the linter's rules for a panel.
func lintPanel(t *testing.T, d drawn) {
	t.Helper()
	if d.Datasource == nil || d.Datasource.Type != "prometheus" || d.Datasource.UID != "${datasource}" {
		t.Errorf("panel-datasource: %s", d.Title)
	}
	if d.Title == "" || d.Description == "" {
		t.Errorf("panel-title-description: %q", d.Title)
	}
	if d.FieldConfig.Defaults.Unit == "" || d.FieldConfig.Defaults.NoValue == "" {
		t.Errorf("panel-units: %s has unit %q and without a value says %q", d.Title, d.FieldConfig.Defaults.Unit, d.FieldConfig.Defaults.NoValue)
	}
	if len(d.Targets) == 0 {
		t.Errorf("panel-no-targets: %s", d.Title)
	}
	seen := map[string]bool{}
	for _, q := range d.Targets {
		if q.Expr == "" || q.Datasource == nil || q.Datasource.UID != "${datasource}" || seen[q.RefID] || q.Instant == q.Range {
			t.Errorf("%s: query %+v", d.Title, q)
		}
		seen[q.RefID] = true
		instant := d.Type == string(Tile) || d.Type == string(Table)
		if q.Instant != instant {
			t.Errorf("%s: a %s with instant %v", d.Title, d.Type, q.Instant)
		}
	}
}

func TestPagesFillTheScreenWithoutOverlaps(t *testing.T) {
	for _, p := range pages(t) {
		ids := map[int]bool{}
		cells := map[[2]int]string{}
		place := func(d drawn) {
			if d.ID == 0 || ids[d.ID] {
				t.Errorf("%s: %s has the id %d, which is none or another's", p.UID, d.Title, d.ID)
			}
			ids[d.ID] = true
			g := d.GridPos
			if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
				t.Errorf("%s: %s is at %+v", p.UID, d.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other := cells[[2]int{x, y}]; other != "" {
						t.Errorf("%s: %s lies over %s at %d,%d", p.UID, d.Title, other, x, y)
						return
					}
					cells[[2]int{x, y}] = d.Title
				}
			}
		}
		for _, d := range p.Panels {
			place(d)
			for _, inner := range d.Panels {
				if d.Collapsed && ids[inner.ID] {
					t.Errorf("%s: %s has another's id %d", p.UID, inner.Title, inner.ID)
				}
				ids[inner.ID] = true
			}
		}
	}
}

// The page for the wall has to be seen without scrolling: a line of Grafana's grid takes 38 pixels, so
// that a screen of 1080 has 28 in kiosk mode.
func TestClusterPageFitsOneScreen(t *testing.T) {
	for _, p := range pages(t) {
		if p.UID != uidCluster {
			continue
		}
		for _, d := range p.Panels {
			if bottom := d.GridPos.Y + d.GridPos.H; bottom > 28 {
				t.Errorf("%s ends at line %d", d.Title, bottom)
			}
		}
	}
}

// A link that leads nowhere costs minutes at night.
func TestPagesLinkToWhatExists(t *testing.T) {
	uids, variables := map[string]bool{}, map[string][]string{}
	for _, p := range pages(t) {
		uids[p.UID] = true
		for _, v := range p.Templating.List {
			variables[p.UID] = append(variables[p.UID], v.Name)
		}
	}
	check := func(where, url string) {
		if rest, is := strings.CutPrefix(url, runbookURL); is {
			if rest == "" || rest == "${__value.raw}.md" {
				rest = "README.md"
			}
			if _, err := os.Stat(filepath.Join("../docs/runbooks", rest)); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			return
		}
		rest, is := strings.CutPrefix(url, "/d/")
		uid, query, _ := strings.Cut(rest, "?")
		if !is || !uids[uid] {
			t.Errorf("%s: %s leads to no page and no runbook", where, url)
			return
		}
		for _, part := range strings.Split(query, "&") {
			if name, is := strings.CutPrefix(part, "var-"); is {
				name, _, _ = strings.Cut(name, "=")
				if !slices.Contains(variables[uid], name) {
					t.Errorf("%s: %s has no variable %s", where, uid, name)
				}
			}
		}
	}
	found := 0
	for _, p := range pages(t) {
		for _, d := range p.all() {
			for _, l := range d.Links {
				found++
				check(p.UID+": "+d.Title, l.URL)
			}
			for _, o := range d.FieldConfig.Overrides {
				for _, property := range o.Properties {
					if property["id"] == "links" {
						for _, l := range property["value"].([]any) {
							found++
							check(p.UID+": "+d.Title, fmt.Sprint(l.(map[string]any)["url"]))
						}
					}
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d links were found", found)
	}
}
