package pvetranscripts

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Result is the outcome of one request.
type Result struct {
	N           int
	Step        string
	Request     string // "POST /storage"
	Differences []string
	Reason      string // why it may differ, "" if it must not
}

// Run replays a file.
func Run(ctx context.Context, path string) ([]Result, error) {
	records, err := read(path)
	if err != nil {
		return nil, err
	}
	r := &replayer{plan: isPlan(records), prereq: isPrereq(records)}
	defer r.close()
	var all []Result
	for _, rec := range records {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		res, counts, err := r.one(ctx, rec)
		if err != nil {
			return all, fmt.Errorf("%s, request %d (%s): %w", path, rec.N, rec.Step, err)
		}
		if counts {
			all = append(all, res)
		}
	}
	return all, nil
}

// isPlan says whether the file is a whole run from fresh nodes.
func isPlan(records []record) bool {
	for _, r := range records {
		if r.isRequest() {
			return planStep.MatchString(r.Step)
		}
	}
	return false
}

var planStep = regexp.MustCompile(`^\d\d-`)

// isPrereq says whether it is a run whose Ceph was missing.
func isPrereq(records []record) bool {
	return slices.ContainsFunc(records, func(r record) bool {
		return planStep.MatchString(r.Step) && strings.HasPrefix(r.Reason, "pveceph configuration not initialized")
	})
}

type replayer struct {
	plan, prereq bool
	l            *lab

	clock  *lab // whose time runs from zero, which was zeroAt in the recording
	zero   time.Time
	zeroAt float64
}

func (r *replayer) close() {
	if r.l != nil {
		r.l.close()
	}
}

// one replays a line; counts is false for lines that are only samples.
func (r *replayer) one(ctx context.Context, rec record) (res Result, counts bool, err error) {
	want := stateOf(rec, r.plan, r.prereq)
	if !r.plan || r.l == nil || r.prereq {
		before := r.l
		if r.l, err = r.l.enter(want); err != nil {
			return res, false, err
		}
		if before != r.l && want == fresh {
			r.l.state = fresh
		}
	}
	if r.plan && !r.prereq {
		if err := r.planned(rec); err != nil {
			return res, false, err
		}
	}
	switch {
	case rec.isRequest():
		r.moveTo(rec.At)
		if err := r.l.prepare(rec); err != nil {
			return res, false, err
		}
		res, err = r.request(ctx, rec)
		return res, true, err
	case rec.Command != "" && r.plan:
		return r.command(rec), true, nil
	}
	return res, false, nil
}

// moveTo brings the virtual clock to the moment of a request, counted from the first in this lab.
func (r *replayer) moveTo(at float64) {
	if at == 0 {
		return
	}
	if r.clock != r.l {
		r.clock, r.zero, r.zeroAt = r.l, r.l.c.Now(), at
	}
	want := r.zero.Add(time.Duration((at - r.zeroAt) * float64(time.Second)))
	if gap := want.Sub(r.l.c.Now()); gap >= time.Second && gap < time.Hour {
		r.l.c.Advance(gap.Truncate(time.Second))
	}
}

// planned does what was done by hand in the course of a plan.
func (r *replayer) planned(rec record) error {
	switch {
	case strings.HasPrefix(rec.Step, "46-") && !r.l.c.HasCeph():
		if err := r.l.c.EnableCeph(); err != nil {
			return err
		}
	case rec.Step == "79-node-lost-poll":
		if err := r.l.shift(dead3); err != nil {
			return err
		}
		r.l.c.Advance(rec.lastSample())
	case rec.Step == "no-quorum-cli":
		return r.l.shift(alone1)
	case rec.Step == "79-nodes-back-poll":
		return r.l.shift(healthy)
	case strings.HasPrefix(rec.Step, "78-error-vm"):
		r.l.c.FailStart("vm:103", true)
	}
	return nil
}

func (r *replayer) request(ctx context.Context, rec record) (Result, error) {
	res := Result{N: rec.N, Step: rec.Step, Request: rec.Method + " " + rec.Path}
	via, err := strconv.Atoi(strings.TrimPrefix(rec.Via, "pve"))
	if err != nil {
		return res, fmt.Errorf("via %q is no node", rec.Via)
	}
	h, err := r.l.header(rec, via)
	if rec.Auth == "" {
		h, err = r.l.badHeader(rec)
	}
	if err != nil {
		return res, err
	}
	raw := ""
	if rec.RawBody != nil {
		raw = *rec.RawBody
	}
	text, native := rec.params(r.l)
	params := native
	if rec.Encoding != "json" && text != nil {
		form := url.Values{}
		for k, v := range text {
			form.Set(k, v)
		}
		params = form
	}
	a, err := r.l.send(ctx, via, h, rec.Method, rec.Path, rec.Encoding, params, raw)
	if err != nil {
		return res, err
	}
	res.Differences = r.compare(ctx, rec, a)
	if len(res.Differences) > 0 {
		res.Reason = deliberate(rec, r.plan)
	}
	return res, nil
}

func (r *replayer) compare(ctx context.Context, rec record, a answer) []string {
	var out []string
	if a.status != rec.Status {
		return []string{fmt.Sprintf("status %d %q, real %d %q", a.status, a.reason, rec.Status, rec.Reason)}
	}
	if got, real := errorKeys(a.body), errorKeys(rec.Body); !slices.Equal(got, real) {
		out = append(out, fmt.Sprintf("errors of %v, real %v", got, real))
	}
	if got, real := normal(a.reason), normal(rec.Reason); a.status != 0 && got != real {
		out = append(out, fmt.Sprintf("reason %q, real %q", got, real))
	}
	if got, real := words(a.body), words(rec.Body); rec.Status >= 400 && !slices.Equal(got, real) {
		out = append(out, fmt.Sprintf("text %q, real %q", got, real))
	}
	upid := a.upid()
	if (upid != "") != isTask(rec) {
		return append(out, fmt.Sprintf("task %q, real %q", upid, rec.UPID))
	}
	if upid == "" || rec.UPID != "" && rec.Exit == nil && r.plan {
		return out // a join, whose end is noted elsewhere
	}
	exit, err := r.l.finish(ctx, upid)
	if err != nil {
		exit = ""
	}
	real := ""
	if rec.Exit != nil {
		real = *rec.Exit
	}
	if normal(exit) != normal(real) {
		out = append(out, fmt.Sprintf("task ended with %q, real %q", exit, real))
	}
	return out
}

// isTask says whether the real answer named one.
func isTask(rec record) bool {
	return answer{body: rec.Body}.upid() != ""
}

// words are the message and the errors of a refusal.
func words(body any) []string {
	o, ok := body.(map[string]any)
	if !ok {
		return nil
	}
	out := []string{normal(fmt.Sprint(o["message"]))}
	errs, _ := o["errors"].(map[string]any)
	for _, k := range sorted(errs) {
		out = append(out, k+": "+normal(fmt.Sprint(errs[k])))
	}
	return out
}

var fingerprintRE = regexp.MustCompile(`([0-9A-F]{2}:){31}[0-9A-F]{2}`)

// normal leaves out what differs from one cluster to the next.
func normal(s string) string {
	return fingerprintRE.ReplaceAllString(strings.TrimSpace(s), "FINGERPRINT")
}

// command replays a command that was run on a node by hand.
func (r *replayer) command(rec record) Result {
	res := Result{N: rec.N, Step: rec.Step, Request: "`" + rec.Command + "`"}
	via, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSuffix(rec.Via, " CLI"), "pve"))
	if err != nil {
		res.Differences = []string{"via " + rec.Via}
		return res
	}
	exit, _, stderr := r.l.c.RunCommand(via, rec.Command, "")
	if exit != rec.RC {
		res.Differences = []string{fmt.Sprintf("exit status %d %q, real %d", exit, strings.TrimSpace(stderr), rec.RC)}
		res.Reason = deliberate(rec, r.plan)
	}
	return res
}

// Print writes a line for each request that differs, with the reason if it may, and the sum. It returns
// how many differ although they must not.
func Print(w io.Writer, results []Result) (wrong int, err error) {
	differ := 0
	for _, r := range results {
		if len(r.Differences) == 0 {
			continue
		}
		differ++
		reason := "NOT deliberate"
		if r.Reason != "" {
			reason = "deliberate: " + r.Reason
		} else {
			wrong++
		}
		if _, err := fmt.Fprintf(w, "%d %s: %s: %s (%s)\n", r.N, r.Step, r.Request, strings.Join(r.Differences, "; "), reason); err != nil {
			return wrong, err
		}
	}
	_, err = fmt.Fprintf(w, "requests=%d equal=%d differ=%d\n", len(results), len(results)-differ, differ)
	return wrong, err
}
