package hareplay

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// An Entry is what index.json says of one scenario.
type Entry struct {
	Commands         []Command             `json:"commands"`
	FenceAcks        []Ack                 `json:"fence_ack"`
	Recoveries       []Recovery            `json:"recoveries"`
	RecoverySpans    map[string][]Span     `json:"recovery_spans"`
	FenceSpans       map[string][]Span     `json:"fence_spans"`
	FirstError       map[string]int64      `json:"first_error_t"`
	Verdict          string                `json:"verdict"`
	NodeStates       map[string][]Interval `json:"node_state_intervals"`
	ServiceStates    map[string][]Interval `json:"service_state_intervals"`
	Masters          []Interval            `json:"master_intervals"`
	Quorate          []Flag                `json:"quorate_intervals"`
	Armed            []Interval            `json:"armed_intervals"`
	RunningIntervals map[string][]Interval `json:"running_intervals"`
}

// A Recovery is a service that the HA manager gave another node.
type Recovery struct {
	SID      string `json:"sid"`
	From     string `json:"from"`
	To       string `json:"to"`
	RecoverT int64  `json:"recover_t"`
	RunningT *int64 `json:"running_t"` // nil if it did not run there
	Seconds  *int64 `json:"seconds"`   // from loss to running, nil if either is not known
}

// A Command is what the scenario did at T.
type Command struct {
	T    int64
	Text string
}

// An Ack is a fencing of Node confirmed at T.
type Ack struct {
	T    int64
	Node string
}

// A Span holds in all steps from From to To.
type Span struct{ From, To int64 }

// An Interval is a Span in which something was called Value.
type Interval struct {
	Value    string
	From, To int64
}

// A Flag is a Span in which something was true or not.
type Flag struct {
	Yes      bool
	From, To int64
}

// UnmarshalJSON reads [T, TEXT].
func (c *Command) UnmarshalJSON(b []byte) error { return row(b, &c.T, &c.Text) }

// UnmarshalJSON reads [T, NODE].
func (a *Ack) UnmarshalJSON(b []byte) error { return row(b, &a.T, &a.Node) }

// UnmarshalJSON reads [FROM, TO].
func (s *Span) UnmarshalJSON(b []byte) error { return row(b, &s.From, &s.To) }

// UnmarshalJSON reads [VALUE, FROM, TO].
func (i *Interval) UnmarshalJSON(b []byte) error { return row(b, &i.Value, &i.From, &i.To) }

// UnmarshalJSON reads [0 or 1, FROM, TO].
func (f *Flag) UnmarshalJSON(b []byte) error {
	var n int
	err := row(b, &n, &f.From, &f.To)
	f.Yes = n != 0
	return err
}

// row decodes an array of exactly these values.
func row(b []byte, into ...any) error {
	var all []json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	if len(all) != len(into) {
		return fmt.Errorf("%s has %d values, want %d", b, len(all), len(into))
	}
	for i := range all {
		if err := json.Unmarshal(all[i], into[i]); err != nil {
			return err
		}
	}
	return nil
}

// at returns the value at t, "" if there is none.
func at(list []Interval, t int64) string {
	for _, i := range list {
		if i.From <= t && t <= i.To {
			return i.Value
		}
	}
	return ""
}

// A Step is one round of the simulator.
type Step struct {
	T       int64           `json:"t"`
	Time    int64           `json:"time"`
	Current json.RawMessage `json:"current"`
	Status  json.RawMessage `json:"manager_status"`
	// What of the configuration changed in this step; absent if nothing.
	Resources map[string]Resource `json:"resources"`
	Quorate   int                 `json:"quorate"`
}

// A Resource is a section of resources.cfg.
type Resource struct {
	State       string `json:"state"`
	MaxRestart  int    `json:"max_restart"`
	MaxRelocate int    `json:"max_relocate"`
}

// answered reports whether any node was there to ask.
func (s Step) answered() bool {
	return len(s.Current) > 0 && string(s.Current) != "null"
}

// A Scenario is a recording and what is known of it.
type Scenario struct {
	Name  string
	Entry Entry
	Steps []Step
}

// readIndex returns the entries of dir/index.json by scenario.
func readIndex(dir string) (map[string]Entry, error) {
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return nil, err
	}
	var index map[string]Entry
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	if len(index) == 0 {
		return nil, errors.New("index.json names no scenario")
	}
	return index, nil
}

// readScenario returns the recording of one scenario.
func readScenario(dir, name string, e Entry) (Scenario, error) {
	s := Scenario{Name: name, Entry: e}
	f, err := os.Open(filepath.Join(dir, name+".jsonl.gz"))
	if err != nil {
		return s, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	lines := json.NewDecoder(z)
	for {
		var step Step
		switch err := lines.Decode(&step); {
		case errors.Is(err, io.EOF):
			return s, nil
		case err != nil:
			return s, fmt.Errorf("%s after step %d: %w", name, len(s.Steps), err)
		}
		s.Steps = append(s.Steps, step)
	}
}
