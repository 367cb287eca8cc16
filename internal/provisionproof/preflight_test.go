package provisionproof

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/transport"
)

func TestTheHomelabPassesPreflightBeforeAndAfter(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			w := newWorld(t, v)
			s, _, _ := newSession(t, w, session.FormatText)
			var found bytes.Buffer
			// Its Ceph release is out of support from some day on: that is not what this test is about.
			s.Preflight = session.Checks(w.Spec, w.Here(), &found, w.Fake.Now, 4, []string{"CephVersion"})
			for _, when := range []string{"before", "after"} {
				found.Reset()
				if code, err := s.Apply(t.Context(), nil); code != engine.ExitOK {
					t.Fatalf("%s: exit code %d, %v\n%s", when, code, err, found.String())
				}
				if strings.Contains(found.String(), "this run may only read") {
					t.Errorf("%s: a check tried to write:\n%s", when, found.String())
				}
				t.Logf("%s:\n%s", when, found.String())
			}
		})
	}
}

// allReads notes what of package facts is not known as a read.
type allReads struct {
	transport.Set
	refused *[]string
}

func (a allReads) Shell(node string) transport.Shell { return noting{a.Set.Shell(node), a.refused} }

type noting struct {
	transport.Shell
	refused *[]string
}

func (n noting) Run(ctx context.Context, c transport.Command) (transport.Output, error) {
	if !c.Reads() {
		*n.refused = append(*n.refused, c.String())
	}
	return n.Shell.Run(ctx, c)
}

func TestEveryCommandOfPreflightIsKnownAsARead(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	fleet, err := w.Fleet()
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	var refused []string
	var found bytes.Buffer
	if err := session.Checks(w.Spec, w.Here(), &found, w.Fake.Now, 4, []string{"all"})(t.Context(), allReads{fleet, &refused}); err != nil {
		t.Fatal(err)
	}
	if len(refused) > 0 {
		t.Errorf("not known as reads: %q", refused)
	}
	if unknown := w.Fake.SSHErrors(); len(unknown) > 0 {
		t.Errorf("the fake does not know %q", unknown)
	}
}
