package preflight

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// words that stand for a whole calendar event.
var calendarWords = []string{"minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "semi-annually", "yearly", "annually"}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// calendarPart is *, 5, 1..7, */15 or 0/30.
var calendarPart = regexp.MustCompile(`^(\*|\d{1,4})(?:\.\.(\d{1,4}))?(?:/(\d{1,4}))?$`)

// checkCalendar says what is wrong with a calendar event as Proxmox VE takes them: [days] [date] [time].
func checkCalendar(s string) error {
	fields := strings.Fields(strings.ToLower(s))
	if len(fields) == 0 {
		return fmt.Errorf("is empty")
	}
	if len(fields) == 1 && slices.Contains(calendarWords, fields[0]) {
		return nil
	}
	if isWeekdays(fields[0]) {
		fields = fields[1:]
	}
	if len(fields) > 0 && strings.Contains(fields[0], "-") {
		if !isDate(fields[0]) {
			return fmt.Errorf("%q is no date", fields[0])
		}
		fields = fields[1:]
	}
	if len(fields) > 0 {
		if !isTime(fields[0]) {
			return fmt.Errorf("%q is neither days nor a date nor a time", fields[0])
		}
		fields = fields[1:]
	}
	if len(fields) > 0 {
		return fmt.Errorf("nothing may stand behind the time, but there is %q", strings.Join(fields, " "))
	}
	return nil
}

// isWeekdays knows mon, monday, mon..fri and lists of them.
func isWeekdays(s string) bool {
	for _, item := range strings.Split(s, ",") {
		from, to, ranged := strings.Cut(item, "..")
		if !isWeekday(from) || ranged && !isWeekday(to) {
			return false
		}
	}
	return true
}

func isWeekday(s string) bool {
	return slices.ContainsFunc([]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}, func(day string) bool {
		return s == day || s == day[:3]
	})
}

// isDate knows [year-]month-day.
func isDate(s string) bool {
	parts := strings.Split(s, "-")
	bounds := [][2]int{{1970, 9999}, {1, 12}, {1, 31}}
	if len(parts) != 2 && len(parts) != 3 {
		return false
	}
	return areParts(parts, bounds[3-len(parts):])
}

// isTime knows hour:minute[:second] and, as systemd does not, minutes alone.
func isTime(s string) bool {
	parts := strings.Split(s, ":")
	switch len(parts) {
	case 1:
		return areParts(parts, [][2]int{{0, 59}})
	case 2, 3:
		return areParts(parts, [][2]int{{0, 23}, {0, 59}, {0, 59}})
	}
	return false
}

func areParts(parts []string, bounds [][2]int) bool {
	for i, part := range parts {
		for _, item := range strings.Split(part, ",") {
			m := calendarPart.FindStringSubmatch(item)
			if m == nil || m[1] == "*" && m[2] != "" {
				return false
			}
			for _, number := range m[1:3] {
				n, err := strconv.Atoi(number)
				if err == nil && (n < bounds[i][0] || n > bounds[i][1]) {
					return false
				}
			}
			if m[3] == "0" {
				return false
			}
		}
	}
	return true
}

// cronField is what stands in one of the five fields of a cron line.
var cronField = regexp.MustCompile(`^[0-9*/,A-Za-z-]+$`)

// isCron is true for what was meant for cron.
func isCron(s string) bool {
	fields := strings.Fields(s)
	if strings.HasPrefix(s, "@") {
		return true
	}
	if len(fields) != 5 {
		return false
	}
	return !slices.ContainsFunc(fields, func(f string) bool { return !cronField.MatchString(f) })
}

// fromCron translates the cron lines that people write; "" if this one is another.
func fromCron(s string) string {
	if strings.HasPrefix(s, "@") {
		if word := strings.TrimPrefix(s, "@"); slices.Contains(calendarWords, word) {
			return word
		}
		return ""
	}
	f := strings.Fields(s)
	minute, err1 := strconv.Atoi(f[0])
	hour, err2 := strconv.Atoi(f[1])
	day := ""
	switch {
	case f[2] != "*" || f[3] != "*":
		return ""
	case f[4] != "*":
		n, err := strconv.Atoi(f[4])
		if err != nil || n < 0 || n > 7 {
			return ""
		}
		day = weekdays[n%7] + " "
	}
	switch {
	case err1 == nil && err2 == nil && minute < 60 && hour < 24:
		return fmt.Sprintf("%s%02d:%02d", day, hour, minute)
	case err1 == nil && f[1] == "*" && minute < 60:
		return fmt.Sprintf("%s*:%02d", day, minute)
	case strings.HasPrefix(f[0], "*/") && f[1] == "*" && day == "" && isTime(f[0]):
		return f[0]
	}
	return ""
}
