package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeClock jumps instead of waiting.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

var errPassing = errors.New("not now")

// thing is a step that wants some things to be there.
type thing struct {
	id    ID
	needs []ID
	want  []string // NODE/NAME
	tr    Traits

	mu     sync.Mutex
	have   map[string]bool
	blind  error            // of Observe
	fails  map[string]error // of Apply, by name; errPassing only once
	lost   map[string]bool  // Apply works, but says errPassing
	deaf   map[string]bool  // Apply says yes and does nothing
	bad    []Change
	waited int
	at     int // changes under way
	most   int
	log    *[]string
}

func (s *thing) ID() ID         { return s.id }
func (s *thing) Title() string  { return "things" }
func (s *thing) Needs() []ID    { return s.needs }
func (s *thing) Traits() Traits { return s.tr }

func (s *thing) Observe(context.Context) (Observed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for k := range s.have {
		seen[k] = true
	}
	return seen, s.blind
}

func (s *thing) Diff(have Observed) []Change {
	out := slices.Clone(s.bad)
	for _, w := range s.want {
		if !have.(map[string]bool)[w] {
			node, name, _ := strings.Cut(w, "/")
			out = append(out, Change{Node: node, Path: name, To: "there", Action: Create})
		}
	}
	return out
}

func (s *thing) Apply(_ context.Context, c Change, _ Reporter) error {
	s.mu.Lock()
	s.at++
	s.most = max(s.most, s.at)
	s.mu.Unlock()
	time.Sleep(time.Millisecond) // so that what runs side by side meets
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at--
	key := c.Node + "/" + c.Path
	if s.log != nil {
		*s.log = append(*s.log, string(s.id)+" "+key)
	}
	if err := s.fails[c.Path]; err != nil {
		if errors.Is(err, errPassing) {
			delete(s.fails, c.Path)
		}
		return err
	}
	if s.deaf[c.Path] {
		return nil
	}
	if s.have == nil {
		s.have = map[string]bool{}
	}
	s.have[key] = true
	if s.lost[c.Path] {
		delete(s.lost, c.Path)
		return errPassing
	}
	return nil
}

func (s *thing) Wait(context.Context, Reporter) error { s.waited++; return nil }

func options() Options {
	return Options{Cluster: "test", Clock: &fakeClock{now: time.Unix(1700000000, 0)}, Again: func(err error) bool { return errors.Is(err, errPassing) }}
}

func TestApplyRunsStepsAfterThoseTheyNeed(t *testing.T) {
	var log []string
	a := &thing{id: "a", want: []string{"n1/x"}, needs: []ID{"b"}, log: &log}
	b := &thing{id: "b", want: []string{"n1/y"}, log: &log}
	res, err := Apply(t.Context(), []Step{a, b}, nil, options())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"b n1/y", "a n1/x"}; !slices.Equal(log, want) || res.Changed != 2 {
		t.Errorf("order %v with %d changes, want %v with 2", log, res.Changed, want)
	}
}

func TestASecondApplyDoesNothing(t *testing.T) {
	s := &thing{id: "a", want: []string{"n1/x", "n2/y"}}
	for i, want := range []int{2, 0} {
		res, err := Apply(t.Context(), []Step{s}, nil, options())
		if err != nil || res.Changed != want {
			t.Errorf("run %d: %d changes, %v; want %d", i+1, res.Changed, err, want)
		}
	}
	if s.waited != 1 {
		t.Errorf("waited %d times, want once: a run without changes has nothing to wait for", s.waited)
	}
}

func TestNothingIsChangedWhileAnythingIsUnknownOrForbidden(t *testing.T) {
	for name, other := range map[string]*thing{
		"unknown":   {id: "b", blind: errors.New("no answer from pve2")},
		"forbidden": {id: "b", bad: []Change{{Path: "x", From: "raid", To: "osd", Action: Forbidden, Note: "take another disk"}}},
	} {
		t.Run(name, func(t *testing.T) {
			a := &thing{id: "a", want: []string{"n1/x"}}
			_, err := Apply(t.Context(), []Step{a, other}, nil, options())
			var blocked *BlockedError
			if !errors.As(err, &blocked) || len(a.have) > 0 {
				t.Errorf("error %v, made %v; want a refusal before anything is made", err, a.have)
			}
			if code := ExitCode(err, false, nil); code != ExitError {
				t.Errorf("exit code %d, want %d", code, ExitError)
			}
		})
	}
}

func TestAStepThatFailsKeepsThoseThatNeedItFromRunning(t *testing.T) {
	a := &thing{id: "a", want: []string{"n1/x"}, fails: map[string]error{"x": &TaskError{Node: "n1", UPID: "UPID:n1:1", Status: "exit code 1", Log: []string{"no space"}}}}
	b := &thing{id: "b", want: []string{"n1/y"}, needs: []ID{"a"}}
	c := &thing{id: "c", want: []string{"n1/z"}, needs: []ID{"b"}}
	d := &thing{id: "d", want: []string{"n2/w"}}
	res, err := Apply(t.Context(), []Step{a, b, c, d}, nil, options())
	if len(b.have)+len(c.have) > 0 || len(d.have) != 1 || !slices.Equal(res.Skipped, []ID{"b", "c"}) {
		t.Errorf("b %v, c %v, d %v, skipped %v", b.have, c.have, d.have, res.Skipped)
	}
	for _, want := range []string{"n1: ", "step a", "UPID:n1:1", "exit code 1"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if len(res.Failed) != 1 || !slices.Equal(res.Failed[0].Log, []string{"no space"}) {
		t.Errorf("failed %+v, want the task's log", res.Failed)
	}
	if code := ExitCode(err, res.Changed > 0, nil); code != ExitPartial {
		t.Errorf("exit code %d, want %d", code, ExitPartial)
	}
}

func TestAChangeThatFailsDoesNotKeepOthersOfACarryingStepFromBeingMade(t *testing.T) {
	s := &thing{id: "osds", tr: Traits{Spread: -1, CarryOn: true}, want: []string{"n1/a", "n1/b", "n1/c", "n2/a"}, fails: map[string]error{"b": errors.New("bad disk")}}
	res, err := Apply(t.Context(), []Step{s}, nil, options())
	if res.Changed != 3 || len(res.Failed) != 1 || res.Failed[0].Path != "b" || err == nil {
		t.Errorf("%d changes, failed %v, error %v; want 3 and b alone", res.Changed, res.Failed, err)
	}
}

func TestALostReplyIsNoReasonToDoItTwice(t *testing.T) {
	var log []string
	s := &thing{id: "a", want: []string{"n1/x", "n1/y"}, lost: map[string]bool{"x": true}, log: &log}
	if _, err := Apply(t.Context(), []Step{s}, nil, options()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a n1/x", "a n1/y"}; !slices.Equal(log, want) {
		t.Errorf("made %v, want each once: %v", log, want)
	}
}

func TestAPassingFailureIsTriedAgain(t *testing.T) {
	s := &thing{id: "a", want: []string{"n1/x"}, fails: map[string]error{"x": errPassing}}
	if res, err := Apply(t.Context(), []Step{s}, nil, options()); err != nil || res.Changed != 1 {
		t.Errorf("%d changes, %v; want 1", res.Changed, err)
	}
}

func TestAChangeThatDoesNotTakeIsAnError(t *testing.T) {
	s := &thing{id: "a", want: []string{"n1/x"}, deaf: map[string]bool{"x": true}}
	if _, err := Apply(t.Context(), []Step{s}, nil, options()); err == nil || !strings.Contains(err.Error(), "still differs") {
		t.Errorf("error %v, want one that says that the cluster still differs", err)
	}
}

func TestNodesAreChangedSideBySideUpToTheLimits(t *testing.T) {
	for _, tt := range []struct {
		name             string
		spread, parallel int
		most             int
	}{
		{"one after the other", 0, 4, 1}, {"two of a step", 2, 4, 2}, {"as many as the run allows", -1, 3, 3}, {"no more than the run allows", 8, 2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &thing{id: "a", tr: Traits{Spread: tt.spread}}
			for n := range 12 {
				s.want = append(s.want, fmt.Sprintf("n%d/x", n), fmt.Sprintf("n%d/y", n))
			}
			opt := options()
			opt.Parallel = tt.parallel
			if _, err := Apply(t.Context(), []Step{s}, nil, opt); err != nil {
				t.Fatal(err)
			}
			if s.most > tt.most || tt.most > 1 && s.most == 1 {
				t.Errorf("%d nodes at a time, want up to %d", s.most, tt.most)
			}
		})
	}
}

func TestAnInterruptStopsBeforeTheNextChange(t *testing.T) {
	stop := make(chan struct{})
	s := &thing{id: "a", want: []string{"n1/x"}}
	opt := options()
	opt.Stop = stop
	opt.Tell = func(e Event) {
		if e.Event == EventStart {
			close(stop)
		}
	}
	res, err := Apply(t.Context(), []Step{s}, nil, opt)
	if !errors.Is(err, ErrInterrupted) || len(s.have) > 0 || ExitCode(err, res.Changed > 0, nil) != ExitInterrupted {
		t.Errorf("error %v, made %v", err, s.have)
	}
}

func TestTargetsAndNodesConfineARun(t *testing.T) {
	a := &thing{id: "a", want: []string{"n1/x", "n2/x"}}
	b := &thing{id: "b", want: []string{"n1/y"}, needs: []ID{"a"}}
	opt := options()
	opt.Target, opt.Nodes = []ID{"a"}, []string{"n2"}
	res, err := Apply(t.Context(), []Step{a, b}, nil, opt)
	if err != nil || res.Changed != 1 || !a.have["n2/x"] || len(b.have) > 0 {
		t.Errorf("%d changes, a %v, b %v, %v", res.Changed, a.have, b.have, err)
	}
	opt.Target = []ID{"c"}
	var usage *UsageError
	if _, err := MakePlan(t.Context(), []Step{a, b}, opt); !errors.As(err, &usage) || !strings.Contains(err.Error(), "a, b") {
		t.Errorf("error %v, want one that names the steps", err)
	}
}

func TestAPlanIsOnlyAppliedWhileItHolds(t *testing.T) {
	s := &thing{id: "a", want: []string{"n1/x", "n1/y"}}
	p, err := MakePlan(t.Context(), []Step{s}, options())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	read, err := ReadPlan(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	s.have = map[string]bool{"n1/x": true}
	if _, err := Apply(t.Context(), []Step{s}, read, options()); !errors.Is(err, ErrChanged) || s.have["n1/y"] {
		t.Errorf("error %v, made %v; want a refusal", err, s.have)
	}
	s.have = nil
	if _, err := Apply(t.Context(), []Step{s}, read, options()); err != nil {
		t.Error(err)
	}
	if _, err := ReadPlan(strings.NewReader(strings.Replace(text, `"path": "y"`, `"path": "z"`, 1))); err == nil {
		t.Error("an edited plan was taken")
	}
}

func TestStepsThatNeedEachOtherInACircleAreRefused(t *testing.T) {
	_, err := Order([]Step{&thing{id: "a", needs: []ID{"b"}}, &thing{id: "b", needs: []ID{"a"}}})
	if err == nil || !strings.Contains(err.Error(), "a → b → a") {
		t.Errorf("error %v, want the circle", err)
	}
}

func TestPlanTextNamesEveryChange(t *testing.T) {
	s := &thing{id: "pools", want: []string{"/pool/vm"}, bad: []Change{
		{Path: "pool/old/size", From: "3", To: "2", Action: Forbidden, Note: "loses copies"},
		{Path: "pool/vm/pg_num", From: "32", To: "128", Action: Update, Risk: Medium},
	}}
	blind := &thing{id: "guests", blind: errors.New("pve2: no answer")}
	p, err := MakePlan(t.Context(), []Step{s, blind}, options())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	const want = `Plan for test

pools (things)
  ! pool/old/size: 3 → 2  (loses copies)
  ~ pool/vm/pg_num: 32 → 128  [risk: medium]
  + pool/vm: there

guests (things)
  ? unknown: pve2: no answer

1 to create, 1 to update; cannot be applied: 1 forbidden, 1 steps unknown
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}
