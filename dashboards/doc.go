// Package dashboards is the Grafana dashboards of the bundle: each as a table of contents in Go, and the
// JSON that is generated from it.
//
//	cluster.go quorum.go …   the pages: rows, panels, queries, thresholds; All lists them
//	model.go panel.go        what a page is made of
//	queries.go words.go      expressions and value texts that several pages share
//	render.go render_*.go    from the model to Grafana's JSON
//	json/UID.json            what is shipped; `make dashboards` writes it, a test compares it
//	provisioning/            the files that make Grafana load the dashboards from a folder
//
// What the tests of this package demand of a panel:
//   - a title, of a tile at most 13 characters long, a description, a unit and a text for no value;
//   - queries that keep to the chosen clusters (CLUSTER in a selector; the label may be absent), that
//     use only what the exporter or a recording rule of package alerts has, and that say the same
//     whether one exporter tells a fact of the whole cluster or three do;
//   - no zero for what is not known: a tile whose source is gone is without value, so counts are
//     written sum(x == bool 0) and never "or vector(0)";
//   - thresholds that are an alert's: each names it, its number stands in the alert's expression, and
//     its colour is that of the alert's severity (red critical, orange warning, blue info).
//
// Elsewhere colours mean: green as it should be, blue on purpose or in motion, purple not known.
package dashboards
