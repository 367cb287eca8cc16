package corosync

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// fake is a healthy three-node daemon without links that can be told to fail or hang.
type fake struct {
	mu     sync.Mutex
	fails  []error       // of the next readings, in turn; nil means works
	hang   chan struct{} // readings wait until it is closed
	opened int
	open   int          // connections that have not been given back
	opens  func() error // whether opening fails
}

func (f *fake) openDaemon() (daemon, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	if f.opens != nil {
		if err := f.opens(); err != nil {
			return nil, err
		}
	}
	f.open++
	return f, nil
}

func (f *fake) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
}

func (f *fake) quorum() (quorumView, error) {
	f.mu.Lock()
	var err error
	if len(f.fails) > 0 {
		err, f.fails = f.fails[0], f.fails[1:]
	}
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return quorumView{quorate: true, ring: Some(Ring{1, 9}), members: []uint32{1, 2, 3}}, err
}

func (f *fake) votes(ids []uint32) ([]voteInfo, error) {
	out := make([]voteInfo, len(ids))
	for i := range out {
		out[i] = voteInfo{known: true, member: true, votes: 1, expected: 3, total: 3, quorum: 2}
	}
	return out, nil
}

func (f *fake) get(m keyMap, keys []string) ([]value, error) {
	out := make([]value, len(keys))
	for i, k := range keys {
		if k == "runtime.votequorum.this_node_id" {
			out[i] = value{kind: number, n: 1}
		}
	}
	return out, nil
}

// clientOf returns a client of f on a node with a corosync.conf.
func clientOf(t *testing.T, f *fake) (c *Client, confFile string) {
	t.Helper()
	confFile = filepath.Join(t.TempDir(), "corosync.conf")
	if err := os.WriteFile(confFile, []byte("totem {\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return newClient(Options{ConfFile: confFile}, f.openDaemon), confFile
}

func TestConnectionIsOpenedOnceAndKept(t *testing.T) {
	f := &fake{}
	c, _ := clientOf(t, f)
	for range 5 {
		s, err := c.Quorum(t.Context())
		if err != nil || !s.Quorate || len(s.Members) != 3 {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	if f.opened != 1 {
		t.Errorf("opened %d times", f.opened)
	}
	if err := c.Close(); err != nil || f.open != 0 {
		t.Errorf("close: %v, %d connections left", err, f.open)
	}
	if _, err := c.Quorum(t.Context()); !errors.Is(err, ErrClosed) || f.opened != 1 {
		t.Errorf("after close: %v, opened %d times", err, f.opened)
	}
}

func TestNodeWithoutConfigurationIsStandalone(t *testing.T) {
	f := &fake{}
	c, conf := clientOf(t, f)
	if _, err := c.Quorum(t.Context()); err != nil || !c.Status().Configured {
		t.Fatalf("%v, %+v", err, c.Status())
	}
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	s, err := c.Quorum(t.Context())
	if err != nil || !s.Standalone || s.Quorate {
		t.Errorf("%+v, %v", s, err)
	}
	if c.Status().Configured {
		t.Error("corosync still counts as configured")
	}
	if f.open != 0 {
		t.Error("the connection of the former cluster was kept")
	}
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Quorum(t.Context()); err != nil || s.Standalone || !c.Status().Configured {
		t.Errorf("after joining a cluster: %+v, %v", s, err)
	}
}

func TestRestartBetweenTwoReadingsCostsNoReading(t *testing.T) {
	f := &fake{fails: []error{nil, csCheck("quorum_trackstart", csLibrary)}}
	var log bytes.Buffer
	c, _ := clientOf(t, f)
	c.log = slog.New(slog.NewTextHandler(&log, nil))
	for range 2 {
		if _, err := c.Quorum(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if f.opened != 2 || f.open != 1 || !strings.Contains(log.String(), "connection lost") {
		t.Errorf("opened %d, open %d, log %q", f.opened, f.open, log.String())
	}
}

func TestFailuresSayWhatTheyAre(t *testing.T) {
	for name, tc := range map[string]struct {
		code   int
		is     error
		reason string
		text   string
	}{
		"not running":       {csLibrary, ErrStopped, "stopped", "systemctl status corosync"},
		"refused":           {csAccess, ErrAccess, "access", "as effective uid"},
		"private /dev/shm":  {csNotExist, ErrNoSharedMemory, "shared_memory", "/dev/shm"},
		"starting for long": {csTryAgain, nil, "busy", "CS_ERR_TRY_AGAIN"},
		"anything else":     {5, nil, "library", "cs_error_t 5"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{opens: func() error { return csCheck("cmap_initialize", tc.code) }}
			c, _ := clientOf(t, f)
			_, err := c.Quorum(t.Context())
			if err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%v", err)
			}
			if got := source.Reason(err); got != tc.reason {
				t.Errorf("reason %q, want %q", got, tc.reason)
			}
			if st := c.Status(); st.Up || st.Errors[tc.reason] != 1 {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestStartingDaemonIsAskedAgain(t *testing.T) {
	n := 0
	f := &fake{fails: []error{csCheck("quorum_trackstart", csTryAgain)}}
	f.opens = func() error {
		if n++; n < 3 {
			return csCheck("cmap_initialize", csTryAgain)
		}
		return nil
	}
	c, _ := clientOf(t, f)
	if _, err := c.Quorum(t.Context()); err != nil {
		t.Error(err)
	}
	if f.open != 1 {
		t.Errorf("%d connections are open", f.open)
	}
}

func TestAnswerWithoutSenseOpensNoNewConnection(t *testing.T) {
	f := &fake{fails: []error{nil, errors.New("no sense"), errors.New("no sense")}}
	c, _ := clientOf(t, f)
	for i := range 4 {
		if _, err := c.Quorum(t.Context()); (err != nil) != (i == 1 || i == 2) {
			t.Errorf("reading %d: %v", i, err)
		}
	}
	if f.opened != 1 {
		t.Errorf("opened %d times", f.opened)
	}
}

func TestHungDaemonHoldsNobody(t *testing.T) {
	f := &fake{hang: make(chan struct{})}
	c, _ := clientOf(t, f)
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		f.hang = hang
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Quorum(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		begun := time.Now()
		var stuck *source.StuckError
		if _, err := c.Quorum(t.Context()); !errors.As(err, &stuck) || time.Since(begun) != 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		f.mu.Lock()
		f.hang = nil
		f.mu.Unlock()
		close(hang)
		synctest.Wait()
		if _, err := c.Quorum(t.Context()); err != nil || !c.Status().Up {
			t.Errorf("after it went on: %v, %+v", err, c.Status())
		}
		if f.opened != 1 {
			t.Errorf("opened %d times", f.opened)
		}
	})
}

func TestCloseLeavesAHungCallBehindAndItCleansUp(t *testing.T) {
	f := &fake{}
	c, _ := clientOf(t, f)
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		f.hang = hang
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Quorum(ctx); err == nil {
			t.Fatal("a hung daemon answered")
		}
		begun := time.Now()
		if err := c.Close(); err == nil || time.Since(begun) > closeTimeout {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		close(hang)
		synctest.Wait()
		if f.open != 0 {
			t.Error("the call returned and left the connection open")
		}
	})
}

func TestCloseWaitsForAReadingUnderWay(t *testing.T) {
	f := &fake{}
	c, _ := clientOf(t, f)
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		f.hang = hang
		got := make(chan error, 1)
		go func() {
			_, err := c.Quorum(context.Background())
			got <- err
		}()
		synctest.Wait()
		go func() {
			time.Sleep(time.Second)
			close(hang)
		}()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-got; err != nil || f.open != 0 {
			t.Errorf("%v, %d connections left", err, f.open)
		}
	})
}
