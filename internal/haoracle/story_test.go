package haoracle

import (
	"testing"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

func TestHoldingTheLastStepKeepsTheLivingAliveAndTheDeadDead(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	state := func(quorate bool, managerAge time.Duration) look {
		return look{t: 720, answered: true, ha: pve.HA{
			At: at, Quorate: quorate, Master: "node1", Updated: at.Add(-managerAge), Arming: pve.HAArmed,
			LRMs: []pve.HALRM{{Node: "node1", Updated: at.Add(-19 * time.Second)}, {Node: "node3", Updated: at.Add(-5 * time.Minute)}},
		}}
	}
	age := func(l look, t time.Time) time.Duration { return l.ha.At.Sub(t) }
	for name, c := range map[string]struct {
		first                   look
		manager, living, arming any
	}{
		"a master at work":  {state(true, 20*time.Second), 20 * time.Second, 19 * time.Second, pve.HAArmed},
		"a dead master":     {state(true, 40*time.Second), 40*time.Second + 30*time.Minute, 19 * time.Second, pve.HAStandby},
		"no quorum, no pen": {state(false, 20*time.Second), 20*time.Second + 30*time.Minute, 19*time.Second + 30*time.Minute, pve.HAStandby},
	} {
		all := held([]look{c.first})
		last := all[len(all)-1]
		if last.t != 720+1800 || len(all) != 91 {
			t.Fatalf("%s: %d looks up to %d", name, len(all), last.t)
		}
		if got := age(last, last.ha.Updated); got != c.manager {
			t.Errorf("%s: the manager's status is %s old, want %s", name, got, c.manager)
		}
		if got := age(last, last.ha.LRMs[0].Updated); got != c.living {
			t.Errorf("%s: the living LRM's status is %s old, want %s", name, got, c.living)
		}
		if got := age(last, last.ha.LRMs[1].Updated); got != 35*time.Minute {
			t.Errorf("%s: the dead LRM's status is %s old", name, got)
		}
		if last.ha.Arming != c.arming {
			t.Errorf("%s: %s, want %s", name, last.ha.Arming, c.arming)
		}
		if got := age(all[0], all[0].ha.LRMs[0].Updated); got != 19*time.Second {
			t.Errorf("%s: holding changed the first look", name)
		}
	}
	if all := held([]look{{t: 40}}); len(all) != 91 || all[90].answered {
		t.Errorf("where nobody answers, somebody does in the end")
	}
}

func TestScrapesTellTimesFromTheScenariosStart(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	seen, err := scrapes(t.Context(), []look{
		{t: 20},
		{t: 40, answered: true, ha: pve.HA{At: at, Quorate: true, Master: "node1", Updated: at.Add(-5 * time.Second)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const updated = "pve_ha_manager_last_update_timestamp_seconds"
	if v, there := seen[1][updated]; !there || v != 35 {
		t.Errorf("%s is %g", updated, v)
	}
	if _, there := seen[0][updated]; there || len(seen[0]) != 2 { // the empty histogram
		t.Errorf("nobody answers, and there is %v", seen[0])
	}
}
