package provisionproof

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/session"
)

const dataDir = "../../../shared/data/proxmox"

// needData skips a test where the recordings are not beside the project.
func needData(t *testing.T, name string) string {
	t.Helper()
	p := filepath.Join(dataDir, name)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("recordings are not here (%v): the test needs %s", err, p)
	}
	return p
}

// A property is what the published schema says of a parameter. Numbers stand there as text at times.
type property struct {
	Type      string   `json:"type"`
	Optional  any      `json:"optional"`
	Enum      []string `json:"enum"`
	Minimum   any      `json:"minimum"`
	Maximum   any      `json:"maximum"`
	MaxLength int      `json:"maxLength"`
	MinLength int      `json:"minLength"`
	Pattern   string   `json:"pattern"`
	Requires  string   `json:"requires"`
}

type object struct {
	Properties map[string]property `json:"properties"`
	AllOf      []object            `json:"allOf"`
	OneOf      []object            `json:"oneOf"`
	Instance   string              `json:"instance-type"`
	TypeOf     *property           `json:"type-property-schema"`
	Additional any                 `json:"additionalProperties"`
}

// of are the properties for a value of the parameter "type".
func (o object) of(typ string) map[string]property {
	out := map[string]property{}
	for k, p := range o.Properties {
		out[k] = p
	}
	if o.TypeOf != nil {
		out["type"] = *o.TypeOf
	}
	for _, part := range append(o.AllOf, o.OneOf...) {
		if part.Instance != "" && part.Instance != typ {
			continue
		}
		for k, p := range part.of(typ) {
			out[k] = p
		}
	}
	return out
}

// A schema is the published one of a release, by path and method.
type schema map[string]map[string]struct {
	Parameters object `json:"parameters"`
}

func readSchema(t *testing.T, v pvefake.Version) schema {
	t.Helper()
	f, err := os.Open(needData(t, "pve-api-schema-"+string(v)+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Paths schema `json:"paths"`
	}
	if err := json.NewDecoder(z).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all.Paths
}

// route finds the path of the schema that a request is for, and the parameters that stand in it. Words
// come before variables.
func (s schema) route(method, path string) (template string, vars map[string]string, ok bool) {
	words := strings.Split(path, "/")
	best := -1
	for p, methods := range s {
		parts := strings.Split(p, "/")
		if _, has := methods[method]; !has || len(parts) != len(words) {
			continue
		}
		found, plain := map[string]string{}, 0
		for i, part := range parts {
			switch name, isVar := strings.CutPrefix(part, "{"); {
			case isVar:
				found[strings.TrimSuffix(name, "}")] = words[i]
			case part == words[i]:
				plain++
			default:
				plain = -1000
			}
		}
		if plain > best {
			template, vars, best = p, found, plain
		}
	}
	return template, vars, best >= 0
}

var indexed = regexp.MustCompile(`^(.*?)\d+$`)

// faults are what the schema says against a request.
func (s schema) faults(r request) []string {
	template, vars, ok := s.route(r.method, r.path)
	if !ok {
		return []string{"the release has no such method"}
	}
	given := map[string]string{}
	for k, v := range r.params {
		given[k] = v
	}
	for k, v := range vars {
		given[k] = v
	}
	params := s[template][r.method].Parameters.of(given["type"])
	var out []string
	for k, v := range given {
		p, ok := params[k]
		if m := indexed.FindStringSubmatch(k); !ok && m != nil {
			p, ok = params[m[1]+"[n]"]
		}
		if !ok {
			out = append(out, "there is no parameter "+k)
			continue
		}
		if why := p.fault(v); why != "" {
			out = append(out, fmt.Sprintf("%s=%q %s", k, v, why))
		}
		if _, has := given[p.Requires]; p.Requires != "" && !has {
			out = append(out, k+" needs "+p.Requires)
		}
	}
	for k, p := range params {
		if _, has := given[k]; !has && !strings.HasSuffix(k, "[n]") && fmt.Sprint(p.Optional) != "1" {
			out = append(out, k+" is missing")
		}
	}
	slices.Sort(out)
	return out
}

func (p property) fault(v string) string {
	number := func(bound any, beyond func(v, b float64) bool) bool {
		b, err := strconv.ParseFloat(fmt.Sprint(bound), 64)
		n, nerr := strconv.ParseFloat(v, 64)
		return bound != nil && err == nil && nerr == nil && beyond(n, b)
	}
	switch {
	case p.Type == "integer" && !regexp.MustCompile(`^-?\d+$`).MatchString(v):
		return "is no integer"
	case p.Type == "number" && !regexp.MustCompile(`^-?\d+(\.\d+)?$`).MatchString(v):
		return "is no number"
	case p.Type == "boolean" && !regexp.MustCompile(`(?i)^(1|0|on|off|yes|no|true|false)$`).MatchString(v):
		return "is no truth value"
	case len(p.Enum) > 0 && !slices.Contains(p.Enum, v):
		return fmt.Sprintf("is none of %v", p.Enum)
	case number(p.Minimum, func(v, b float64) bool { return v < b }), number(p.Maximum, func(v, b float64) bool { return v > b }):
		return fmt.Sprintf("is not in %v to %v", p.Minimum, p.Maximum)
	case p.MaxLength > 0 && len(v) > p.MaxLength, len(v) < p.MinLength:
		return fmt.Sprintf("has not %d to %d characters", p.MinLength, p.MaxLength)
	case p.Pattern != "":
		// Perl writes flags as (?^i:…); RE2 repeats no more than 1000 times, which maxLength bounds as well.
		expr := strings.NewReplacer("(?^:", "(?:", "(?^i:", "(?i:", "{0,4096}", "*").Replace(p.Pattern)
		if re, err := regexp.Compile("^(?:" + expr + ")$"); err != nil || !re.MatchString(v) {
			return fmt.Sprintf("does not fit %s (%v)", p.Pattern, err)
		}
	}
	return ""
}

// wholeRun is everything that plan, apply, preflight and verify send for w's file.
func wholeRun(t *testing.T, w *World) []request {
	t.Helper()
	s, out, stderr := newSession(t, w, session.FormatText)
	record := &wire{Set: s.Nodes}
	s.Nodes = record
	s.Preflight = session.Checks(w.Spec, w.Here(), stderr, w.Fake.Now, 4, []string{"all"})
	for range 2 { // the second one reads what is there
		if code, err := s.Apply(t.Context(), nil); code != 0 {
			t.Fatalf("exit %d, %v\n%s\n%s", code, err, out.String(), stderr.String())
		}
	}
	return record.all
}

func TestEveryRequestOfAWholeRunFitsThePublishedSchema(t *testing.T) {
	for _, v := range versions {
		for name, change := range map[string]func(*World){
			"home lab": func(*World) {}, "all that a file can say": func(w *World) { enrich(w.Spec, v) },
		} {
			t.Run(string(v)+" "+name, func(t *testing.T) {
				s := readSchema(t, v)
				w := newWorld(t, v)
				change(w)
				methods := map[string]int{}
				for _, r := range wholeRun(t, w) {
					template, _, _ := s.route(r.method, r.path)
					methods[r.method+" "+template]++
					for _, fault := range s.faults(r) {
						t.Errorf("%s: %s", r, fault)
					}
				}
				writes := 0
				for m, n := range methods {
					if !strings.HasPrefix(m, "GET ") {
						writes += n
					}
				}
				t.Logf("%d methods, %d writes", len(methods), writes)
				if len(methods) < 50 || writes < 50 {
					t.Errorf("%d methods and %d writes are no whole run", len(methods), writes)
				}
			})
		}
	}
}

// TestTheSchemaSeesWhatIsWrong shows that the check above can fail.
func TestTheSchemaSeesWhatIsWrong(t *testing.T) {
	s := readSchema(t, pvefake.V92)
	for _, tt := range []struct {
		name string
		r    request
		want string
	}{
		{"unknown method", request{method: "POST", path: "/storages"}, "no such method"},
		{"unknown parameter", request{method: "POST", path: "/storage", params: map[string]string{"storage": "a1", "type": "rbd", "pol": "x"}}, "no parameter pol"},
		{"missing", request{method: "POST", path: "/storage", params: map[string]string{"type": "rbd"}}, "storage is missing"},
		{"not of the list", request{method: "POST", path: "/cluster/ha/resources", params: map[string]string{"sid": "vm:100", "state": "running"}}, "is none of"},
		{"too long", request{method: "POST", path: "/cluster/config", params: map[string]string{"clustername": "homelab-clusters"}}, "characters"},
		{"too many", request{method: "POST", path: "/nodes/pve1/ceph/pool", params: map[string]string{"name": "a", "size": "9"}}, "is not in"},
		{"of another type", request{method: "POST", path: "/cluster/ha/rules", params: map[string]string{"rule": "a1", "type": "node-affinity", "resources": "vm:100", "nodes": "pve1", "affinity": "negative"}}, "no parameter affinity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(s.faults(tt.r), "; "); !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
