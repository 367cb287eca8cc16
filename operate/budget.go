package operate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/provision/engine"
)

// A Budget is how long things may take, by what is measured: downtime, duration, recovery …
type Budget map[string]time.Duration

// ParseBudget reads "downtime=500ms,duration=10m". Only known words are taken.
func ParseBudget(text string, known ...string) (Budget, error) {
	b := Budget{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, value, _ := strings.Cut(part, "=")
		d, err := time.ParseDuration(value)
		if !slices.Contains(known, name) || err != nil || d <= 0 {
			return nil, &engine.UsageError{Text: fmt.Sprintf("budget %q: want %s=DURATION, such as %s=500ms", part, strings.Join(known, "=DURATION or "), known[0])}
		}
		b[name] = d
	}
	return b, nil
}

// over tells what took longer than it may. What has a budget and was not measured is over it: nobody can
// say that it was kept.
func (b Budget) over(measured map[string]*Seconds) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(b)) {
		limit := b[name]
		switch took := measured[name]; {
		case took == nil:
			out = append(out, fmt.Sprintf("%s was not measured; the budget is %s", name, limit))
		case took.Duration() > limit:
			out = append(out, fmt.Sprintf("%s took %s; the budget is %s", name, took, limit))
		}
	}
	return out
}

// Seconds are a measured time; in JSON a number.
type Seconds float64

func seconds(d time.Duration) *Seconds {
	s := Seconds(d.Round(time.Millisecond).Seconds())
	return &s
}

// Duration is s to the millisecond.
func (s Seconds) Duration() time.Duration {
	return time.Duration(float64(s) * float64(time.Second)).Round(time.Millisecond)
}

// String is s for people.
func (s Seconds) String() string { return s.Duration().String() }
