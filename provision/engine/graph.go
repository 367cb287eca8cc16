package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Order returns the steps so that each comes after those it needs, otherwise as given.
func Order(steps []Step) ([]Step, error) {
	byID := map[ID]Step{}
	for _, s := range steps {
		if byID[s.ID()] != nil {
			return nil, fmt.Errorf("two steps are named %s", s.ID())
		}
		byID[s.ID()] = s
	}
	var out []Step
	state := map[ID]int{} // 1 being visited, 2 placed
	var visit func(s Step, trail []string) error
	visit = func(s Step, trail []string) error {
		trail = append(trail, string(s.ID()))
		switch state[s.ID()] {
		case 1:
			return fmt.Errorf("steps need each other in a circle: %s", strings.Join(trail, " → "))
		case 2:
			return nil
		}
		state[s.ID()] = 1
		for _, id := range s.Needs() {
			n := byID[id]
			if n == nil {
				return fmt.Errorf("step %s needs %s, which does not exist", s.ID(), id)
			}
			if err := visit(n, trail); err != nil {
				return err
			}
		}
		state[s.ID()] = 2
		out = append(out, s)
		return nil
	}
	for _, s := range steps {
		if err := visit(s, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// checkTargets says which of the names is no step.
func checkTargets(steps []Step, targets []ID) error {
	var names []string
	for _, s := range steps {
		names = append(names, string(s.ID()))
	}
	for _, t := range targets {
		if !slices.Contains(names, string(t)) {
			return &UsageError{fmt.Sprintf("there is no step %q; the steps are %s", t, strings.Join(names, ", "))}
		}
	}
	return nil
}

// selected says whether a step takes part.
func selected(s Step, targets []ID) bool {
	return len(targets) == 0 || slices.Contains(targets, s.ID())
}

// needs returns everything that each step relies on, directly or not.
func needs(ordered []Step) map[ID]map[ID]bool {
	all := map[ID]map[ID]bool{}
	for _, s := range ordered {
		mine := map[ID]bool{}
		for _, n := range s.Needs() {
			mine[n] = true
			for far := range all[n] {
				mine[far] = true
			}
		}
		all[s.ID()] = mine
	}
	return all
}
