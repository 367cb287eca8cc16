package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

const (
	titlePrefix = "Quorate / "
	tag         = "quorate"
	runbookURL  = "https://github.com/quorate/quorate/blob/main/docs/runbooks/"
	refresh     = "30s"
	since       = "now-3h"

	// keepContext goes to the end of a link to a page: the same time, data source and clusters.
	keepContext = "${__url_time_range}&${datasource:queryparam}&${cluster:queryparam}"
)

var resolver = strings.NewReplacer("CLUSTER", `cluster=~"$cluster"`)

// JSON is the page as Grafana 10 and later import it.
func (d Dashboard) JSON() ([]byte, error) {
	b := dashboard.NewDashboardBuilder(titlePrefix+d.Title).Uid(d.UID).Description(d.Question).
		Tags([]string{tag}).Refresh(refresh).Time(since, "now").Timezone(common.TimeZoneBrowser).
		Readonly().Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("Quorate").Type(dashboard.DashboardLinkTypeDashboards).
			Tags([]string{tag}).AsDropdown(true).KeepTime(true).IncludeVars(true)).
		Link(dashboard.NewDashboardLinkBuilder("Runbooks").Type(dashboard.DashboardLinkTypeLink).Url(runbookURL).TargetBlank(true))
	for _, v := range d.variables() {
		b.WithVariable(v)
	}
	for _, a := range Annotations() {
		b.Annotation(dashboard.NewAnnotationQueryBuilder().Name(a.Name).Datasource(source()).Enable(a.On).
			IconColor(a.Colour).Expr(Resolve(a.Expr)))
	}
	for _, r := range d.Rows {
		if err := r.addTo(b); err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", d.UID, err)
		}
	}
	page, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", d.UID, err)
	}
	number(page.Panels)
	return d.encode(page)
}

// number gives panels ids by their place, so that the same code has the same JSON.
func number(panels []dashboard.PanelOrRowPanel) {
	id := uint32(0)
	next := func() uint32 { id++; return id }
	for i := range panels {
		switch p := panels[i]; {
		case p.RowPanel != nil:
			p.RowPanel.Id = next()
			for j := range p.RowPanel.Panels {
				p.RowPanel.Panels[j].Id = cog.ToPtr(next())
			}
		case p.Panel != nil:
			p.Panel.Id = cog.ToPtr(next())
		}
	}
}

func (r Row) addTo(b *dashboard.DashboardBuilder) error {
	if len(r.Panels) == 0 {
		return fmt.Errorf("row %q is empty", r.Title)
	}
	row := dashboard.NewRowBuilder(r.Title).Collapsed(r.Collapsed)
	if r.Collapsed {
		for _, p := range r.Panels {
			row.WithPanel(p.render())
		}
	}
	b.WithRow(row)
	if !r.Collapsed {
		for _, p := range r.Panels {
			b.WithPanel(p.render())
		}
	}
	return nil
}

// encode writes the JSON. What the library's types have no place for is put in, and what only the
// newest Grafana reads and would show elsewhere for is left out.
func (d Dashboard) encode(page dashboard.Dashboard) ([]byte, error) {
	typed, err := json.Marshal(page)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(typed, &tree); err != nil {
		return nil, err
	}
	drop(tree, "placement", "inControlsMenu")
	list := tree["annotations"].(map[string]any)["list"].([]any)
	for i, a := range Annotations() {
		entry := list[i].(map[string]any)
		entry["titleFormat"], entry["textFormat"], entry["tagKeys"], entry["step"] = a.Title, a.Text, "cluster", "60s"
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(tree)
	return out.Bytes(), err
}

// drop removes a key from all objects of a tree in which it has that value.
func drop(tree any, key, value string) {
	switch t := tree.(type) {
	case map[string]any:
		if t[key] == value {
			delete(t, key)
		}
		for _, v := range t {
			drop(v, key, value)
		}
	case []any:
		for _, v := range t {
			drop(v, key, value)
		}
	}
}

// source is the chosen Prometheus.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

// variables are the data source, the cluster and those of the page.
func (d Dashboard) variables() []cog.Builder[dashboard.VariableModel] {
	all := []cog.Builder[dashboard.VariableModel]{
		dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus"),
	}
	choices := slices.Concat([]Variable{
		// Targets without the label cluster give no names; All matches them nevertheless.
		{Name: "cluster", Label: "Cluster", Query: `label_values({__name__=~"quorate_build_info|pve_cluster_info"}, cluster)`},
	}, d.Variables)
	for _, v := range choices {
		query := Resolve(v.Query)
		all = append(all, dashboard.NewQueryVariableBuilder(v.Name).Label(v.Label).Datasource(source()).
			Query(dashboard.StringOrMap{String: &query}).Definition(query).Regex(v.Regex).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortNaturalAsc).
			Multi(true).IncludeAll(true).AllValue(".*").Current(dashboard.VariableOption{
			Text:  dashboard.StringOrArrayOfString{String: cog.ToPtr("All")},
			Value: dashboard.StringOrArrayOfString{String: cog.ToPtr("$__all")},
		}))
	}
	return all
}
