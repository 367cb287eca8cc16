package dashboards

// The constructors say what most panels of a kind have in common; the methods change a copy.

// tile is a number or a word, as it is now. Its query has one series.
func tile(title, about, expr string) Panel {
	return Panel{
		Kind: Tile, Title: title, About: about, Queries: []Query{{Expr: expr}},
		Unit: "none", None: "unknown", Width: 3, Height: 4,
	}
}

// timeline has a bar for each series of the query.
func timeline(title, about, expr, legend string, words ...Word) Panel {
	return Panel{
		Kind: Timeline, Title: title, About: about, Queries: []Query{{expr, legend}},
		Unit: "none", None: "no data", Width: 12, Height: 7, Words: words,
	}
}

// graph has a line for each series of the queries.
func graph(title, about, unit string, queries ...Query) Panel {
	return Panel{
		Kind: Graph, Title: title, About: about, Queries: queries,
		Unit: unit, None: "no data", Width: 12, Height: 8,
	}
}

// table has a row for each set of keys. The queries of its columns have these labels and cluster.
func table(title, about string, keys []Key, columns ...Column) Panel {
	p := Panel{
		Kind: Table, Title: title, About: about, Unit: "none", None: "none", Width: 24, Height: 8,
		Keys: keys, Columns: columns,
	}
	for _, c := range columns {
		p.Queries = append(p.Queries, Query{Expr: c.Expr})
	}
	return p
}

func (p Panel) unit(u string) Panel             { p.Unit = u; return p }
func (p Panel) none(text string) Panel          { p.None = text; return p }
func (p Panel) size(width, height int) Panel    { p.Width, p.Height = width, height; return p }
func (p Panel) words(w ...Word) Panel           { p.Words = w; return p }
func (p Panel) steps(s ...Step) Panel           { p.Steps = s; return p }
func (p Panel) runbooks(alerts ...string) Panel { p.Runbooks = alerts; return p }
func (p Panel) detail(uid string) Panel         { p.Detail = uid; return p }
func (p Panel) shows(w When) Panel              { p.Shows = w; return p }
func (p Panel) stacked() Panel                  { p.Stacked = true; return p }
func (p Panel) bars() Panel                     { p.Bars = true; return p }
func (p Panel) points() Panel                   { p.Points = true; return p }

// first colours a count from 1 on: the alert comes with the first.
func first(colour, alert string) Step { return Step{From: 1, Colour: colour, Alert: alert} }

func from(value float64, colour, alert string) Step {
	return Step{From: value, Colour: colour, Alert: alert}
}

// alerts are those that the panel's colours stand for and those it links to, each once.
func (p Panel) alerts() []string {
	var all []string
	seen := map[string]bool{"": true}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			all = append(all, name)
		}
	}
	for _, w := range p.Words {
		add(w.Alert)
	}
	for _, s := range p.Steps {
		add(s.Alert)
	}
	for _, name := range p.Runbooks {
		add(name)
	}
	return all
}
