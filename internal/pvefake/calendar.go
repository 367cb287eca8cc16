package pvefake

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// calendarEvent is a schedule such as "mon..fri 02:00/30" (proxmox-calendar-event, what the
// documentation of vzdump describes). Dates are known only as "*-*-*".
type calendarEvent struct {
	days           []time.Weekday // none: every day
	hours, minutes []int
}

var (
	calendarUnits = map[string]string{
		"minutely": "*:0/1", "hourly": "*:00", "daily": "00:00", "weekly": "mon 00:00", "monthly": "00:00", "yearly": "00:00", "annually": "00:00",
		"quarterly": "00:00", "semiannually": "00:00",
	}
	dayNames   = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	dayPartRE  = regexp.MustCompile(`(?i)^(sun|mon|tue|wed|thu|fri|sat)[a-z]*(?:(?:\.\.|-)(sun|mon|tue|wed|thu|fri|sat)[a-z]*)?$`)
	datePartRE = regexp.MustCompile(`^[\d*]+-[\d*/,]+(?:-[\d*/,]+)?$`)
)

// checkCalendarEvent refuses cron's five fields, as the real parser does.
func checkCalendarEvent(v string) string {
	if _, err := parseCalendarEvent(v); err != nil {
		return "invalid calendar event '" + v + "' - " + err.Error() + "\n"
	}
	return ""
}

func parseCalendarEvent(v string) (calendarEvent, error) {
	var e calendarEvent
	text := strings.ToLower(strings.TrimSpace(v))
	if text == "" {
		return e, fmt.Errorf("calendar event is empty")
	}
	if unit, ok := calendarUnits[text]; ok {
		text = unit
	}
	fields := strings.Fields(text)
	if days, ok := weekdays(fields[0]); ok {
		e.days, fields = days, fields[1:]
	}
	if len(fields) > 0 && datePartRE.MatchString(fields[0]) {
		fields = fields[1:]
	}
	switch len(fields) {
	case 0:
		e.hours, e.minutes = []int{0}, []int{0}
		return e, nil
	case 1:
	default:
		return e, fmt.Errorf("unable to parse rest %q", strings.Join(fields[1:], " "))
	}
	hours, minutes, ok := strings.Cut(fields[0], ":")
	if !ok { // a bare number or step counts minutes
		hours, minutes = "*", fields[0]
	}
	minutes, _, _ = strings.Cut(minutes, ":") // seconds are not used
	var err error
	if e.hours, err = timeValues(hours, 24); err != nil {
		return e, err
	}
	e.minutes, err = timeValues(minutes, 60)
	return e, err
}

func weekdays(field string) ([]time.Weekday, bool) {
	var out []time.Weekday
	for _, part := range strings.Split(field, ",") {
		m := dayPartRE.FindStringSubmatch(part)
		if m == nil {
			return nil, false
		}
		from := slices.Index(dayNames, m[1])
		to := from
		if m[2] != "" {
			to = slices.Index(dayNames, m[2])
		}
		for d := from; ; d = (d + 1) % 7 {
			out = append(out, time.Weekday(d))
			if d == to {
				break
			}
		}
	}
	return out, true
}

// timeValues reads "2", "0,30", "8..17", "*/5", "2/3" below limit.
func timeValues(field string, limit int) ([]int, error) {
	var out []int
	for _, part := range strings.Split(field, ",") {
		base, step, hasStep := strings.Cut(part, "/")
		lo, hi, by := 0, limit-1, 1
		var err error
		if base != "*" {
			from, to, isRange := strings.Cut(base, "..")
			if lo, err = strconv.Atoi(from); err != nil {
				return nil, fmt.Errorf("unable to parse %q", part)
			}
			if hi = lo; isRange {
				if hi, err = strconv.Atoi(to); err != nil {
					return nil, fmt.Errorf("unable to parse %q", part)
				}
			} else if hasStep {
				hi = limit - 1
			}
		}
		if hasStep {
			if by, err = strconv.Atoi(step); err != nil || by < 1 {
				return nil, fmt.Errorf("unable to parse step of %q", part)
			}
		}
		if lo < 0 || hi >= limit || lo > hi {
			return nil, fmt.Errorf("value out of range (%q, below %d)", part, limit)
		}
		for n := lo; n <= hi; n += by {
			out = append(out, n)
		}
	}
	return out, nil
}

// next is the first instant after t, in UTC; zero if there is none within a fortnight.
func (e calendarEvent) next(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Minute).Add(time.Minute)
	for end := t.Add(14 * 24 * time.Hour); t.Before(end); t = t.Add(time.Minute) {
		if (len(e.days) == 0 || slices.Contains(e.days, t.Weekday())) && slices.Contains(e.hours, t.Hour()) && slices.Contains(e.minutes, t.Minute()) {
			return t
		}
	}
	return time.Time{}
}
