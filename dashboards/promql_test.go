package dashboards

import (
	"regexp"
	"slices"
	"strings"
)

// A reading is what the tests want to know of an expression. Prometheus judges the syntax.
type reading struct {
	selectors []selector
	groupings []grouping // by, without, on, ignoring
	ranges    []ranged
}

type selector struct {
	name     string
	matchers map[string]string // values by label
}

type grouping struct {
	word   string
	labels []string
}

// A ranged selector is an argument of a function.
type ranged struct{ function, name, duration string }

var (
	token = regexp.MustCompile(`\s+|"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9][0-9a-zA-Z_.]*|=~|!~|!=|==|>=|<=|.`)

	groupingWords = strings.Fields("by without on ignoring group_left group_right")
	otherWords    = strings.Fields("and or unless bool offset")
)

// readPromQL reads an expression with Grafana's variables in it.
func readPromQL(expr string) reading {
	var r reading
	tokens := slices.DeleteFunc(token.FindAllString(expr, -1), func(t string) bool { return strings.TrimSpace(t) == "" })
	at := func(i int) string {
		if i >= 0 && i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	function := ""
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case t[0] == '[' && len(r.selectors) > 0:
			r.ranges = append(r.ranges, ranged{function, r.selectors[len(r.selectors)-1].name, strings.Trim(t, "[]")})
		case !isIdentifier(t), slices.Contains(otherWords, t), at(i-1) == "$":
		case slices.Contains(groupingWords, t):
			g := grouping{word: t}
			for i += 2; at(i) != ")" && at(i) != ""; i++ {
				if at(i) != "," {
					g.labels = append(g.labels, at(i))
				}
			}
			r.groupings = append(r.groupings, g)
		case at(i+1) == "(", at(i+1) == "by", at(i+1) == "without":
			function = t
		default:
			s := selector{t, map[string]string{}}
			if at(i+1) == "{" {
				for i += 2; at(i) != "}" && at(i) != ""; i++ {
					if strings.HasPrefix(at(i+2), `"`) {
						s.matchers[at(i)] = strings.Trim(at(i+2), `"`)
						i += 2
					}
				}
			}
			r.selectors = append(r.selectors, s)
		}
	}
	return r
}

func isIdentifier(t string) bool {
	c := t[0]
	return c == '_' || c == ':' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
