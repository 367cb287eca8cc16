package provisionproof

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/steps"
	"github.com/quorate/quorate/provision/transport"
)

// Faults of a cluster that has been built.

// fromJSON puts a reply into what a caller wants of it.
func fromJSON(text string, out any) error { return json.Unmarshal([]byte(text), out) }

func TestALockedGuestIsToldAndChangedOnceItIsFree(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	apply(t, w)
	w.Spec.Spec.Guests[0].Memory = 4096
	w.Fake.SetLock(100, "migrate")
	run, err := w.Apply(t.Context(), nil)
	var step *engine.StepError
	if !errors.As(err, &step) || step.Node != "pve1" || step.Step != "guests" || !strings.Contains(err.Error(), "VM is locked (migrate)") {
		t.Errorf("error %v, want one that names pve1, the step and the lock", err)
	}
	if code := engine.ExitCode(err, run.Result.Changed > 0, transport.Unreachable); code != engine.ExitError || run.Result.Changed != 0 {
		t.Errorf("exit code %d after %d changes, want %d after none", code, run.Result.Changed, engine.ExitError)
	}
	w.Fake.SetLock(100, "")
	if run := apply(t, w); run.Result.Changed != 1 {
		t.Errorf("%d changes once it is free, want 1", run.Result.Changed)
	}
	if second := apply(t, w); second.Writes > 0 {
		t.Errorf("afterwards %d writes", second.Writes)
	}
}

func TestALostTokenSecretIsToldAndMadeAnewOnDemandOnly(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	apply(t, w)
	out := w.Spec.Spec.Monitoring.Token.SecretOut
	old, err := w.Files.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Files.Remove(out); err != nil {
		t.Fatal(err)
	}
	p, err := w.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	told := ""
	for _, c := range p.Changes(engine.Noop) {
		if strings.HasPrefix(c.Path, "token/") {
			told = c.Note
		}
	}
	if !strings.Contains(told, out) || !strings.Contains(told, "--rotate-token") {
		t.Errorf("the plan says %q of the token", told)
	}
	w.Change = func(e *steps.Env) { e.RotateToken = true }
	apply(t, w)
	w.Change = nil
	if second := apply(t, w); second.Writes > 0 {
		t.Errorf("afterwards %d writes", second.Writes)
	}
	if _, err := w.end(t.Context()); err != nil { // the new secret works on all nodes
		t.Error(err)
	}
	if now, err := w.Files.Read(out); err != nil || string(now) == string(old) {
		t.Errorf("the secret is the old one, %v", err)
	}
}

func TestAReplyThatIsTooSlowIsLookedForNotSentAgain(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	w.Timeout = time.Second
	w.Fake.Inject(pvefake.Rule{Method: "POST", Path: "/cluster/backup", Slow: 3 * time.Second, Times: 1})
	retried := ""
	_, err := w.Apply(t.Context(), func(e engine.Event) {
		if e.Event == engine.EventRetry {
			retried += e.Text
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(retried, "backup") {
		t.Errorf("it was looked again because of %q", retried)
	}
	posts := 0
	for _, c := range w.Fake.Calls() {
		if c.Method == "POST" && c.Path == "/cluster/backup" {
			posts++
		}
	}
	if posts != 1 {
		t.Errorf("the job was sent %d times", posts)
	}
}

// TestAHalfCutNetworkIsNotTakenForHealthy: one node sees itself alone, the others see it as well.
func TestAHalfCutNetworkIsNotTakenForHealthy(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	apply(t, w)
	w.Fake.HalfOpen(3, 3)
	w.Fake.Advance(30 * time.Second)
	w.Spec.Spec.Guests[0].Memory = 4096
	_, err := w.Apply(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "pve3") {
		t.Errorf("error %v, want one that names pve3", err)
	}
	for _, c := range report(t, w).Checks {
		if bad := c.Name == "same-view"; bad && (c.Result != "failed" || !strings.Contains(c.Found, "pve3 does not see pve1")) || !bad && c.Result != "ok" && c.Name != "ha-services" {
			t.Errorf("verify: %s is %s: %s", c.Name, c.Result, c.Found)
		}
	}
	w.Fake.HalfOpen(3)
	w.Fake.Advance(60 * time.Second)
	apply(t, w)
	if second := apply(t, w); second.Writes > 0 {
		t.Errorf("afterwards %d writes", second.Writes)
	}
}
