package dashboards

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	tablepanel "github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func (p Panel) render() cog.Builder[dashboard.Panel] {
	switch p.Kind {
	case Tile:
		return p.renderTile()
	case Timeline:
		return p.renderTimeline()
	case Table:
		return p.renderTable()
	default:
		return p.renderGraph()
	}
}

func (p Panel) renderTile() cog.Builder[dashboard.Panel] {
	text := common.BigValueTextModeValue
	if p.Name {
		text = common.BigValueTextModeName
	}
	return stat.NewPanelBuilder().Title(p.Title).Description(p.About).Datasource(source()).
		Height(uint32(p.Height)).Span(uint32(p.Width)).Links(p.links()).
		ColorMode(p.colourMode()).GraphMode(common.BigValueGraphModeNone).TextMode(text).
		JustifyMode(common.BigValueJustifyModeCenter).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		Unit(p.Unit).NoValue(p.None).Thresholds(thresholds(p.Steps, p.base())).Mappings(append(valueMap(p.Words), unknown(p.None)...)).
		WithTarget(p.Queries[0].render(0).Instant())
}

// colourMode is the ground's for what can be good or bad.
func (p Panel) colourMode() common.BigValueColorMode {
	if len(p.Words) == 0 && len(p.Steps) == 0 {
		return common.BigValueColorModeNone
	}
	return common.BigValueColorModeBackground
}

// base is the colour below the first step.
func (p Panel) base() string {
	if len(p.Steps) == 0 {
		return grey
	}
	return green
}

func (p Panel) renderTimeline() cog.Builder[dashboard.Panel] {
	b := statetimeline.NewPanelBuilder().Title(p.Title).Description(p.About).Datasource(source()).
		Height(uint32(p.Height)).Span(uint32(p.Width)).Links(p.links()).
		ShowValue(common.VisibilityModeNever).MergeValues(true).RowHeight(0.85).FillOpacity(80).LineWidth(0).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeSingle).Sort(common.SortOrderNone)).
		Unit(p.Unit).NoValue(p.None).Mappings(valueMap(p.Words)).Thresholds(thresholds(p.Steps, p.base())).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds))
	for i, q := range p.Queries {
		b.WithTarget(q.render(i).Range())
	}
	return b
}

func (p Panel) renderGraph() cog.Builder[dashboard.Panel] {
	b := timeseries.NewPanelBuilder().Title(p.Title).Description(p.About).Datasource(source()).
		Height(uint32(p.Height)).Span(uint32(p.Width)).Links(p.links()).
		Unit(p.Unit).NoValue(p.None).Min(0).Thresholds(thresholds(p.Steps, p.base())).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdPaletteClassic)).
		LineWidth(1).FillOpacity(10).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeTable).
			Placement(common.LegendPlacementBottom).ShowLegend(true).Calcs([]string{"lastNotNull", "max"})).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	if len(p.Steps) > 0 {
		b.ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
	}
	if p.Stacked {
		b.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A")).FillOpacity(40)
	}
	if p.Points {
		b.DrawStyle(common.GraphDrawStylePoints).ShowPoints(common.VisibilityModeAlways).PointSize(7)
	}
	if p.Bars {
		b.DrawStyle(common.GraphDrawStyleBars).FillOpacity(80).Decimals(0)
	}
	for i, q := range p.Queries {
		b.WithTarget(q.render(i).Range())
	}
	return b
}

// render is the query; its place names it A, B and so on.
func (q Query) render(place int) *prometheus.DataqueryBuilder {
	legend := q.Legend
	if strings.Contains(legend, "{{") && !strings.Contains(legend, "{{cluster}}") {
		legend += " {{cluster}}" // an empty word where there is no such label
	}
	return prometheus.NewDataqueryBuilder().Datasource(source()).RefId(refID(place)).
		Expr(Resolve(q.Expr)).LegendFormat(legend)
}

func refID(place int) string { return string(rune('A' + place)) }

// links go to the page that tells more and to the runbooks.
func (p Panel) links() []cog.Builder[dashboard.DashboardLink] {
	var all []cog.Builder[dashboard.DashboardLink]
	if p.Detail != "" {
		all = append(all, dashboard.NewDashboardLinkBuilder("More").Type(dashboard.DashboardLinkTypeLink).Url("/d/"+p.Detail+"?"+keepContext))
	}
	for _, alert := range p.alerts() {
		all = append(all, dashboard.NewDashboardLinkBuilder("Runbook: "+alert).Type(dashboard.DashboardLinkTypeLink).
			Url(runbookURL+alert+".md").TargetBlank(true))
	}
	return all
}

func thresholds(steps []Step, base string) cog.Builder[dashboard.ThresholdsConfig] {
	all := []dashboard.Threshold{{Color: base}}
	for _, s := range steps {
		all = append(all, dashboard.Threshold{Value: cog.ToPtr(s.From), Color: s.Colour})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(all)
}

func valueMap(words []Word) []dashboard.ValueMapping {
	if len(words) == 0 {
		return nil
	}
	options := map[string]dashboard.ValueMappingResult{}
	for i, w := range words {
		options[strconv.Itoa(w.Value)] = dashboard.ValueMappingResult{
			Text: cog.ToPtr(w.Text), Color: cog.ToPtr(w.Colour), Index: cog.ToPtr(int32(i)),
		}
	}
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}}
}

// unknown is the text and the colour of a tile without a value.
func unknown(text string) []dashboard.ValueMapping {
	return []dashboard.ValueMapping{{SpecialValueMap: &dashboard.SpecialValueMap{
		Type: dashboard.MappingTypeSpecialValue,
		Options: dashboard.DashboardSpecialValueMapOptions{
			Match:  dashboard.SpecialValueMatchNullAndNan,
			Result: dashboard.ValueMappingResult{Text: cog.ToPtr(text), Color: cog.ToPtr(purple), Index: cog.ToPtr(int32(99))},
		},
	}}}
}

func (p Panel) renderTable() cog.Builder[dashboard.Panel] {
	b := tablepanel.NewPanelBuilder().Title(p.Title).Description(p.About).Datasource(source()).
		Height(uint32(p.Height)).Span(uint32(p.Width)).Links(p.links()).
		Unit(p.Unit).NoValue(p.None).ShowHeader(true).CellHeight(common.TableCellHeightSm).
		Thresholds(thresholds(p.Steps, p.base()))
	for i, q := range p.Queries {
		b.WithTarget(q.render(i).Instant().Format(prometheus.PromQueryFormatTable))
	}
	if p.Matrix {
		c := p.Columns[0]
		return b.Mappings(valueMap(c.Words)).
			WithTransformation(dashboard.DataTransformerConfig{Id: "groupingToMatrix", Options: map[string]any{
				"rowField": p.Keys[0].Label, "columnField": p.Keys[1].Label, "valueField": "Value",
			}}).
			WithOverride(dashboard.MatcherConfig{Id: "byType", Options: "number"}, []dashboard.DynamicConfigValue{colouredCell()})
	}
	for _, t := range p.transformations() {
		b.WithTransformation(t)
	}
	for _, k := range p.Keys {
		if title, url := k.link(); url != "" {
			b.OverrideByName(k.Title, []dashboard.DynamicConfigValue{{Id: "links", Value: []map[string]any{{"title": title, "url": url}}}})
		}
	}
	for _, c := range p.Columns {
		if c.Title != "" {
			b.OverrideByName(c.Title, c.overrides())
		}
	}
	return b
}

// link is where a click on the key's value leads.
func (k Key) link() (title, url string) {
	switch {
	case k.Runbook:
		return "Runbook of ${__value.raw}", runbookURL + "${__value.raw}.md"
	case k.Link != "":
		return "More about ${__value.raw}", fmt.Sprintf("/d/%s?var-%s=${__value.raw}&%s", k.Link, k.Label, keepContext)
	}
	return "", ""
}

func colouredCell() dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: map[string]any{"type": "color-background", "mode": "basic"}}
}

func (c Column) overrides() []dashboard.DynamicConfigValue {
	unit := c.Unit
	if unit == "" {
		unit = "none"
	}
	all := []dashboard.DynamicConfigValue{{Id: "unit", Value: unit}}
	if len(c.Words) > 0 {
		all = append(all, dashboard.DynamicConfigValue{Id: "mappings", Value: valueMap(c.Words)}, colouredCell())
	}
	if len(c.Steps) > 0 {
		t, _ := thresholds(c.Steps, grey).Build() // of constants, and tested
		all = append(all, dashboard.DynamicConfigValue{Id: "thresholds", Value: t})
		if !c.Bar {
			all = append(all, dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: map[string]any{"type": "color-text"}})
		}
	}
	if c.Bar {
		all = append(all, dashboard.DynamicConfigValue{Id: "min", Value: 0}, dashboard.DynamicConfigValue{Id: "max", Value: 1},
			dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: map[string]any{"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}})
	}
	return all
}

// transformations make one table of the queries' results, a row for each set of keys.
func (p Panel) transformations() []dashboard.DataTransformerConfig {
	order, names := map[string]int{}, map[string]string{}
	hidden := map[string]bool{"Time": true}
	place := 0
	put := func(field, title string) {
		order[field], names[field] = place, title
		place++
	}
	for _, k := range p.Keys {
		put(k.Label, k.Title)
	}
	for i, c := range p.Columns {
		fields := []string{"Value #" + refID(i)}
		if len(p.Columns) == 1 {
			fields = append(fields, "Value") // the name of a single query's value
		}
		for _, field := range fields {
			if c.Title == "" {
				hidden[field] = true
				continue
			}
			put(field, c.Title)
		}
	}
	put("cluster", "Cluster")
	return []dashboard.DataTransformerConfig{
		{Id: "merge", Options: map[string]any{}},
		{Id: "organize", Options: map[string]any{"indexByName": order, "renameByName": names, "excludeByName": hidden}},
	}
}
