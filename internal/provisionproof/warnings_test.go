package provisionproof

import (
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/session"
)

// taskType is the sixth part of UPID:NODE:PID:PSTART:START:TYPE:ID:USER:.
func taskType(upid string) string {
	if f := strings.Split(upid, ":"); len(f) > 6 {
		return f[5]
	}
	return ""
}

// TestATaskWithWarningsHasDoneItsWork lets one task of every type that an apply starts end with warnings,
// all in one run: it converges without a second look, and tells every one.
func TestATaskWithWarningsHasDoneItsWork(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			calm := newWorld(t, v)
			var types []string
			run, err := calm.Apply(t.Context(), func(e engine.Event) {
				if typ := taskType(e.UPID); typ != "" && !slices.Contains(types, typ) {
					types = append(types, typ)
				}
			})
			if err != nil || run.Result.Warnings != 0 || strings.Contains(run.Result.Summary(), "warning") {
				t.Fatalf("in peace: %v, %s", err, run.Result.Summary())
			}
			want, err := calm.end(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, typ := range []string{"clustercreate", "clusterjoin", "cephcreatemon", "cephcreatemgr", "cephcreateosd", "cephcreatepool", "qmcreate", "srvreload", "aptupdate"} {
				if !slices.Contains(types, typ) {
					t.Errorf("apply starts no task of type %s", typ)
				}
			}

			w := newWorld(t, v)
			for _, typ := range types {
				w.Fake.Inject(pvefake.Rule{TaskType: typ, TaskStatus: "WARNINGS: 1", Times: 1})
			}
			told := map[string]engine.Event{}
			run, err = w.Apply(t.Context(), func(e engine.Event) {
				switch e.Event {
				case engine.EventWarning:
					told[taskType(e.UPID)] = e
				case engine.EventRetry, engine.EventError:
					t.Errorf("%s: %s", e.Event, e.Text)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, typ := range types {
				if e := told[typ]; e.Node == "" || e.Step == "" || !strings.Contains(e.Text, `"WARNINGS: 1"`) || !strings.Contains(e.Text, e.UPID) || !slices.Contains(e.Log, "WARN: a warning") {
					t.Errorf("of %s is told %+v", typ, e)
				}
			}
			if run.Result.Warnings != len(types) || !strings.Contains(run.Result.Summary(), "with warnings") {
				t.Errorf("%d warnings of %d tasks: %s", run.Result.Warnings, len(types), run.Result.Summary())
			}
			converged(t, w, want)
		})
	}
}

func TestWarningsAreShownInEveryFormat(t *testing.T) {
	for format, says := range map[string][]string{
		session.FormatText:  {"cephcreatepool", "WARN: a warning", "1 with warnings"},
		session.FormatJSON:  {`"warnings": 1`},
		session.FormatJSONL: {`"event":"warning"`, "cephcreatepool"},
	} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t, pvefake.V92)
			w.Fake.Inject(pvefake.Rule{TaskType: "cephcreatepool", TaskStatus: "WARNINGS: 1", Times: 1})
			s, out, stderr := newSession(t, w, format)
			s.Verbose = false // a warning is not of the things that one has to ask for
			if code, err := s.Apply(t.Context(), nil); code != engine.ExitOK {
				t.Fatalf("exit %d, %v", code, err)
			}
			for _, want := range says {
				if !strings.Contains(out.String()+stderr.String(), want) {
					t.Errorf("nobody says %q:\n%s\n%s", want, out.String(), stderr.String())
				}
			}
		})
	}
}
