package steps

import (
	"os"
	"strings"
	"testing"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/spec"
)

func TestDocumentationListsEveryStepWithItsNeeds(t *testing.T) {
	b, err := os.ReadFile("../../docs/provision.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "### The steps\n")
	all, err := engine.Order(All(&Env{Spec: &spec.Cluster{}}))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if !strings.Contains(table, "`"+string(s.ID())+"`") {
			t.Errorf("docs/provision.md does not list the step %s", s.ID())
		}
	}
	for _, line := range strings.Split(table, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.HasPrefix(line, "| `") {
			continue
		}
		name := strings.Fields(strings.ReplaceAll(cells[1], "`", ""))
		for _, s := range all {
			if len(name) != 1 || string(s.ID()) != name[0] {
				continue
			}
			for _, n := range s.Needs() {
				if !strings.Contains(cells[2], "`"+string(n)+"`") {
					t.Errorf("docs/provision.md does not say that %s needs %s", s.ID(), n)
				}
			}
		}
	}
}

func TestStepsThatHaveNothingToDoAskNobody(t *testing.T) {
	// A Set that is nil would panic.
	e := &Env{Spec: &spec.Cluster{}}
	for _, s := range All(e) {
		switch s.ID() {
		case idCreate, idJoin: // these have always something to look at
			continue
		}
		if _, err := s.Observe(t.Context()); err != nil {
			t.Errorf("%s: %v", s.ID(), err)
		}
	}
}
