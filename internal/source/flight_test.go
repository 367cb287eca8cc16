package source

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFlightSharesOneCallAmongConcurrentCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stats := NewStats("daemon", nil)
		f := NewFlight[int](stats)
		var calls atomic.Int64
		slow := func() (int, error) {
			time.Sleep(time.Second)
			return int(calls.Add(1)), nil
		}
		for range 5 {
			go func() {
				if v, err := f.Do(t.Context(), slow); v != 1 || err != nil {
					t.Errorf("got %d, %v; want the one call's 1", v, err)
				}
			}()
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		if s := stats.Status(); s.Requests != 1 || !s.Up {
			t.Errorf("status %+v, want one request and up", s)
		}
	})
}

func TestFlightRefusesWhileACallIsStuckAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stats := NewStats("daemon", nil)
		f := NewFlight[string](stats)
		release := make(chan struct{})
		hang := func() (string, error) { <-release; return "late", nil }

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := f.Do(ctx, hang); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("first caller got %v, want its deadline", err)
		}
		time.Sleep(2 * time.Second)
		begun := time.Now()
		_, err := f.Do(t.Context(), func() (string, error) { t.Error("a second call was started"); return "", nil })
		var stuck *StuckError
		if !errors.As(err, &stuck) || stuck.For != 5*time.Second {
			t.Fatalf("second caller got %v, want stuck for 5s", err)
		}
		if time.Since(begun) != 0 {
			t.Errorf("the refusal took %s", time.Since(begun))
		}
		s := stats.Status()
		if s.Up || s.Stuck != 5*time.Second || s.Errors["timeout"] != 1 || s.Errors["stuck"] != 1 {
			t.Errorf("status while stuck: %+v", s)
		}

		close(release)
		synctest.Wait()
		if s := stats.Status(); s.Up || s.Stuck != 0 {
			t.Errorf("status after the late answer: %+v, want not stuck, and up only after the next request", s)
		}
		if v, err := f.Do(t.Context(), func() (string, error) { return "fresh", nil }); v != "fresh" || err != nil {
			t.Errorf("got %q, %v after recovery", v, err)
		}
		if s := stats.Status(); !s.Up || s.Errors["timeout"] != 1 {
			t.Errorf("status after recovery: %+v", s)
		}
	})
}

func TestFlightTurnsAPanicIntoAnError(t *testing.T) {
	stats := NewStats("daemon", nil)
	_, err := NewFlight[int](stats).Do(t.Context(), func() (int, error) { panic("broken row") })
	if err == nil || err.Error() != "panic: broken row" {
		t.Errorf("got %v", err)
	}
	if s := stats.Status(); s.Up || s.Errors["other"] != 1 {
		t.Errorf("status %+v", s)
	}
}

type reasoned struct{}

func (reasoned) Error() string  { return "mons have no quorum" }
func (reasoned) Reason() string { return "no_quorum" }

func TestReasonIsOneWord(t *testing.T) {
	for want, err := range map[string]error{
		"no_quorum": errors.Join(errors.New("ceph"), reasoned{}),
		"stuck":     &StuckError{},
		"timeout":   context.DeadlineExceeded,
		"other":     errors.New("anything"),
	} {
		if got := Reason(err); got != want {
			t.Errorf("Reason(%v) = %q, want %q", err, got, want)
		}
	}
}

func TestErrorCountersStartAtZero(t *testing.T) {
	s := NewStats("daemon", nil, "no_quorum").Status()
	for _, reason := range []string{"timeout", "stuck", "other", "no_quorum"} {
		if n, ok := s.Errors[reason]; !ok || n != 0 {
			t.Errorf("reason %s: %d, %t; want 0 from the start", reason, n, ok)
		}
	}
}
