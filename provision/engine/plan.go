package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Options say what of the steps is run and how.
type Options struct {
	Cluster string
	// Target are the only steps to run; none means all. Nodes are the only ones whose changes are made.
	Target []ID
	Nodes  []string
	// Parallel is how many steps look, and how many nodes are changed, at the same time; default 4.
	Parallel int
	Clock    Clock // default WallClock
	// Stop ends the run before its next change; what is running is waited for. nil never stops.
	Stop <-chan struct{}
	// Again says whether an error may be gone after looking again: a node that is not reached just now,
	// a reply that was lost. nil means that no error is.
	Again func(error) bool
	// Attempts is how often a step is tried while Again says so; default 6.
	Attempts int
	Tell     func(Event) // is told what happens; may be nil
	Keep     func(name string, data []byte)
}

func (o *Options) fill() {
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.Attempts <= 0 {
		o.Attempts = 6
	}
	if o.Clock == nil {
		o.Clock = WallClock{}
	}
	if o.Again == nil {
		o.Again = func(error) bool { return false }
	}
	if o.Tell == nil {
		o.Tell = func(Event) {}
	}
	if o.Keep == nil {
		o.Keep = func(string, []byte) {}
	}
}

// A Plan is what apply would do now.
type Plan struct {
	Cluster string     `json:"cluster"`
	Made    time.Time  `json:"made"`
	Steps   []StepPlan `json:"steps"`
	// Hash is of all changes; apply of a plan refuses when it is another by then.
	Hash string `json:"hash"`
}

// A StepPlan is one step's part of a plan.
type StepPlan struct {
	ID      ID       `json:"id"`
	Title   string   `json:"title"`
	Needs   []ID     `json:"needs,omitempty"`
	Changes []Change `json:"changes"`
	Unknown string   `json:"unknown,omitempty"` // why the step could not look

	err error
}

// MakePlan looks and compares. It changes nothing. A step that cannot look stands in the plan as
// unknown; the error is about the steps as such.
func MakePlan(ctx context.Context, steps []Step, opt Options) (*Plan, error) {
	opt.fill()
	ordered, err := Order(steps)
	if err != nil {
		return nil, err
	}
	if err := checkTargets(steps, opt.Target); err != nil {
		return nil, err
	}
	p := &Plan{Cluster: opt.Cluster, Made: opt.Clock.Now().UTC()}
	for _, s := range ordered {
		if selected(s, opt.Target) {
			p.Steps = append(p.Steps, StepPlan{ID: s.ID(), Title: s.Title(), Needs: s.Needs()})
		}
	}
	byID := map[ID]Step{}
	for _, s := range ordered {
		byID[s.ID()] = s
	}
	var wg sync.WaitGroup
	free := make(chan struct{}, opt.Parallel)
	for i := range p.Steps {
		wg.Add(1)
		go func(sp *StepPlan) {
			defer wg.Done()
			free <- struct{}{}
			defer func() { <-free }()
			sp.look(ctx, byID[sp.ID], opt)
		}(&p.Steps[i])
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.Hash = p.hash()
	return p, nil
}

// A plan bears with what passes quickly; what lasts is unknown.
const (
	lookTries = 3
	lookPause = 2 * time.Second
)

func (sp *StepPlan) look(ctx context.Context, s Step, opt Options) {
	have, err := s.Observe(ctx)
	for try := 1; err != nil && try < lookTries && opt.Again(err) && opt.Clock.Sleep(ctx, lookPause) == nil; try++ {
		have, err = s.Observe(ctx)
	}
	if err != nil {
		sp.Unknown, sp.err, sp.Changes = err.Error(), err, []Change{}
		return
	}
	sp.Changes = diff(s, have, opt)
}

// diff is the step's Diff as far as it concerns this run.
func diff(s Step, have Observed, opt Options) []Change {
	out := []Change{}
	for _, c := range s.Diff(have) {
		c.Step = s.ID()
		if c.Risk == "" {
			c.Risk = Safe
		}
		if c.Node == "" || len(opt.Nodes) == 0 || slices.Contains(opt.Nodes, c.Node) {
			out = append(out, c)
		}
	}
	return out
}

// Changes returns all changes of one action, in the order of the plan.
func (p *Plan) Changes(a Action) []Change {
	var out []Change
	for _, s := range p.Steps {
		out = append(out, Of(s.Changes, a)...)
	}
	return out
}

// Writes returns how many changes alter something.
func (p *Plan) Writes() int { return len(p.Changes(Create)) + len(p.Changes(Update)) }

// Blocked returns why the plan must not be applied, nil if it may.
func (p *Plan) Blocked() error {
	e := &BlockedError{Forbidden: p.Changes(Forbidden)}
	for _, s := range p.Steps {
		if s.Unknown != "" {
			e.Unknown = append(e.Unknown, fmt.Sprintf("%s: %s", s.ID, s.Unknown))
			e.Causes = append(e.Causes, s.err)
		}
	}
	if len(e.Unknown) == 0 && len(e.Forbidden) == 0 {
		return nil
	}
	return e
}

func (p *Plan) hash() string {
	type stage struct {
		ID      ID
		Unknown string
		Changes []Change
	}
	var all []stage
	for _, s := range p.Steps {
		all = append(all, stage{s.ID, s.Unknown, s.Changes})
	}
	b, err := json.Marshal(struct {
		Cluster string
		Steps   []stage
	}{p.Cluster, all})
	if err != nil {
		// Strings only: it cannot fail.
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Same returns ErrChanged unless other holds the same changes.
func (p *Plan) Same(other *Plan) error {
	if p.Hash == "" || p.Hash != other.Hash {
		return ErrChanged
	}
	return nil
}

// WriteJSON writes the plan for programs, and for apply.
func (p *Plan) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(p)
}

// ReadPlan reads what WriteJSON wrote.
func ReadPlan(r io.Reader) (*Plan, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	p := &Plan{}
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("this is no plan of `quorate provision plan --out`: %w", err)
	}
	if p.hash() != p.Hash {
		return nil, fmt.Errorf("the plan was edited after it was made: its hash does not fit")
	}
	return p, nil
}
