package engine

// An ID names a step on the command line, in plans and in events.
type ID string

// An Action is what a Change does.
type Action string

// The actions.
const (
	Create    Action = "create"
	Update    Action = "update"
	Noop      Action = "noop"      // nothing is done; something is to be said
	Forbidden Action = "forbidden" // must not be done by a program; From, To and Note say why
)

// A Risk is how much a change can hurt a cluster that is in use.
type Risk string

// The risks.
const (
	Safe   Risk = "none"   // nobody notices
	Low    Risk = "low"    // services restart, data is not touched
	Medium Risk = "medium" // data moves or a node's connections drop
	High   Risk = "high"   // data is destroyed
)

// A Change is one difference between what is wanted and what is there.
type Change struct {
	Step   ID     `json:"step"`
	Node   string `json:"node,omitempty"` // that is changed or does the work; "" for the cluster
	Path   string `json:"path"`           // of the thing: "pool/vm-storage", "pool/vm-storage/size"
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Action Action `json:"action"`
	Risk   Risk   `json:"risk"`
	Note   string `json:"note,omitempty"` // what else there is to know; for forbidden ones what to do

	// Key and Do are the step's own: what it needs to carry the change out.
	Key string `json:"-"`
	Do  any    `json:"-"`
}

// Writes says whether the change alters anything.
func (c Change) Writes() bool { return c.Action == Create || c.Action == Update }

// Subject is how a change is named in a line of text.
func (c Change) Subject() string {
	if c.Node == "" {
		return c.Path
	}
	return c.Node + ": " + c.Path
}

// Of returns the changes of one action.
func Of(changes []Change, a Action) []Change {
	var out []Change
	for _, c := range changes {
		if c.Action == a {
			out = append(out, c)
		}
	}
	return out
}

// writing returns the changes that alter something.
func writing(changes []Change) []Change {
	var out []Change
	for _, c := range changes {
		if c.Writes() {
			out = append(out, c)
		}
	}
	return out
}

// byNode groups changes by the node that does the work, in the order of the first of each.
func byNode(changes []Change) [][]Change {
	at := map[string]int{}
	var out [][]Change
	for _, c := range changes {
		i, ok := at[c.Node]
		if !ok {
			i = len(out)
			at[c.Node] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], c)
	}
	return out
}
