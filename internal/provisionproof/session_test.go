package provisionproof

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/transport"
)

// newSession is a start of the program in w's world.
func newSession(t *testing.T, w *World, format string) (s *session.Session, out, err *bytes.Buffer) {
	t.Helper()
	fleet, ferr := w.Fleet()
	if ferr != nil {
		t.Fatal(ferr)
	}
	t.Cleanup(func() { _ = fleet.Close() })
	redact := &engine.Redactor{}
	redact.Add(RootPassword) // as session.Connect does, which resolves it
	out, err = &bytes.Buffer{}, &bytes.Buffer{}
	return &session.Session{
		Spec: w.Spec, Nodes: fleet, Clock: w.Clock(), Resolver: w.Resolver(), Files: w.Files, Program: w.Program, Redact: redact, StateDir: t.TempDir(),
		Out: out, Err: err, Format: format, Verbose: true, Options: engine.Options{Parallel: 2},
	}, out, err
}

// unwell builds the cluster and raises a health check of its Ceph.
func unwell(t *testing.T, w *World, s *session.Session) {
	t.Helper()
	if code, err := s.Apply(t.Context(), nil); code != 0 {
		t.Fatal(code, err)
	}
	if err := w.Fake.SetCephHealth("HEALTH_WARN", map[string]string{"OSD_FLAGS": "noout"}); err != nil {
		t.Fatal(err)
	}
}

func TestARunEndsWithTheDocumentedExitCode(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, w *World, s *session.Session) (int, error)
		want int
		says string
	}{
		{"plan with changes", func(t *testing.T, _ *World, s *session.Session) (int, error) { return s.Plan(t.Context(), nil, true) }, engine.ExitChanges, ""},
		{"plan with changes, nobody asked", func(t *testing.T, _ *World, s *session.Session) (int, error) { return s.Plan(t.Context(), nil, false) }, engine.ExitOK, ""},
		{"a node is off", func(t *testing.T, w *World, s *session.Session) (int, error) {
			if err := w.Fake.SetNodeDown(2, true); err != nil {
				t.Fatal(err)
			}
			return s.Plan(t.Context(), nil, false)
		}, engine.ExitUnreachable, "pve2"},
		{"a wrong password", func(t *testing.T, w *World, s *session.Session) (int, error) {
			w.Fake.Inject(pvefake.Rule{Method: "POST", Path: "/access/ticket", Status: 401, Reason: "authentication failure"})
			return s.Plan(t.Context(), nil, false)
		}, engine.ExitUnreachable, "authentication failure"},
		{"a preflight check fails", func(t *testing.T, _ *World, s *session.Session) (int, error) {
			s.Preflight = func(context.Context, transport.Set) error {
				return &session.PreflightError{Names: []string{"DisksEmpty"}}
			}
			return s.Apply(t.Context(), nil)
		}, engine.ExitPreflight, "DisksEmpty"},
		{"not confirmed", func(t *testing.T, _ *World, s *session.Session) (int, error) {
			s.Confirm = func(string) (bool, error) { return false, nil }
			return s.Apply(t.Context(), nil)
		}, engine.ExitError, "nothing was changed"},
		{"a disk that is in use", func(t *testing.T, w *World, s *session.Session) (int, error) {
			if err := w.Fake.SetDisk(1, pvefake.Disk{Dev: "/dev/sdb", Used: "ext4"}); err != nil {
				t.Fatal(err)
			}
			return s.Apply(t.Context(), nil)
		}, engine.ExitError, "--allow-wipe"},
		{"an unknown step", func(t *testing.T, _ *World, s *session.Session) (int, error) {
			s.Options.Target = []engine.ID{"pools"}
			return s.Plan(t.Context(), nil, false)
		}, engine.ExitUsage, "ceph-pools"},
		{"interrupted before it begins", func(t *testing.T, _ *World, s *session.Session) (int, error) {
			stop := make(chan struct{})
			close(stop)
			s.Options.Stop = stop
			return s.Apply(t.Context(), nil)
		}, engine.ExitInterrupted, "apply again"},
		{"half way", func(t *testing.T, w *World, s *session.Session) (int, error) {
			w.Fake.Inject(pvefake.Rule{TaskType: "clusterjoin", TaskStatus: "Check if node may join a cluster failed!", Times: 1})
			return s.Apply(t.Context(), nil)
		}, engine.ExitPartial, "record of the run"},
		{"applied, and Ceph is not well", func(t *testing.T, w *World, s *session.Session) (int, error) {
			unwell(t, w, s)
			return s.Verify(t.Context(), nil)
		}, engine.ExitVerify, ""},
		{"applied without a change, and Ceph is not well", func(t *testing.T, w *World, s *session.Session) (int, error) {
			unwell(t, w, s)
			return s.Apply(t.Context(), nil)
		}, engine.ExitVerify, "not as it should be"},
		{"the same, accepted", func(t *testing.T, w *World, s *session.Session) (int, error) {
			unwell(t, w, s)
			return s.Verify(t.Context(), []string{"OSD_FLAGS"})
		}, engine.ExitOK, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, pvefake.V92)
			s, out, _ := newSession(t, w, session.FormatText)
			code, err := tt.do(t, w, s)
			if code != tt.want || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("exit code %d with %v, want %d and %q\n%s", code, err, tt.want, tt.says, out.String())
			}
		})
	}
}

func TestAppliesAPlanThatStillHoldsAndNoOther(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	s, _, _ := newSession(t, w, session.FormatText)
	var file bytes.Buffer
	if code, err := s.Plan(t.Context(), &file, false); code != 0 {
		t.Fatal(code, err)
	}
	text := file.String()
	read := func() *engine.Plan {
		p, err := engine.ReadPlan(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	s.Confirm = func(string) (bool, error) {
		return false, errors.New("a plan that was made before is not asked about again")
	}
	if code, err := s.Apply(t.Context(), read()); code != 0 {
		t.Fatal(code, err)
	}
	if code, err := s.Apply(t.Context(), read()); code != engine.ExitError || !errors.Is(err, engine.ErrChanged) {
		t.Errorf("the same plan again: exit code %d, %v; want %v", code, err, engine.ErrChanged)
	}
}

func TestOutputIsOfTheFormatAskedFor(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	s, out, _ := newSession(t, w, session.FormatJSON)
	if code, err := s.Plan(t.Context(), nil, false); code != 0 {
		t.Fatal(code, err)
	}
	if !json.Valid(out.Bytes()) {
		t.Errorf("plan -o json: %s", out.String())
	}
	s, out, _ = newSession(t, w, session.FormatJSONL)
	if code, err := s.Apply(t.Context(), nil); code != 0 {
		t.Fatal(code, err)
	}
	kinds := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var e struct {
			Event string `json:"event"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		kinds[e.Event]++
	}
	for _, k := range []string{engine.EventStart, engine.EventChange, engine.EventTask, engine.EventProgress, engine.EventDone, engine.EventEnd, "verify"} {
		if kinds[k] == 0 {
			t.Errorf("no event of kind %s in %v", k, kinds)
		}
	}
	s, out, _ = newSession(t, w, session.FormatJUnit)
	if code, err := s.Verify(t.Context(), nil); code != 0 {
		t.Fatal(code, err)
	}
	var suite struct {
		Tests int `xml:"tests,attr"`
		Cases []struct {
			Name string `xml:"name,attr"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(out.Bytes(), &suite); err != nil || suite.Tests < 11 || len(suite.Cases) != suite.Tests {
		t.Errorf("JUnit: %d tests, %d cases, %v\n%s", suite.Tests, len(suite.Cases), err, out.String())
	}
}
