package engine

import "context"

// Observed is what a step saw. Only the step itself knows what is in it.
type Observed any

// A Step is one subject of a cluster: its hosts files, its monitors, its pools.
type Step interface {
	ID() ID
	// Title says in a few words what the step is about.
	Title() string
	// Needs are the steps that must be true before this one is applied.
	Needs() []ID
	// Observe only reads. An error means that the state is unknown, which blocks apply; what cannot be
	// there yet because an earlier step is still to be applied is not unknown but absent.
	Observe(ctx context.Context) (Observed, error)
	// Diff is pure: the same observation gives the same changes in the same order.
	Diff(have Observed) []Change
	// Apply makes one change that Diff has just returned and waits for the task behind it.
	Apply(ctx context.Context, c Change, report Reporter) error
	// Wait returns when what the later steps rely on is true. It only reads.
	Wait(ctx context.Context, report Reporter) error
}

// Traits say how the changes of a step may be carried out. The zero value is one after the other,
// ending with the first that fails.
type Traits struct {
	// Spread is how many nodes may be changed at the same time, 0 one only, -1 as many as the run allows.
	Spread int
	// CarryOn makes the other changes although one has failed.
	CarryOn bool
}

// A Charactered step has Traits.
type Charactered interface{ Traits() Traits }

// A Settler has tasks on the cluster that may still run from an earlier attempt whose reply was lost or
// which was killed. Settle waits for them, so that nothing is started twice. Only apply calls it.
type Settler interface {
	Settle(ctx context.Context, report Reporter) error
}

// A Reporter is told what a step does. Its methods may be called from several goroutines.
type Reporter interface {
	// Task says that a task of Proxmox VE was started or found running.
	Task(node, upid string)
	// Progress says how far things are, in words.
	Progress(node, text string)
	// Warning says that a task did its work, and had something to say; log are the lines of it.
	Warning(node, upid, text string, log []string)
	// Keep puts data aside as it was before a change, under a name for people.
	Keep(name string, data []byte)
}

func traits(s Step) Traits {
	if c, ok := s.(Charactered); ok {
		return c.Traits()
	}
	return Traits{}
}
