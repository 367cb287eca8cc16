package verify

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

var marks = map[Result]string{OK: "ok  ", Failed: "FAIL", Unknown: "?   "}

// WriteText writes the report for people.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	good, width := 0, 0
	for _, c := range r.Checks {
		width = max(width, len(c.Name))
	}
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "%s %-*s  %s", marks[c.Result], width, c.Name, c.Found)
		if c.Result == OK {
			good++
		} else {
			fmt.Fprintf(&b, "  (wanted: %s)", c.Want)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s: %d of %d checks ok\n", r.Cluster, good, len(r.Checks))
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the report for programs.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Time     string      `xml:"time,attr"`
	At       string      `xml:"timestamp,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Time    string     `xml:"time,attr"`
	Failure *junitText `xml:"failure,omitempty"`
	Error   *junitText `xml:"error,omitempty"`
}

type junitText struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the report for CI systems: what is not as wanted is a failure, what could not be
// read an error.
func (r Report) WriteJUnit(w io.Writer) error {
	title := r.Title
	if title == "" {
		title = "quorate provision verify " + r.Cluster
	}
	s := junitSuite{Name: title, Tests: len(r.Checks), At: r.At.Format(time.RFC3339)}
	total := 0.0
	for _, c := range r.Checks {
		total += c.Took
		k := junitCase{Class: r.Cluster, Name: c.Name, Time: fmt.Sprintf("%.3f", c.Took)}
		text := &junitText{Message: c.Found, Text: "wanted: " + c.Want}
		switch c.Result {
		case Failed:
			k.Failure = text
			s.Failures++
		case Unknown:
			k.Error = text
			s.Errors++
		}
		s.Cases = append(s.Cases, k)
	}
	s.Time = fmt.Sprintf("%.3f", total)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
