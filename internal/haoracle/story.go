package haoracle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/hareplay"
	"github.com/quorate/quorate/internal/source/pve"
)

const (
	step = 20               // seconds between two steps of the simulator
	hold = int64(30 * 60)   // seconds for which the last step is held
	live = 30 * time.Second // a status that was written since is still written
)

// A look is the HA state at one step, if anybody was there to tell.
type look struct {
	t        int64 // seconds since the scenario's start
	ha       pve.HA
	answered bool
}

// looks are the steps of s, and its last one held.
func looks(s hareplay.Scenario) ([]look, error) {
	var all []look
	for _, st := range s.Steps {
		h, ok, err := st.HA()
		if err != nil {
			return nil, err
		}
		all = append(all, look{st.T, h, ok})
	}
	if len(all) == 0 {
		return nil, errors.New("no steps")
	}
	return held(all), nil
}

// held is all with its last look held.
func held(all []look) []look {
	last := all[len(all)-1]
	for until := last.t + hold; last.t < until; {
		last = last.later()
		all = append(all, last)
	}
	return all
}

// later is l one step on, with nothing changed. Whoever is alive has written his status once more.
func (l look) later() look {
	l.t += step
	if !l.answered {
		return l
	}
	before := l.ha.At
	l.ha.At = before.Add(step * time.Second)
	alive := func(t time.Time) bool { return !t.IsZero() && before.Sub(t) <= live }
	if alive(l.ha.Updated) && l.ha.Quorate {
		l.ha.Updated = l.ha.Updated.Add(step * time.Second)
	} else if l.ha.Arming == pve.HAArmed && !alive(l.ha.Updated) {
		l.ha.Arming = pve.HAStandby // as the API then says
	}
	l.ha.LRMs = slices.Clone(l.ha.LRMs)
	for i, m := range l.ha.LRMs {
		if alive(m.Updated) && l.ha.Quorate { // nobody writes without quorum
			l.ha.LRMs[i].Updated = m.Updated.Add(step * time.Second)
		}
	}
	return l
}

// A scrape has the values of all series at one step.
type scrape map[string]float64

// scrapes are what an exporter that runs from the start tells at each of all.
func scrapes(ctx context.Context, all []look) ([]scrape, error) {
	r := &reader{tracker: pve.NewHATracker()}
	c, err := collector.HASpec().New(collector.Sources{HA: r})
	if err != nil {
		return nil, err
	}
	begin := begin(all)
	var list []scrape
	for _, l := range all {
		r.look = l
		got, err := hareplay.Scrape(ctx, c, l.answered)
		if err != nil {
			return nil, err
		}
		list = append(list, scrape(got).from(begin))
	}
	return list, nil
}

// begin is t = 0 on the clock that time stamps are of.
func begin(all []look) int64 {
	for _, l := range all {
		if l.answered {
			return l.ha.At.Unix() - l.t
		}
	}
	return 0
}

// from returns s with its time stamps told from begin.
func (s scrape) from(begin int64) scrape {
	for series := range s {
		if name, _, _ := strings.Cut(series, "{"); strings.HasSuffix(name, "_timestamp_seconds") {
			s[series] -= float64(begin)
		}
	}
	return s
}

// A reader is an HAReader that reads the look it stands at.
type reader struct {
	tracker *pve.HATracker
	look    look
}

var errNobody = errors.New("no node is there to be asked")

func (r *reader) HA(context.Context) (pve.HAView, error) {
	if !r.look.answered {
		c := r.tracker.Counts()
		c.InProgress = nil // as pve.HAWatch does
		return pve.HAView{Counts: c}, errNobody
	}
	r.tracker.Observe(r.look.ha)
	return pve.HAView{HA: r.look.ha, Counts: r.tracker.Counts()}, nil
}
