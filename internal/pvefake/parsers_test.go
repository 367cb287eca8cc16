package pvefake

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCalendarEventsAreReadAsTheDocumentationSays(t *testing.T) {
	at := time.Date(2026, 11, 21, 1, 30, 0, 0, time.UTC) // a Saturday
	for _, tc := range []struct{ name, event, next string }{
		{"a time", "02:00", "2026-11-21T02:00"},
		{"a day", "sun 03:00", "2026-11-22T03:00"},
		{"a range of days", "mon..fri 02:00", "2026-11-23T02:00"},
		{"steps", "*/15", "2026-11-21T01:45"},
		{"hours and steps", "8..17/3:30", "2026-11-21T08:30"},
		{"a word", "daily", "2026-11-22T00:00"},
		{"cron", "0 2 * * *", ""},
		{"an hour that is none", "25:00", ""},
		{"nothing", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := parseCalendarEvent(tc.event)
			if tc.next == "" {
				if err == nil {
					t.Errorf("%q was taken", tc.event)
				}
				return
			}
			if got := e.next(at).Format("2006-01-02T15:04"); err != nil || got != tc.next {
				t.Errorf("%q: next is %s (%v), want %s", tc.event, got, err, tc.next)
			}
		})
	}
}

func TestShellWords(t *testing.T) {
	for _, tc := range []struct {
		line string
		want []string
	}{
		{`pvesh create /x --a 'b c'`, []string{"pvesh", "create", "/x", "--a", "b c"}},
		{`'it'\''s' "a\"b" c\ d`, []string{"it's", `a"b`, "c d"}},
		{`rbd export 'p/i' - | sha256sum`, []string{"rbd-checksum", "p/i"}},
		{`a | b`, nil}, {`a > b`, nil}, {`a $b`, nil}, {`'a`, nil}, {"a `b`", nil},
	} {
		got, err := shellWords(tc.line)
		if (err != nil) != (tc.want == nil) || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q (%v), want %q", tc.line, got, err, tc.want)
		}
	}
}

func FuzzShellWords(f *testing.F) {
	for _, s := range []string{"a 'b c'", `a\ b`, `"x`, "rbd export a/b - | sha256sum", "a;b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := shellWords(s)
		if err != nil || strings.HasPrefix(s, "rbd export") || strings.Contains(s, "sysrq") {
			return
		}
		// Quoted again they must come out the same.
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		again, err := shellWords(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(again, words) {
			t.Errorf("%q: %q, again %q (%v)", s, words, again, err)
		}
	})
}

func FuzzCalendarEvent(f *testing.F) {
	for _, s := range []string{"02:00", "mon..fri */5", "daily", "0 2 * * *", "sat..mon 1,2:30"} {
		f.Add(s)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseCalendarEvent(s)
		if err != nil {
			return
		}
		if next := e.next(at); !next.IsZero() && !next.After(at) {
			t.Errorf("%q: next is %s", s, next)
		}
	})
}

func FuzzPropertyString(f *testing.F) {
	table, err := parseMethods(methodFacts, 9, handlers())
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"virtio,bridge=vmbr0", "virtio=AA:BB:CC:DD:EE:00", "local:1,size=8G", "k=2,m=1", ",,=", "a=b=c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, name := range sortedKeys(table.formats) {
			if e := table.formats[name].check("x", s); e == "" && strings.Contains(s, "no-such-key=") {
				t.Errorf("%s took %q", name, s)
			}
		}
	})
}
