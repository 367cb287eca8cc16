package pve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/internal/source"
)

func haQuiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestHAWatchCountsWhileNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		story := newHAStory(t).see(0, nil).lossToFence().see(10*time.Second, both(node3("unknown"), guest("started", "pve1"))).see(10*time.Second, running)
		begun := time.Now()
		read := func(context.Context) (HA, error) { // the story goes on in the bubble's time
			return story.seen[min(int(time.Since(begun)/(10*time.Second)), len(story.seen)-1)], nil
		}
		w := NewHAWatch(HAConfig{Read: read, Stats: source.NewStats("ha", nil), Log: haQuiet()})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		time.Sleep(5*time.Minute + time.Second)
		cancel()
		<-done
		v, err := w.HA(t.Context())
		if err != nil || v.Counts.Fences["pve3"] != 1 || v.Counts.Failovers["pve3"] != 1 || len(v.Counts.Durations) != 1 {
			t.Errorf("counts %+v, %v", v.Counts, err)
		}
	})
}

func TestHAWatchHangAndErrorKeepTheCountsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mode atomic.Value
		mode.Store("good")
		release := make(chan struct{})
		read := func(context.Context) (HA, error) {
			switch mode.Load() {
			case "hang":
				<-release
				return HA{}, errors.New("late")
			case "error":
				return HA{}, errors.New("pmxcfs is not there")
			}
			return newHAStory(t).h, nil
		}
		var log bytes.Buffer
		stats := source.NewStats("ha", nil)
		w := NewHAWatch(HAConfig{Read: read, Stats: stats, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if v, err := w.HA(t.Context()); err != nil || v.HA.Master != "pve1" {
			t.Fatalf("%+v, %v", v, err)
		}
		for _, m := range []string{"error", "hang"} {
			mode.Store(m)
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				begun := time.Now()
				v, err := w.HA(ctx)
				cancel()
				if err == nil || v.HA.Master != "" || len(v.Counts.Fences) != 3 || time.Since(begun) > time.Second {
					t.Errorf("%s: %+v, %v after %s", m, v, err, time.Since(begun))
				}
			}
		}
		if s := stats.Status(); s.Up || s.Requests != 5 || s.Stuck == 0 {
			t.Errorf("status %+v, want one stuck call of five", s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		time.Sleep(time.Minute)
		close(release)
		mode.Store("good")
		time.Sleep(time.Minute)
		cancel()
		<-done
		if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "can be read again") {
			t.Errorf("log has %d lines: %s", n, log.String())
		}
	})
}

func TestHAFromAPIMakesTwoRequests(t *testing.T) {
	var asked []string
	get := func(_ context.Context, path string, out any) error {
		asked = append(asked, path)
		if strings.HasSuffix(path, "current") {
			return decode([]byte(`{"data":[{"type":"quorum","quorate":1}]}`), out)
		}
		return decode([]byte(`{"data":`+haManagerReply+`}`), out)
	}
	h, err := HAFromAPI(get, func() time.Time { return haEpoch })(t.Context())
	if err != nil || len(h.Services) != 3 || !h.Quorate {
		t.Errorf("%+v, %v", h, err)
	}
	if d := cmp.Diff([]string{"/cluster/ha/status/current", "/cluster/ha/status/manager_status"}, asked); d != "" {
		t.Error(d)
	}
	refused := &Error{Kind: Forbidden}
	_, err = HAFromAPI(func(context.Context, string, any) error { return refused }, time.Now)(t.Context())
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

func TestHAFilesOfRemovedNodesAreNotRead(t *testing.T) {
	fsys := fstest.MapFS{
		".members":              {Data: []byte(`{"nodename":"a","cluster":{"quorate":1},"nodelist":{"a":{},"b":{},"../c":{}}}`)},
		"nodes/a/lrm_status":    {Data: []byte(`{"state":"active","timestamp":5}`)},
		"nodes/b/lrm_status":    {Data: []byte(`half a fi`)},
		"nodes/gone/lrm_status": {Data: []byte(`{"state":"active","timestamp":5}`)},
		"ha/manager_status":     {Data: []byte("\n")},
	}
	h, err := HAFromFiles(fsys, func() time.Time { return haEpoch })(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]HALRM{{Node: "a", State: "active", Updated: time.Unix(5, 0)}}, h.LRMs); d != "" {
		t.Error(d)
	}
	if _, err := HAFromFiles(fstest.MapFS{}, time.Now)(t.Context()); err == nil || !strings.Contains(err.Error(), "pmxcfs") {
		t.Errorf("without /etc/pve: %v", err)
	}
}

func TestHAUnmanagedGuestsAreListedOnRequest(t *testing.T) {
	w := NewHAWatch(HAConfig{
		Read: func(context.Context) (HA, error) { return newHAStory(t).h, nil }, Stats: source.NewStats("ha", nil), Log: haQuiet(),
		Guests: func(context.Context) ([]string, error) { return []string{"qemu/1", "lxc/2", "lxc/2"}, nil },
	})
	v, err := w.HA(t.Context())
	if d := cmp.Diff([]string{"lxc/2"}, v.HA.Unmanaged); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestHATrackerWith2000GuestsIsLinear(t *testing.T) {
	h := newHAStory(t).h
	for i := range 2000 {
		h.Services = append(h.Services, HAService{SID: fmt.Sprintf("vm:%d", 100+i), Known: true, State: "started", Node: "pve3", Running: true})
	}
	tracker := NewHATracker()
	tracker.Observe(h)
	h.At, h.Updated = h.At.Add(time.Minute), h.Updated.Add(time.Minute)
	h.Nodes[2].State = "unknown"
	tracker.Observe(h)
	if n := len(tracker.Counts().InProgress); n != 2001 {
		t.Errorf("%d in progress", n)
	}
}
