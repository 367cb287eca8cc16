package alerts

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A reading is what the tests want to know of a PromQL expression. promtool judges the syntax, so
// this need not.
type reading struct {
	selectors []selector
	calls     []string   // functions
	groupings []grouping // by, without, on, ignoring
	bare      []string   // aggregations without by or without
	durations []string
}

// A selector is a metric name with its label matchers.
type selector struct {
	name     string
	matchers []matcher
}

type matcher struct{ label, op, value string }

// A grouping is a list of labels after by, without, on, ignoring, group_left or group_right.
type grouping struct {
	word   string
	labels []string
}

var token = regexp.MustCompile(`\s+|#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|` + "`[^`]*`" +
	`|[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9][0-9a-zA-Z_.]*|=~|!~|!=|==|>=|<=|.`)

var (
	promqlAggregations = strings.Fields("sum min max avg group stddev stdvar count count_values bottomk topk quantile limitk limit_ratio")
	promqlGroupings    = strings.Fields("by without on ignoring group_left group_right")
	promqlWords        = strings.Fields("and or unless bool offset inf nan start end atan2")
)

// readPromQL reads an expression.
func readPromQL(expr string) (reading, error) {
	var r reading
	var tokens []string
	for _, t := range token.FindAllString(expr, -1) {
		if strings.TrimSpace(t) != "" && !strings.HasPrefix(t, "#") {
			tokens = append(tokens, t)
		}
	}
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case t == "[":
			for ; i < len(tokens) && tokens[i] != "]"; i++ {
				if c := tokens[i][0]; c >= '0' && c <= '9' {
					r.durations = append(r.durations, tokens[i])
				}
			}
		case t == "{":
			return r, fmt.Errorf("a selector without a metric name in %q", expr)
		case !isIdentifier(t):
		case slices.Contains(promqlGroupings, strings.ToLower(t)):
			g := grouping{word: strings.ToLower(t)}
			if at(i+1) == "(" {
				for i += 2; i < len(tokens) && tokens[i] != ")"; i++ {
					if tokens[i] != "," {
						g.labels = append(g.labels, tokens[i])
					}
				}
			}
			r.groupings = append(r.groupings, g)
		case slices.Contains(promqlWords, strings.ToLower(t)):
		case slices.Contains(promqlAggregations, t):
			if !aggregationHasGrouping(tokens, i) {
				r.bare = append(r.bare, t)
			}
		case at(i+1) == "(":
			r.calls = append(r.calls, t)
		default:
			s := selector{name: t}
			if at(i+1) == "{" {
				for i += 2; i < len(tokens) && tokens[i] != "}"; i++ {
					if at(i+1) == "=" || at(i+1) == "!=" || at(i+1) == "=~" || at(i+1) == "!~" {
						s.matchers = append(s.matchers, matcher{tokens[i], tokens[i+1], unquote(at(i + 2))})
						i += 2
					}
				}
			}
			r.selectors = append(r.selectors, s)
		}
	}
	return r, nil
}

func isIdentifier(t string) bool {
	c := t[0]
	return c == '_' || c == ':' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func unquote(t string) string {
	if len(t) >= 2 {
		return t[1 : len(t)-1]
	}
	return t
}

// aggregationHasGrouping reports whether by or without stands before or after the aggregation's
// parentheses.
func aggregationHasGrouping(tokens []string, i int) bool {
	grouped := func(i int) bool { return i < len(tokens) && (tokens[i] == "by" || tokens[i] == "without") }
	if grouped(i + 1) {
		return true
	}
	depth := 0
	for i++; i < len(tokens); i++ {
		switch tokens[i] {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return grouped(i + 1)
			}
		}
	}
	return false
}

// A series is an input series of a promtool test: NAME{LABEL="VALUE", …}.
func readSeries(text string) (selector, error) {
	r, err := readPromQL(text)
	if err != nil {
		return selector{}, err
	}
	if len(r.selectors) != 1 {
		return selector{}, fmt.Errorf("%q is no series", text)
	}
	return r.selectors[0], nil
}
