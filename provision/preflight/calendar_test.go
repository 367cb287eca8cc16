package preflight

import (
	"strings"
	"testing"
)

func TestCalendarEvents(t *testing.T) {
	for event, ok := range calendarEvents {
		if err := checkCalendar(event); (err == nil) != ok {
			t.Errorf("%q: %v", event, err)
		}
	}
}

func TestCronLinesAreTranslated(t *testing.T) {
	for cron, want := range map[string]string{
		"0 2 * * *": "02:00", "30 3 * * 0": "sun 03:30", "30 3 * * 7": "sun 03:30", "15 * * * *": "*:15", "*/15 * * * *": "*/15",
		"@daily": "daily", "@reboot": "", "0 2 1 * *": "", "0 2 * * mon-fri": "",
	} {
		if !isCron(cron) {
			t.Errorf("%q is not taken for cron", cron)
		}
		if have := fromCron(cron); have != want {
			t.Errorf("%q becomes %q, not %q", cron, have, want)
		}
	}
	for event, ok := range calendarEvents {
		if ok && isCron(event) {
			t.Errorf("%q is taken for cron", event)
		}
	}
}

func FuzzSchedule(f *testing.F) {
	for event := range calendarEvents {
		f.Add(event)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := checkCalendar(s)
		if !isCron(s) {
			return
		}
		// What we tell people to write must be right.
		if event := fromCron(s); event != "" && checkCalendar(event) != nil {
			t.Errorf("%q becomes %q, which is no event", s, event)
		}
		if err == nil && len(strings.Fields(s)) == 5 {
			t.Errorf("%q is both", s)
		}
	})
}
