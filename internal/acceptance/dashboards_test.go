package acceptance

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/quorate/quorate/dashboards"
	"github.com/quorate/quorate/internal/lab"
)

// A boardState is a state of the lab, and what the dashboards must show in it: all panels that always
// have data, but those that are made of what nobody can tell, and those that have data at such times.
type boardState struct {
	name   string
	enter  []string // as on the command line of quorate-lab; "until CLAIM" waits
	begin  []func(t *testing.T, b *boards)
	gone   []string // patterns of names
	shows  []dashboards.When
	says   map[string]string // values of tiles by PAGE / TITLE, "" for none
	stays  bool              // is healed with the state after it, which is looked at as one with it
	choose bool              // then the variables are proven
	sound  bool              // nothing has happened yet: the others must be empty
	passes bool              // is over by itself, so that not all need be right in one look
}

// boards are the queries of all pages in a lab's Prometheus, and what they gave in each state.
type boards struct {
	*paging
	queries []shown
	states  []string
	ends    []time.Time       // of the states, before they are healed
	got     map[string][]int  // number of results by key of the query, a state each
	broken  map[string]string // what was wrong with a result, and in which state last
	begun   time.Time         // of the state
	going   bool              // the state before has stayed
	after   []func()          // ends what begin left running
}

func (s shown) key() string { return s.page + "\t" + s.panel + "\t" + s.expr }

func (s shown) String() string { return s.page + " / " + s.panel }

// A duty is what a state asks of a query.
type duty int

const (
	may duty = iota
	must
	mustNot
)

func (st boardState) duty(s shown) duty {
	isGone := slices.ContainsFunc(s.reads, func(name string) bool {
		return slices.ContainsFunc(st.gone, func(pattern string) bool {
			ok, _ := path.Match(pattern, name)
			return ok
		})
	})
	switch {
	case isGone:
		return may
	case s.shows == dashboards.Always, slices.Contains(st.shows, s.shows):
		return must
	case st.sound:
		return mustNot
	}
	return may
}

// prove brings the lab into the state and holds all queries against it.
func (st boardState) prove(t *testing.T, b *boards) {
	entered := time.Now()
	if !b.going {
		b.begun = entered
	}
	b.going = st.stays
	for _, fault := range st.enter {
		if text, is := strings.CutPrefix(fault, "until "); is {
			settle(t, b.exporters, claims(t, []string{text}), nil, pagedWithin)
			continue
		}
		words := strings.Fields(fault)
		if err := b.l.Inject(t.Context(), words[0], words[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	for _, begin := range st.begin {
		begin(t, b)
	}
	injected := time.Since(entered)
	now, wrong := b.look(t, st)
	for ; len(wrong) > 0 && time.Since(entered) < shownWithin; time.Sleep(time.Second) {
		next, still := b.look(t, st)
		if st.passes {
			for key, n := range now {
				next[key] = max(n, next[key])
			}
			still = slices.DeleteFunc(still, func(f flaw) bool {
				return !slices.ContainsFunc(wrong, func(before flaw) bool { return before.about == f.about })
			})
		}
		now, wrong = next, still
	}
	for _, f := range wrong {
		t.Error(f.text)
	}
	b.states, b.ends = append(b.states, st.name), append(b.ends, time.Now())
	for key, n := range now {
		b.got[key] = append(b.got[key], n)
	}
	t.Logf("%-20s injected in %4.1f s, all shown after %4.1f s", st.name, injected.Seconds(), time.Since(entered).Seconds())
	if st.stays {
		return
	}
	if err := b.l.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, end := range b.after {
		end()
	}
	b.after = nil
	t.Logf("%-20s over after %4.1f s", st.name, time.Since(entered).Seconds())
}

// A flaw is what is wrong with a query in one look.
type flaw struct{ about, text string }

// look runs all queries: how many results each has, and which have none and must, or the reverse, or
// say something else than they must.
func (b *boards) look(t *testing.T, st boardState) (now map[string]int, wrong []flaw) {
	t.Helper()
	now = map[string]int{}
	for _, s := range b.queries {
		have, err := b.show(t, s, everything, b.begun)
		if err != nil {
			b.broken[fmt.Sprintf("%s: %v", s, err)] = st.name
		}
		n := len(have)
		now[s.key()] = n
		if want, ok := st.says[s.String()]; ok && s.kind == dashboards.Tile && have.said() != want {
			wrong = append(wrong, flaw{"value of " + s.key(), fmt.Sprintf("%s: %s says %q, not %q: %s", st.name, s, have.said(), want, s.expr)})
		}
		switch d := st.duty(s); {
		case d == must && n == 0:
			wrong = append(wrong, flaw{s.key(), fmt.Sprintf("%s: %s is empty: %s", st.name, s, s.expr)})
		case d == mustNot && n > 0:
			wrong = append(wrong, flaw{s.key(), fmt.Sprintf("%s: %s has data, which is to come %s: %s", st.name, s, s.shows, s.expr)})
		}
	}
	return now, wrong
}

// String is a table: for each query the number of its results in each state.
func (b *boards) String() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\npage\tpanel\t%s\tquery\n", strings.Join(b.states, "\t"))
	for _, s := range b.queries {
		cells := []string{s.page, s.panel}
		for _, n := range b.got[s.key()] {
			cell := fmt.Sprint(n)
			if n == 0 {
				cell = "-"
			}
			cells = append(cells, cell)
		}
		fmt.Fprintf(w, "%s\t%.60s\n", strings.Join(cells, "\t"), strings.ReplaceAll(s.expr, "\n", " "))
	}
	w.Flush()
	return out.String()
}

// boardsVM writes faster than its migration may send, so that QEMU slows it down.
var boardsVM = lab.VMOptions{ID: 150, Name: "busy", MemoryMiB: 96, WorkingSetPages: 16384, DirtyPagesPerMs: 4}

// migrate moves the VM to another node, as slowly as needed to see it.
func migrate(t *testing.T, b *boards) {
	done := make(chan error, 1)
	go func() {
		r, err := b.l.Migrate(context.WithoutCancel(t.Context()), boardsVM.ID, 2, lab.MigrateOptions{Bandwidth: 24 << 20})
		if err == nil && r.Error != "" {
			err = fmt.Errorf("%s: %s", r.Status, r.Error)
		}
		done <- err
	}()
	b.after = append(b.after, func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// rebalance takes an OSD out, so that its data move, and slowly enough to see it.
func rebalance(t *testing.T, b *boards) {
	ceph := func(command string) {
		if _, err := b.l.CephCLI(t.Context(), strings.Fields(command)...); err != nil {
			t.Error(err)
		}
	}
	ceph("config set osd osd_recovery_sleep 0.2")
	ceph("osd out 0")
	b.after = append(b.after, func() {
		ceph("config rm osd osd_recovery_sleep")
		ceph("osd in 0")
		if err := b.l.WaitCephHealthy(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// judge is about all states together.
func (b *boards) judge(t *testing.T) {
	for what, state := range b.broken {
		t.Errorf("%s: %s", state, what)
	}
	for _, s := range b.queries {
		if s.shows == dashboards.WithQDevice || s.shows == dashboards.WithReplication {
			continue // not in this lab
		}
		if len(b.got[s.key()]) > 0 && slices.Max(b.got[s.key()]) == 0 {
			t.Errorf("%s is empty in all states: %s", s, s.expr)
		}
	}
}

// proveVariables demands values for each choice at the top of a page, and that the page has data
// with one of them chosen.
func (b *boards) proveVariables(t *testing.T) {
	for _, d := range dashboards.All() {
		v := view{}
		for name, value := range everything {
			v[name] = value
		}
		for _, choice := range d.Variables {
			m := labelValues.FindStringSubmatch(dashboards.Resolve(choice.Query))
			if m == nil {
				t.Fatalf("%s is not label_values(…, …)", choice.Query)
			}
			// Grafana offers all that were there in the time shown.
			have, err := b.ask(t, b.fill(t, "group by ("+m[2]+") (last_over_time("+m[1]+"[$__range]))", v), time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if len(have) == 0 {
				t.Errorf("%s: there is nothing to choose as %s: %s", d.Title, choice.Label, choice.Query)
				continue
			}
			v[choice.Name] = have[0].Metric[m[2]]
		}
		for _, s := range b.queries {
			if s.page != d.Title || s.shows != dashboards.Always {
				continue
			}
			if have, err := b.show(t, s, v, b.begun); err != nil || len(have) == 0 {
				t.Errorf("%s with %v: %d results, %v: %s", s, v, len(have), err, s.expr)
			}
		}
	}
}

func TestLabDashboards(t *testing.T) {
	if err := lab.VMRequirements(); err != nil && os.Getenv("QUORATE_LAB") != "required" {
		t.Skip(err)
	}
	t.Parallel()
	begun := time.Now()
	l := newLab(t, lab.Options{Nodes: 3, Ceph: true, PVE: true, PVEStill: true, HAPace: rulePace, Token: time.Second})
	if err := l.StartVM(t.Context(), 1, boardsVM); err != nil {
		t.Fatal(err)
	}
	b := &boards{paging: startPaging(t, l, rulePace), queries: allShown(t), got: map[string][]int{}, broken: map[string]string{}}
	defer func() { t.Log(b) }()
	walk := time.Now()
	for _, st := range boardStates {
		st.prove(t, b)
		if st.choose {
			b.proveVariables(t)
		}
	}
	b.judge(t)
	b.rulesEvaluated(t)
	if *recordWalk != "" {
		b.record(t, *recordWalk, walk)
	}
	t.Logf("%d queries in %d states, all in %s", len(b.queries), len(b.states), time.Since(begun).Round(time.Second))
}
