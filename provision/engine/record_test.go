package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSecretsDoNotReachEventsAndKeptFiles(t *testing.T) {
	r := &Redactor{}
	r.Add("hunter2-long")
	r.Add("hunter2")
	dir, err := OpenRunDir(t.TempDir(), "c1", time.Unix(1700000000, 0), r)
	if err != nil {
		t.Fatal(err)
	}
	rec := NewRecorder(dir.Events(), r)
	var screen bytes.Buffer
	p := NewPrinter(&screen, r, false)
	p.Percent = true
	p.Verbose = true
	for _, e := range []Event{
		{Event: EventChange, Step: "join", Node: "pve2", Text: "with hunter2-long"},
		{Event: EventError, Step: "join", Text: "hunter2 refused", Log: []string{"password was hunter2"}},
		{Event: EventProgress, Step: "join", Path: "x/hunter2", UPID: "UPID:hunter2"},
	} {
		rec.Tell(e)
		p.Tell(e)
	}
	dir.Keep("conf", []byte("secret hunter2-long"))
	if err := errors.Join(rec.Err(), dir.Close()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir.Path, "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %v, %v; want events and one kept", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "hunter2") || !strings.Contains(string(b), "***") {
			t.Errorf("%s: %s", f, b)
		}
		if i, err := os.Stat(f); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", f, i.Mode(), err)
		}
	}
	if strings.Contains(screen.String(), "hunter2") {
		t.Errorf("screen: %s", screen.String())
	}
}

func TestASecretIsFoundInEveryFormThatItIsWrittenIn(t *testing.T) {
	const secret = `pä"ss<w\rd & 1/2"`
	r := &Redactor{}
	r.Add(secret)
	plain, err := json.Marshal(map[string]string{"password": secret})
	if err != nil {
		t.Fatal(err)
	}
	var unescaped bytes.Buffer
	e := json.NewEncoder(&unescaped)
	e.SetEscapeHTML(false)
	if err := e.Encode(secret); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as it is": secret, "JSON": string(plain), "JSON without HTML": unescaped.String(),
		"query": url.Values{"password": {secret}}.Encode(), "path": "/a/" + url.PathEscape(secret) + "/b",
	} {
		got := r.Clean(text)
		if left := strings.NewReplacer("password", "", "***", "").Replace(got); !strings.Contains(got, "***") || strings.ContainsAny(left, "ps12&") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestASecondRunIsRefusedWhileTheFirstIsActive(t *testing.T) {
	base, now := t.TempDir(), time.Unix(1700000000, 0)
	a, err := OpenRunDir(base, "c1", now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRunDir(base, "c1", now, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("error %v, want %v", err, ErrLocked)
	}
	b, err := OpenRunDir(base, "c2", now, nil)
	if err != nil {
		t.Fatalf("another cluster: %v", err)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	c, err := OpenRunDir(base, "c1", now, nil)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	if c.Path == a.Path {
		t.Error("two runs share a directory")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestKeptFilesStayInTheRunDirectoryAndAreNotOverwritten(t *testing.T) {
	d, err := OpenRunDir(t.TempDir(), "c1", time.Unix(1700000000, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	d.Keep("../../etc/passwd", []byte("first"))
	d.Keep("../../etc/passwd", []byte("second"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(d.Path, "*passwd*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %v, %v", files, err)
	}
	if b, err := os.ReadFile(files[0]); err != nil || string(b) != "first" {
		t.Errorf("the first copy holds %q, %v", b, err)
	}
}

func TestWhatIsGoingOnIsOverwrittenOnATerminalAndLeftOutElsewhere(t *testing.T) {
	events := []Event{
		{Event: EventStart, Step: "join", Text: "the other nodes join"},
		{Event: EventProgress, Step: "join", Node: "pve2", Seconds: 66.2, Text: "waiting for quorum...OK", Pct: 20},
		{Event: EventChange, Step: "join", Node: "pve3", Text: "pve3: member/pve3", Pct: 20},
		{Event: EventWarning, Step: "join", Node: "pve3", Text: "task ended with \"WARNINGS: 1\"", Log: []string{"WARN: old key"}, Pct: 20},
	}
	for _, tt := range []struct {
		name              string
		terminal, verbose bool
		want              string
	}{
		{"terminal", true, false, "\r\x1b[K[  0%] join …\r\x1b[K[ 20%] join pve2 1m6s: waiting for quorum...OK\r\x1b[K[ 20%] join pve3: pve3: member/pve3\n" +
			"[ 20%] join pve3: WARNING: task ended with \"WARNINGS: 1\"\n    WARN: old key\n"},
		{"file", false, false, "[ 20%] join pve3: pve3: member/pve3\n[ 20%] join pve3: WARNING: task ended with \"WARNINGS: 1\"\n    WARN: old key\n"},
		{"file, verbose", false, true, "[  0%] join …\n[ 20%] join pve2 1m6s: waiting for quorum...OK\n[ 20%] join pve3: pve3: member/pve3\n" +
			"[ 20%] join pve3: WARNING: task ended with \"WARNINGS: 1\"\n    WARN: old key\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			p := NewPrinter(&b, nil, tt.terminal)
			p.Percent = true
			p.Verbose = tt.verbose
			for _, e := range events {
				p.Tell(e)
			}
			p.Close()
			if b.String() != tt.want {
				t.Errorf("got\n%q\nwant\n%q", b.String(), tt.want)
			}
		})
	}
}

func TestAPollSaysWhatItSawLast(t *testing.T) {
	clock := &fakeClock{now: time.Unix(0, 0)}
	p := Poll{Clock: clock, What: "quorum", Limit: 10 * time.Second, Again: func(err error) bool { return errors.Is(err, errPassing) }}
	asked := 0
	err := p.Until(t.Context(), func(context.Context) (bool, string, error) {
		if asked++; asked == 2 {
			return false, "", errPassing
		}
		return false, "1 of 3", nil
	})
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "1 of 3") || asked < 5 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	permanent := errors.New("forbidden")
	if err := p.Until(t.Context(), func(context.Context) (bool, string, error) { return false, "", permanent }); !errors.Is(err, permanent) {
		t.Errorf("error %v, want %v at once", err, permanent)
	}
}

func TestOnlyRunsOfKnownLengthShowPercent(t *testing.T) {
	for percent, want := range map[bool]string{true: "[ 20%] join pve3: goes on\n", false: "join pve3: goes on\n"} {
		var b strings.Builder
		p := NewPrinter(&b, nil, false)
		p.Percent = percent
		p.Tell(Event{Event: EventChange, Step: "join", Node: "pve3", Text: "goes on", Pct: 20})
		if b.String() != want {
			t.Errorf("got %q, want %q", b.String(), want)
		}
	}
}
