package linkprobe

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Each step is the outcome of a round, "udp/icmp" with a (answered), m (missed), r (refused),
// u (unsent) or - (not sent), and after it the way of the next round.
func TestChooser(t *testing.T) {
	for name, tt := range map[string]struct {
		noKey bool
		steps string
	}{
		"an exporter that answers is measured by UDP":          {steps: "a/a udp, a/- udp"},
		"UDP is taken even when ICMP is filtered":              {steps: "a/m udp"},
		"a port that refuses means ICMP":                       {steps: "r/a icmp, -/a icmp"},
		"three silent rounds mean ICMP":                        {steps: "m/a none, m/a none, m/a icmp"},
		"without privileges for ICMP UDP still works":          {steps: "m/u none, a/u udp, m/- udp, m/u udp, m/u udp, m/u udp"},
		"no key means ICMP from the start":                     {noKey: true, steps: "-/a icmp, -/m icmp, -/a icmp"},
		"an exporter that stops means ICMP":                    {steps: "a/a udp, r/- icmp"},
		"an exporter that hangs means ICMP after three checks": {steps: "a/a udp, m/- udp, m/a udp, m/a udp, m/a icmp"},
		"a dead link stays with UDP":                           {steps: "a/a udp, m/- udp, m/m udp, m/m udp, m/m udp, m/m udp, a/m udp"},
		"an answer ends the doubt":                             {steps: "a/a udp, m/- udp, m/a udp, m/a udp, a/a udp, m/- udp, m/a udp, m/a udp, m/a icmp"},
		"what this machine cannot send tells nothing":          {steps: "a/a udp, u/- udp, u/- udp, u/- udp, u/- udp, a/- udp"},
		"ICMP knocks every tenth round and returns":            {steps: "r/a icmp, " + strings.Repeat("-/a icmp, ", 9) + "r/a icmp, " + strings.Repeat("-/a icmp, ", 9) + "a/a udp"},
		"a lost knock is repeated ten rounds later":            {steps: "r/a icmp, " + strings.Repeat("-/a icmp, ", 9) + "m/a icmp, " + strings.Repeat("-/a icmp, ", 9) + "a/m udp"},
		"a peer that never answers is knocked at all the same": {steps: "m/m none, m/m none, m/m icmp, " + strings.Repeat("-/m icmp, ", 9) + "a/m udp"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChooser(!tt.noKey)
			for i, step := range strings.Split(tt.steps, ", ") {
				var udp, icmp byte
				var want string
				if _, err := fmt.Sscanf(step, "%c/%c %s", &udp, &icmp, &want); err != nil {
					t.Fatal(err)
				}
				p := c.plan()
				if p.udp != (udp != '-') || p.icmp != (icmp != '-') {
					t.Fatalf("step %d (%s): the plan is %+v", i, step, p)
				}
				c.learn(outcomes[udp], outcomes[icmp])
				if c.now.String() != want {
					t.Fatalf("step %d (%s): way is %v", i, step, c.now)
				}
			}
		})
	}
}

var outcomes = map[byte]outcome{'-': unsent, 'u': unsent, 'a': answered, 'm': missed, 'r': refused}

func TestSilenceCountsOnlyOnAWayThatAnsweredBefore(t *testing.T) {
	c := newChooser(true)
	for range 3 * knockEvery { // a firewall drops both
		if p := c.plan(); p.counts != noWay {
			t.Fatalf("round counts %v though nothing ever answered", p.counts)
		}
		c.learn(missed, missed)
	}
	c.learn(unsent, answered)
	if p := c.plan(); p.counts != byICMP {
		t.Errorf("after an answer the rounds count %v, want icmp", p.counts)
	}
	c.learn(answered, missed)
	if p := c.plan(); p.counts != byUDP {
		t.Errorf("with an exporter the rounds count %v, want udp", p.counts)
	}
}

// The loss that is counted must be the loss of the link, however often the way changes.
func TestLossIsUnbiased(t *testing.T) {
	const rounds = 200_000
	for _, loss := range []float64{0.01, 0.2, 0.5} {
		for _, restart := range []float64{0, 0.02} { // chance that the exporter is down in a round
			t.Run(fmt.Sprintf("loss %v, restarts %v", loss, restart), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(1, 2))
				packet := func() outcome {
					if rng.Float64() < loss {
						return missed
					}
					return answered
				}
				c := newChooser(true)
				var sent, lost, changes float64
				for range rounds {
					p, before := c.plan(), c.now
					udp, icmp := unsent, unsent
					if p.udp {
						if udp = packet(); udp == answered && rng.Float64() < restart {
							udp = refused
						}
					}
					if p.icmp {
						icmp = packet()
					}
					c.learn(udp, icmp)
					if c.now != before {
						changes++
					}
					counted := map[way]outcome{byUDP: udp, byICMP: icmp}[p.counts]
					if counted == answered || counted == missed {
						sent++
					}
					if counted == missed {
						lost++
					}
				}
				// A refused round is left out, and only a round that was not lost can be refused: that
				// makes the share of losses among the rest larger by at most the share of refusals.
				got, tolerance := lost/sent, 0.005+restart*loss
				if got < loss-tolerance || got > loss+tolerance {
					t.Errorf("counted loss %.4f of %v rounds (%v changes), want %v ± %.4f", got, sent, changes, loss, tolerance)
				}
				if restart > 0 && changes < 100 {
					t.Errorf("the way changed %v times: nothing was tested", changes)
				}
			})
		}
	}
}
