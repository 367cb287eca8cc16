package dashboards

// A Dashboard is one page.
type Dashboard struct {
	UID       string // stable: links and bookmarks use it
	Title     string // without the prefix that all have
	Question  string // what the page answers
	First     string // title of the panel to look at first
	Variables []Variable
	Rows      []Row
}

// A Variable is a choice at the top of a page, besides data source and cluster, which all pages have.
type Variable struct {
	Name, Label string
	Query       string // label_values(…)
	Regex       string // takes a part of each value; "" takes all
}

// A Row is a heading and the panels under it, from left to right and top to bottom.
type Row struct {
	Title     string
	Collapsed bool
	Panels    []Panel
}

// Kind is how a panel draws.
type Kind string

// The kinds.
const (
	Tile     Kind = "stat"           // one number or word on a coloured ground, as it is now
	Timeline Kind = "state-timeline" // a bar for each thing, coloured by its state
	Graph    Kind = "timeseries"
	Table    Kind = "table"
)

// A Panel is one picture of a page.
type Panel struct {
	Kind    Kind
	Title   string
	About   string // what is seen, and what to make of it
	Queries []Query
	Unit    string // Grafana's name
	None    string // shown when there is no value
	Width   int    // of 24
	Height  int

	Words    []Word   // texts and colours for values
	Steps    []Step   // colours from a value on
	Runbooks []string // names of alerts whose runbooks the panel links to
	Detail   string   // UID of the dashboard that tells more
	Shows    When     // when there is data

	Keys    []Key    // of a table: what a row is about
	Columns []Column // of a table: what is said of it
	Matrix  bool     // of a table with two keys: the second one's values are the columns
	Stacked bool     // of a graph
	Points  bool     // of a graph: measurements of single events, which are not joined
	Bars    bool     // of a graph: numbers of events
	Name    bool     // of a tile: shows the legend instead of the value
}

// A Query is a PromQL expression, in which CLUSTER stands for the matcher of the chosen clusters.
type Query struct {
	Expr   string
	Legend string // {{label}}; the cluster's name is added
}

// A Word is the text and colour of a value.
type Word struct {
	Value  int
	Text   string
	Colour string
	Alert  string // that pages in this state, if one does
}

// A Step is a colour for values from From on.
type Step struct {
	From   float64
	Colour string
	Alert  string // whose threshold it is
}

// A Key is a label that a table has as a column.
type Key struct {
	Label, Title string
	Link         string // UID of a dashboard that has a variable of the label's name
	Runbook      bool   // the label is an alert's name
}

// A Column is a query's value in a table.
type Column struct {
	Title string
	Expr  string // "" of a query that only adds a key
	Unit  string
	Words []Word
	Steps []Step
	Bar   bool // a ratio from 0 to 1, drawn as a bar
}

// When says in which state of a cluster a panel has data. Tests prove each.
type When string

// The states.
const (
	Always            When = ""
	WhileAlerting     When = "while an alert fires"
	WhilePaging       When = "while an alert of severity critical fires"
	WhileWarned       When = "once Ceph raised a health check"
	WhileLinkDown     When = "while a corosync link is down"
	WhileRecovering   When = "while Ceph moves data"
	AfterQuorumChange When = "when quorum came or went"
	WhileFailingOver  When = "while HA moves guests of a lost node"
	AfterFailover     When = "after HA moved guests of a lost node"
	WhileMigrating    When = "while a guest migrates live"
	AfterMigration    When = "after a guest migrated live"
	AfterStarvation   When = "after corosync did not get the CPU in time"
	WithReplication   When = "with storage replication"
	WithQDevice       When = "with a quorum device"
	AfterTaskFailure  When = "after a task of Proxmox VE failed"
	AfterErrors       When = "after a request of the exporter failed"
)
