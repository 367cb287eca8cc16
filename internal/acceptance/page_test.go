package acceptance

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/lab/labtest"
)

// rulePace is how many times faster than shipped the rules run in these tests, and so does what has
// minutes of its own: the HA manager and, down to a second, corosync's token. The rest of the daemons
// runs at its own speed, so the higher the pace the longer the seconds of a failing node look to the rules.
const rulePace = 10

// A pageFault says who is paged for a fault: exactly these, and nobody twice.
type pageFault struct {
	name   string
	faults []string // as on the command line of quorate-lab, in order; "paged NAME" waits in between
	// pages are the alerts that arrive, as NAME{LABEL="VALUE"} with as many labels as matter; of NAME|NAME
	// one or the other, or both.
	pages  []string
	later  []string      // arrive as well if the fault stays, for which only the soak test waits
	after  []string      // arrive when the fault is healed
	stays  string        // name of one that is told for long after the healing
	may    string        // name of one that may come, or several: NAME|NAME
	most   int           // notifications; 0: as many as pages
	within time.Duration // until the last of pages has arrived; 0: 90 s
}

const (
	pagedWithin    = 90 * time.Second
	resolvedWithin = 150 * time.Second
	// No more may come in this time after the last expected page. The soak test waits besides until no
	// alert is pending that could still come.
	noMoreFor = 6 * time.Second
)

// starved is the alert of a machine that is too busy: so it may be, with other tests beside, and it is
// told for 10 minutes.
const starved = "CorosyncStarved"

// regrouping are the alerts of a Ceph that lost a node for longer than their rules wait: monitors elect
// a leader, PGs peer and report to the manager, each in some seconds of their own, which at the tests'
// pace look like a minute.
const regrouping = "CephMonitorsUnreachable|CephPGsInactive"

// An arrival is the first time that an alert was paged.
type arrival struct {
	lab.Paged
	at     time.Time
	active time.Time // when its expression became true for Prometheus
}

// prove makes the fault and holds what arrives against what shall.
func (f pageFault) prove(t *testing.T, p *paging, table *pageTable) {
	before := len(p.notifications(t))
	t.Cleanup(func() { // also when something was wrong: the next fault needs a sound lab
		if err := p.l.Heal(context.Background()); err != nil {
			t.Error(err)
		}
	})
	seen := &arrivals{p: p, from: before, active: map[string]time.Time{}}
	begun := time.Now()
	f.inject(t, p, seen)
	f.awaitPages(t, p, seen)

	healing := time.Now()
	if err := p.l.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	healed := time.Since(healing)
	seen.await(t, f.after...)
	p.stays = append(p.stays, f.stays)
	p.waitCalm(t, resolvedWithin)
	seen.look(t)
	expected := slices.DeleteFunc(slices.Clone(seen.all), func(a arrival) bool { return slices.Contains(strings.Split(f.may, "|"), a.Name()) })
	for _, wrong := range differences(slices.Concat(f.wanted(), f.after), expected) {
		t.Error(wrong)
	}
	if most := cmp.Or(f.most, len(f.wanted())+len(f.after)); seen.notifications > most {
		t.Errorf("%d notifications, at most %d were to be sent", seen.notifications, most)
	}
	t.Log(table.add(f.name, begun, p.pace, seen, healed, time.Since(healing)))
	p.rulesEvaluated(t)
}

func (f pageFault) inject(t *testing.T, p *paging, seen *arrivals) {
	t.Helper()
	for _, fault := range f.faults {
		if name, is := strings.CutPrefix(fault, "paged "); is {
			seen.await(t, name)
			continue
		}
		words := strings.Fields(fault)
		if err := p.l.Inject(t.Context(), words[0], words[1:]...); err != nil {
			t.Fatal(err)
		}
		seen.look(t)
	}
}

// awaitPages returns when all that shall come has come and nothing else can.
func (f pageFault) awaitPages(t *testing.T, p *paging, seen *arrivals) {
	t.Helper()
	begun, limit := time.Now(), f.within
	if limit == 0 {
		limit = pagedWithin
	}
	if soaking() && len(f.later) > 0 {
		limit += longestFor
	}
	var complete time.Time
	for ; ; time.Sleep(pollEvery) {
		rules := seen.look(t)
		if !f.allArrived(seen.all) {
			if time.Since(begun) > limit {
				t.Errorf("after %s not all has been paged: %v; true are %v", limit, differences(f.wanted(), seen.all), rules)
				return
			}
			continue
		}
		if complete.IsZero() {
			complete = time.Now()
		}
		if !soaking() {
			if time.Since(complete) > noMoreFor {
				return
			}
			continue
		}
		pending := slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return r.State == "firing" || !p.comes(r) })
		if len(pending) == 0 && time.Since(complete) > noMoreFor {
			return
		}
		if time.Since(complete) > longestFor+noMoreFor {
			t.Errorf("still pending %s after all was paged: %v", longestFor+noMoreFor, pending)
			return
		}
	}
}

// wanted are the pages that shall come before the fault is healed.
func (f pageFault) wanted() []string {
	if soaking() {
		return slices.Concat(f.pages, f.later)
	}
	return f.pages
}

func (f pageFault) allArrived(all []arrival) bool {
	for _, want := range f.wanted() {
		if !slices.ContainsFunc(all, func(a arrival) bool { return matches(want, a.Labels) }) {
			return false
		}
	}
	return true
}

// differences are the pages that did not come and those that nobody expected.
func differences(wanted []string, all []arrival) []string {
	var wrong []string
	rest := slices.Clone(all)
	for _, want := range wanted {
		i := slices.IndexFunc(rest, func(a arrival) bool { return matches(want, a.Labels) })
		if i < 0 {
			wrong = append(wrong, "was not paged: "+want)
			continue
		}
		if strings.Contains(want, "|") {
			rest = slices.DeleteFunc(rest, func(a arrival) bool { return matches(want, a.Labels) })
			continue
		}
		rest = slices.Delete(rest, i, i+1)
	}
	for _, a := range rest {
		if a.Name() == starved {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("was paged too: %s %s", a.Severity(), describe(a.Labels)))
	}
	return wrong
}

// matches says whether labels are those of an alert written as NAME{LABEL="VALUE"} or NAME|NAME{…}.
func matches(want string, labels map[string]string) bool {
	name, rest, _ := strings.Cut(want, "{")
	if !slices.Contains(strings.Split(name, "|"), labels["alertname"]) {
		return false
	}
	for _, l := range labelForm.FindAllStringSubmatch(rest, -1) {
		if labels[l[1]] != l[2] {
			return false
		}
	}
	return true
}

// arrivals collects what is paged from a notification on.
type arrivals struct {
	p             *paging
	from          int
	all           []arrival
	notifications int                  // of something that fires
	active        map[string]time.Time // by the alert's labels
}

// look reads what has come, and returns what Prometheus has now.
func (s *arrivals) look(t *testing.T) []rule {
	t.Helper()
	rules := s.p.rules(t)
	for _, r := range rules {
		s.active[labelsKey(r.Labels)] = r.ActiveAt
	}
	s.all, s.notifications = nil, 0
	for _, n := range s.p.notifications(t)[s.from:] {
		if slices.ContainsFunc(n.Alerts, func(a lab.Paged) bool { return a.Firing() && a.Name() != starved }) {
			s.notifications++
		}
		for _, a := range n.Alerts {
			if a.Firing() && !slices.ContainsFunc(s.all, func(b arrival) bool { return b.Fingerprint == a.Fingerprint }) {
				s.all = append(s.all, arrival{Paged: a, at: n.Time, active: s.active[labelsKey(a.Labels)]})
			}
		}
	}
	return rules
}

// await returns when alerts have been paged.
func (s *arrivals) await(t *testing.T, alerts ...string) {
	t.Helper()
	for _, want := range alerts {
		eventually(t, pagedWithin, func() error {
			s.look(t)
			if !slices.ContainsFunc(s.all, func(a arrival) bool { return matches(want, a.Labels) }) {
				return fmt.Errorf("was not paged: %s", want)
			}
			return nil
		})
	}
}

func soaking() bool { return os.Getenv("QUORATE_SOAK") != "" }

func labelsKey(labels map[string]string) string { return fmt.Sprint(labels) }

// pageTable is printed at the end: what came for which fault, and when.
type pageTable struct{ rows []string }

// add writes the rows of a fault. What a page would have taken with the rules as shipped is the time
// until the exporters told of the fault as it was, and from then on the rules' time unscaled.
func (table *pageTable) add(fault string, begun time.Time, pace lab.Pace, seen *arrivals, healed, resolved time.Duration) (rows string) {
	from := len(table.rows)
	for i, a := range seen.all {
		count, end := "", ""
		if i == 0 {
			count, end = fmt.Sprint(seen.notifications), fmt.Sprintf("healed in %.0f s, calm after %.0f s", healed.Seconds(), resolved.Seconds())
		}
		took, shipped := a.at.Sub(begun), "?"
		if !a.active.IsZero() {
			shipped = fmt.Sprintf("%.0f s", (a.active.Sub(begun) + time.Duration(float64(a.at.Sub(a.active))*float64(pace))).Seconds())
		}
		table.rows = append(table.rows, fmt.Sprintf("%s\t%s\t%s\t%.1f s\t%s\t%s\t%s", fault, a.Severity(), describe(a.Labels), took.Seconds(), shipped, count, end))
		fault = ""
	}
	if len(seen.all) == 0 {
		table.rows = append(table.rows, fmt.Sprintf("%s\t\tnobody\t\t\t0\thealed in %.0f s", fault, healed.Seconds()))
	}
	return strings.Join(table.rows[from:], "\n")
}

func (table *pageTable) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nfault\tseverity\tpaged\tafter\tas shipped\tnotifications\tend")
	for _, row := range table.rows {
		fmt.Fprintln(w, row)
	}
	w.Flush()
	return b.String()
}

// provePages runs faults in a lab, with these virtual machines on its first node, and prints the table.
func provePages(t *testing.T, o lab.Options, vms []lab.VMOptions, faults []pageFault) {
	t.Helper()
	o.PVEStill, o.HAPace, o.Token = true, rulePace, time.Second
	l := newLab(t, o)
	for _, vm := range vms {
		if err := l.StartVM(t.Context(), 1, vm); err != nil {
			t.Fatal(err)
		}
	}
	p := startPaging(t, l, rulePace)
	table := &pageTable{}
	defer func() { t.Log(table) }()
	p.waitCalm(t, resolvedWithin)
	for _, f := range faults {
		if !t.Run(f.name, func(t *testing.T) { f.prove(t, p, table) }) {
			p.waitCalm(t, resolvedWithin) // else all that follow fail too
		}
	}
	p.waitResolved(t, resolvedWithin)
}

func TestLabFaultsPage(t *testing.T) {
	t.Parallel()
	provePages(t, lab.Options{Nodes: 3, Ceph: true}, nil, commonPages)
}

func TestLabCorosyncPagesSoak(t *testing.T) {
	labtest.Soak(t)
	t.Parallel()
	provePages(t, lab.Options{Nodes: 3}, nil, corosyncPages)
}

func TestLabCephPagesSoak(t *testing.T) {
	labtest.Soak(t)
	t.Parallel()
	provePages(t, lab.Options{Nodes: 3, Ceph: true}, nil, cephPages)
}

func TestLabQDevicePagesSoak(t *testing.T) {
	labtest.Soak(t)
	t.Parallel()
	provePages(t, lab.Options{Nodes: 2, QDevice: true}, nil, qdevicePages)
}

func TestLabProxmoxPagesSoak(t *testing.T) {
	labtest.Soak(t)
	needVMs(t)
	vms := []lab.VMOptions{pagedVM, brokenVM}
	provePages(t, lab.Options{Nodes: 3, Ceph: true, PVE: true}, vms, slices.Concat(proxmoxPages, vmPages, backupPages, pausedPages))
}
