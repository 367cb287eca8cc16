package acceptance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// A truth says what exporters must tell about a fault: which series change, to what, and within
// how long; that healing brings the old values back; and that every scrape answers in time.
type truth struct {
	name   string
	faults []string // as on the command line of quorate-lab, in order; "until CLAIM" waits in between
	within time.Duration
	claims []string
	// atOnce demands that the first scrape after the fault tells of it.
	atOnce bool
}

// Limits on every scrape under every fault.
const (
	scrapeLimit = 5 * time.Second // the scrape's own timeout
	nextLimit   = time.Second     // of a scrape after one that saw the fault
	healLimit   = 60 * time.Second
)

// prove makes the fault of tr in l, checks its claims and heals it.
func (tr truth) prove(t *testing.T, l *lab.Lab, exporters []*exporter, healthy []string) {
	before := settle(t, exporters, claims(t, healthy), nil, healLimit)
	slowest, scrapes := time.Duration(0), 0
	watch := func(now map[string]answer) {
		scrapes++
		for _, a := range now {
			slowest = max(slowest, a.took)
		}
	}

	t.Cleanup(func() { // also when a claim was false: the next truth needs a sound lab
		if err := l.Heal(context.Background()); err != nil {
			t.Error(err)
		}
	})
	begun := time.Now()
	for _, f := range tr.faults {
		if text, is := strings.CutPrefix(f, "until "); is {
			settle(t, exporters, claims(t, []string{text}), watch, tr.within)
			continue
		}
		words := strings.Fields(f)
		if err := l.Inject(t.Context(), words[0], words[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	injected := time.Since(begun)
	scrapes = 0
	now, told := await(t, exporters, claims(t, tr.claims), before, tr.within, watch)
	if told == nil {
		for _, x := range exporters {
			t.Logf("log of %s:\n%s", x.name(), x.logTail())
		}
		t.Fatalf("after %s: %v", tr.within, firstFalse(claims(t, tr.claims), before, now))
	}
	if tr.atOnce && scrapes > 1 {
		t.Errorf("told by scrape %d, not by the first", scrapes)
	}
	tr.checkNextScrape(t, exporters, watch)

	begun = time.Now()
	if err := l.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	healed := time.Since(begun)
	settle(t, exporters, claims(t, healthy), watch, healLimit)
	t.Logf("%-22s injected in %5.1f s, told after %5.1f s; healed in %5.1f s, told after %5.1f s; slowest scrape %.2f s",
		tr.name, injected.Seconds(), told.Seconds(), healed.Seconds(), time.Since(begun).Seconds(), slowest.Seconds())
	if slowest > scrapeLimit {
		t.Errorf("a scrape took %s", slowest)
	}
}

// checkNextScrape demands that a fault, once seen, costs the following scrapes no time.
func (tr truth) checkNextScrape(t *testing.T, exporters []*exporter, watch func(map[string]answer)) {
	now := scrapeAll(t, exporters)
	watch(now)
	for node, a := range now {
		if a.took > nextLimit {
			t.Errorf("%s: a scrape after the one that told of the fault took %s", node, a.took)
		}
	}
}

// settle waits until all claims hold and returns the answers in which they do.
func settle(t *testing.T, exporters []*exporter, cs []claim, watch func(map[string]answer), limit time.Duration) map[string]answer {
	t.Helper()
	now, took := await(t, exporters, cs, nil, limit, watch)
	if took == nil {
		t.Fatalf("not healthy after %s: %v", limit, firstFalse(cs, nil, now))
	}
	return now
}

// await scrapes until all claims hold. It returns the last answers, and how long it took or nil.
func await(t *testing.T, exporters []*exporter, cs []claim, before map[string]answer, limit time.Duration, watch func(map[string]answer)) (map[string]answer, *time.Duration) {
	t.Helper()
	begun := time.Now()
	for {
		now := scrapeAll(t, exporters)
		if watch != nil {
			watch(now)
		}
		if firstFalse(cs, before, now) == nil {
			took := time.Since(begun)
			return now, &took
		}
		if time.Since(begun) > limit {
			return now, nil
		}
		time.Sleep(200 * time.Millisecond) // a scrape interval, not a wait for something
	}
}

func firstFalse(cs []claim, before, now map[string]answer) error {
	for _, c := range cs {
		if err := c.check(before, now); err != nil {
			return err
		}
	}
	return nil
}

// scrapeAll scrapes all exporters at once. One that does not answer, as on a node that is down, is
// left out; one that answers late or not completely fails the test.
func scrapeAll(t *testing.T, exporters []*exporter) map[string]answer {
	t.Helper()
	type reply struct {
		node string
		answer
		err error
	}
	replies := make(chan reply)
	for _, x := range exporters {
		go func() {
			a, err := x.scrape(t.Context(), "/metrics")
			replies <- reply{x.name(), a, err}
		}()
	}
	out := map[string]answer{}
	for range exporters {
		r := <-replies
		if r.err == nil {
			out[r.node] = r.answer
			continue
		}
		if t.Context().Err() != nil {
			t.Fatal(context.Cause(t.Context()))
		}
		if x := byName(exporters, r.node); x.lab == nil || x.lab.Running(x.node, "exporter") {
			t.Errorf("%s runs and does not answer: %v", r.node, r.err)
		}
	}
	return out
}

func byName(exporters []*exporter, name string) *exporter {
	for _, x := range exporters {
		if x.name() == name {
			return x
		}
	}
	panic(fmt.Sprintf("no exporter %s", name))
}

func claims(t *testing.T, texts []string) []claim {
	t.Helper()
	var cs []claim
	for _, text := range texts {
		c, err := parseClaim(text)
		if err != nil {
			t.Fatal(err)
		}
		cs = append(cs, c)
	}
	return cs
}

func proveAll(t *testing.T, l *lab.Lab, exporters []*exporter, healthy []string, truths []truth) {
	for _, tr := range truths {
		t.Run(tr.name, func(t *testing.T) { tr.prove(t, l, exporters, healthy) })
	}
}
