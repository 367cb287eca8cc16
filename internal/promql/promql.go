// Package promql reads PromQL as far as the tests of alert rules and dashboards need: which metrics an
// expression selects, with which labels, in which functions and groupings. It does not judge the syntax;
// Prometheus does that. Grafana's variables ($cluster, [$__rate_interval]) may stand in it.
package promql

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Reading is what an expression consists of.
type Reading struct {
	Selectors []Selector
	Calls     []string // functions, aggregations not among them
	Groupings []Grouping
	Bare      []string // aggregations without by or without
	Ranges    []Ranged
}

// A Selector is a metric name with its label matchers.
type Selector struct {
	Name     string
	Matchers []Matcher
}

// A Matcher is LABEL OP "VALUE"; OP is =, !=, =~ or !~.
type Matcher struct{ Label, Op, Value string }

// A Grouping is a list of labels after by, without, on, ignoring, group_left or group_right.
type Grouping struct {
	Word   string
	Labels []string
}

// A Ranged is NAME[DURATION] as an argument of a function.
type Ranged struct{ Function, Name, Duration string }

var (
	token = regexp.MustCompile(`\s+|#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|` + "`[^`]*`" +
		`|\[[^\]]*\]|\$?[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9][0-9a-zA-Z_.]*|=~|!~|!=|==|>=|<=|.`)

	aggregations = strings.Fields("sum min max avg group stddev stdvar count count_values bottomk topk quantile limitk limit_ratio")
	groupings    = strings.Fields("by without on ignoring group_left group_right")
	words        = strings.Fields("and or unless bool offset inf nan start end atan2")
	operators    = strings.Fields("= != =~ !~")
)

// tokens are those of one expression. At what is not there stands "".
type tokens []string

func split(expr string) tokens {
	return slices.DeleteFunc(token.FindAllString(expr, -1), func(t string) bool {
		return strings.TrimSpace(t) == "" || strings.HasPrefix(t, "#")
	})
}

func (t tokens) at(i int) string {
	if i >= 0 && i < len(t) {
		return t[i]
	}
	return ""
}

// Read reads an expression. A selector without a metric name is an error.
func Read(expr string) (Reading, error) {
	var r Reading
	t := split(expr)
	function := ""
	for i := 0; i < len(t); i++ {
		word := strings.ToLower(t[i])
		switch {
		case t[i] == "{":
			return r, fmt.Errorf("a selector without a metric name in %q", expr)
		case t[i][0] == '[':
			if n := len(r.Selectors); n > 0 {
				r.Ranges = append(r.Ranges, Ranged{function, r.Selectors[n-1].Name, strings.Trim(t[i], "[]")})
			}
		case !isIdentifier(t[i]):
		case slices.Contains(groupings, word):
			g := Grouping{Word: word}
			g.Labels, i = t.labels(i)
			r.Groupings = append(r.Groupings, g)
		case slices.Contains(words, word):
		case slices.Contains(aggregations, t[i]):
			if function = t[i]; !t.grouped(i) {
				r.Bare = append(r.Bare, t[i])
			}
		case t.at(i+1) == "(":
			function = t[i]
			r.Calls = append(r.Calls, t[i])
		default:
			s := Selector{Name: t[i]}
			s.Matchers, i = t.matchers(i)
			r.Selectors = append(r.Selectors, s)
		}
	}
	return r, nil
}

// ReadSeries reads a series as in promtool's tests: NAME{LABEL="VALUE", …}.
func ReadSeries(text string) (Selector, error) {
	r, err := Read(text)
	if err != nil {
		return Selector{}, err
	}
	if len(r.Selectors) != 1 {
		return Selector{}, fmt.Errorf("%q is no series", text)
	}
	return r.Selectors[0], nil
}

// labels are those in the parentheses after i; end is where they close.
func (t tokens) labels(i int) (labels []string, end int) {
	if t.at(i+1) != "(" {
		return nil, i
	}
	for i += 2; t.at(i) != ")" && t.at(i) != ""; i++ {
		if t[i] != "," {
			labels = append(labels, t[i])
		}
	}
	return labels, i
}

// matchers are those in the braces after i; end is where they close.
func (t tokens) matchers(i int) (out []Matcher, end int) {
	if t.at(i+1) != "{" {
		return nil, i
	}
	for i += 2; t.at(i) != "}" && t.at(i) != ""; i++ {
		if slices.Contains(operators, t.at(i+1)) {
			out = append(out, Matcher{t[i], t[i+1], strings.Trim(t.at(i+2), "\"'`")})
			i += 2
		}
	}
	return out, i
}

// grouped says whether by or without stands before or after the parentheses of the aggregation at i.
func (t tokens) grouped(i int) bool {
	by := func(i int) bool { return t.at(i) == "by" || t.at(i) == "without" }
	if by(i + 1) {
		return true
	}
	depth := 0
	for i++; i < len(t); i++ {
		switch t[i] {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return by(i + 1)
			}
		}
	}
	return false
}

func isIdentifier(t string) bool {
	c := t[0]
	return c == '_' || c == ':' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
