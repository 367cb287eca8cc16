package alerts

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/quorate/quorate/internal/promql"
)

var (
	severities = []string{"critical", "warning", "info"}
	subjects   = []string{"quorum", "links", "exporter", "ceph", "ha", "migration", "backups"}
)

// Names that published rule sets and tutorials use.
func TestRulesHaveTheFieldsNames(t *testing.T) {
	var names []string
	for _, a := range alertRules(t) {
		names = append(names, a.Alert)
	}
	for _, want := range []string{"ClusterQuorumLost", "NodeDown", "CephHealthError", "HAMigrationFailed"} {
		if !slices.Contains(names, want) {
			t.Errorf("no alert is named %s", want)
		}
	}
}

func TestRulesAreLabelledAndAnnotated(t *testing.T) {
	seen := map[string]string{}
	for _, a := range alertRules(t) {
		t.Run(a.Alert, func(t *testing.T) {
			if other, dup := seen[a.Alert]; dup {
				t.Errorf("is in %s and in %s", other, a.file)
			}
			seen[a.Alert] = a.file
			if !slices.Contains(severities, a.Labels["severity"]) {
				t.Errorf("severity %q is none of %q", a.Labels["severity"], severities)
			}
			if got := a.Labels["subject"]; got != a.subject() || !slices.Contains(subjects, got) {
				t.Errorf("subject %q in file %s", got, a.file)
			}
			for _, name := range []string{"summary", "description"} {
				if strings.TrimSpace(a.Annotations[name]) == "" {
					t.Errorf("has no %s", name)
				}
			}
			if !strings.Contains(a.Annotations["description"]+a.Annotations["summary"], "{{") {
				t.Error("neither summary nor description has a value")
			}
			if want := "https://github.com/quorate/quorate/blob/main/docs/runbooks/" + a.Alert + ".md"; a.Annotations["runbook_url"] != want {
				t.Errorf("runbook_url is %q, want %q", a.Annotations["runbook_url"], want)
			}
			if a.For == "" {
				t.Error("has no for")
			}
		})
	}
}

// A number that nobody derived is one that nobody dares to change.
func TestRulesSayWhereForComesFrom(t *testing.T) {
	for _, name := range glob(t, "rules/*.yaml") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		eachMapping(&doc, func(m *yaml.Node) {
			alert, comment := "", ""
			for i := 0; i+1 < len(m.Content); i += 2 {
				key, value := m.Content[i], m.Content[i+1]
				switch key.Value {
				case "alert":
					alert = value.Value
				case "for":
					comment = key.HeadComment + key.LineComment + value.LineComment
				}
				if i > 0 && m.Content[i].Value == "for" { // a comment above may be taken for the end of the key before
					comment += m.Content[i-2].FootComment
				}
			}
			if alert != "" && len(strings.Trim(comment, "# \n")) < 10 {
				t.Errorf("%s: %s: no comment says what for is derived from", name, alert)
			}
		})
	}
}

func eachMapping(n *yaml.Node, do func(*yaml.Node)) {
	if n.Kind == yaml.MappingNode {
		do(n)
	}
	for _, c := range n.Content {
		eachMapping(c, do)
	}
}

// A rule on a metric or a label that does not exist never fires, and nobody notices.
func TestRulesUseWhatExists(t *testing.T) {
	known := metricLabels(t)
	groups := loaded(t)
	recorded := map[string]bool{}
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				recorded[r.Record] = true
				if !strings.Contains(r.Record, ":") {
					t.Errorf("%s: recording rule %s has no colon in its name", g.File, r.Record)
				}
			}
		}
	}
	for _, g := range groups {
		for _, r := range g.Rules {
			read, err := promql.Read(r.Expr)
			if err != nil {
				t.Errorf("%s: %s%s: %v", g.File, r.Alert, r.Record, err)
			}
			for _, s := range read.Selectors {
				labels, ok := known[s.Name]
				if !ok && !recorded[s.Name] {
					t.Errorf("%s: %s%s: nothing exports %s", g.File, r.Alert, r.Record, s.Name)
				}
				for _, m := range s.Matchers {
					if ok && !slices.Contains(labels, m.Label) && !slices.Contains(targetLabels, m.Label) {
						t.Errorf("%s: %s%s: %s has no label %s", g.File, r.Alert, r.Record, s.Name, m.Label)
					}
				}
			}
		}
	}
}

// What is not in a test's input as the exporter has it proves nothing.
func TestRuleTestsUseWhatExists(t *testing.T) {
	known := metricLabels(t)
	for _, u := range unitTests(t) {
		for _, test := range u.Tests {
			for _, in := range test.Input {
				s, err := promql.ReadSeries(in.Series)
				if err != nil {
					t.Errorf("%s: %s: %v", u.file, test.Name, err)
					continue
				}
				labels, ok := known[s.Name]
				if !ok {
					t.Errorf("%s: %s: nothing exports %s", u.file, test.Name, in.Series)
					continue
				}
				var have []string
				for _, m := range s.Matchers {
					have = append(have, m.Label)
					if !slices.Contains(labels, m.Label) && !slices.Contains(targetLabels, m.Label) {
						t.Errorf("%s: %s: %s has no label %s", u.file, test.Name, s.Name, m.Label)
					}
				}
				for _, l := range labels {
					if !slices.Contains(have, l) && !strings.HasSuffix(s.Name, "_info") && !strings.HasSuffix(s.Name, "_metadata") {
						t.Errorf("%s: %s: %s lacks label %s", u.file, test.Name, in.Series, l)
					}
				}
			}
		}
	}
}

// Without a cluster in by and on, one cluster's good state hides another's loss of quorum.
func TestRulesKeepClustersApart(t *testing.T) {
	for _, g := range loaded(t) {
		for _, r := range g.Rules {
			read, err := promql.Read(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			name := g.File + ": " + r.Alert + r.Record
			for _, bare := range read.Bare {
				t.Errorf("%s: %s without by or without", name, bare)
			}
			for _, gr := range read.Groupings {
				has := slices.Contains(gr.Labels, "cluster")
				switch gr.Word {
				case "by", "on":
					if !has {
						t.Errorf("%s: %s (%s) lacks cluster", name, gr.Word, strings.Join(gr.Labels, ", "))
					}
				case "without", "ignoring":
					if has {
						t.Errorf("%s: %s drops cluster", name, gr.Word)
					}
				}
			}
			for _, call := range []string{"absent", "absent_over_time", "scalar"} {
				// That there are no targets at all can be said of no cluster.
				if slices.Contains(read.Calls, call) && r.Alert != "QuorateNoTargets" {
					t.Errorf("%s: %s() loses the cluster", name, call)
				}
			}
			for _, s := range read.Selectors {
				for _, m := range s.Matchers {
					if m.Label == "job" && (s.Name != "up" || m.Value != "proxmox") {
						t.Errorf("%s: %s is selected by job", name, s.Name)
					}
				}
			}
		}
	}
}

func TestRulesAllHaveTwoTests(t *testing.T) {
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, u := range unitTests(t) {
		if strings.HasSuffix(u.file, "copied_test.yaml") {
			continue
		}
		for _, test := range u.Tests {
			if test.Name == "" {
				t.Errorf("%s: a test has no name", u.file)
			}
			for _, a := range test.Alerts {
				if len(a.Expected) > 0 {
					fires[a.Name] = true
				} else {
					silent[a.Name] = true
				}
				for _, e := range a.Expected {
					if _, ok := e.Labels["instance"]; ok {
						t.Errorf("%s: %s: %s has the label instance: three exporters would be three alerts", u.file, test.Name, a.Name)
					}
				}
			}
		}
	}
	for _, a := range alertRules(t) {
		if !fires[a.Alert] {
			t.Errorf("%s: no test makes %s fire", a.file, a.Alert)
		}
		if !silent[a.Alert] {
			t.Errorf("%s: no test keeps %s silent", a.file, a.Alert)
		}
		delete(fires, a.Alert)
		delete(silent, a.Alert)
	}
	for name := range fires {
		t.Errorf("a test expects %s, which is no alert", name)
	}
	for name := range silent {
		t.Errorf("a test keeps %s silent, which is no alert", name)
	}
}

// A test that has none of the series that an alert reads keeps it silent whatever the rule says.
func TestRulesAreKeptSilentByWhatTheyRead(t *testing.T) {
	reads := metricsOf(t)
	for _, u := range unitTests(t) {
		if strings.HasSuffix(u.file, "copied_test.yaml") {
			continue
		}
		for _, test := range u.Tests {
			have := map[string]bool{}
			for _, in := range test.Input {
				s, err := promql.ReadSeries(in.Series)
				if err != nil {
					t.Fatal(err)
				}
				have[s.Name] = true
			}
			for _, a := range test.Alerts {
				if metrics, ok := reads[a.Name]; ok && len(a.Expected) == 0 && !slices.ContainsFunc(metrics, func(m string) bool { return have[m] }) {
					t.Errorf("%s: %s: nothing that %s reads is there", u.file, test.Name, a.Name)
				}
			}
		}
	}
}

// metricsOf are the metrics that each alert reads, also by way of recording rules.
func metricsOf(t *testing.T) map[string][]string {
	direct := map[string][]string{} // by alert or recording rule
	for _, g := range loaded(t) {
		for _, r := range g.Rules {
			read, err := promql.Read(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range read.Selectors {
				direct[r.Alert+r.Record] = append(direct[r.Alert+r.Record], s.Name)
			}
		}
	}
	var follow func(name string, seen map[string]bool)
	follow = func(name string, seen map[string]bool) {
		for _, n := range direct[name] {
			if !seen[n] {
				seen[n] = true
				follow(n, seen)
			}
		}
	}
	all := map[string][]string{}
	for _, a := range alertRules(t) {
		seen := map[string]bool{}
		follow(a.Alert, seen)
		for n := range seen {
			all[a.Alert] = append(all[a.Alert], n)
		}
	}
	return all
}

// A label that the alert does not have is an empty word in the text of a page.
func TestRulesNameLabelsThatTheAlertHas(t *testing.T) {
	has := map[string]map[string]bool{}
	for _, u := range unitTests(t) {
		for _, test := range u.Tests {
			for _, a := range test.Alerts {
				for _, e := range a.Expected {
					for l := range e.Labels {
						if has[a.Name] == nil {
							has[a.Name] = map[string]bool{}
						}
						has[a.Name][l] = true
					}
				}
			}
		}
	}
	label := regexp.MustCompile(`\$labels\.(\w+)`)
	for _, a := range alertRules(t) {
		if has[a.Alert] == nil {
			continue // TestRulesAllHaveTwoTests tells
		}
		for _, text := range a.Annotations {
			for _, m := range label.FindAllStringSubmatch(text, -1) {
				if m[1] != "cluster" && !has[a.Alert][m[1]] {
					t.Errorf("%s: in no test %s has the label %s that its text names", a.file, a.Alert, m[1])
				}
			}
		}
	}
}

var runbookSections = []string{"Meaning", "Confirm", "Likely causes", "What to do", "Never", "Over when"}

func TestRulesHaveRunbooks(t *testing.T) {
	pages := map[string]bool{}
	for _, name := range glob(t, runbooksDir+"/*.md") {
		if base := filepath.Base(name); base != "README.md" {
			pages[strings.TrimSuffix(base, ".md")] = true
		}
	}
	heading := regexp.MustCompile(`(?m)^## (.*)$`)
	for _, a := range alertRules(t) {
		t.Run(a.Alert, func(t *testing.T) {
			delete(pages, a.Alert)
			text, err := os.ReadFile(filepath.Join(runbooksDir, a.Alert+".md"))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "# "+a.Alert+"\n") {
				t.Errorf("the page does not begin with # %s", a.Alert)
			}
			parts := heading.FindAllStringSubmatchIndex(string(text), -1)
			var have []string
			for i, p := range parts {
				title, end := string(text[p[2]:p[3]]), len(text)
				have = append(have, title)
				if i+1 < len(parts) {
					end = parts[i+1][0]
				}
				body := strings.TrimSpace(string(text[p[1]:end]))
				if len(body) < 20 {
					t.Errorf("section %s says nothing", title)
				}
				if title == "Confirm" && !strings.Contains(body, "```") {
					t.Error("section Confirm has no command in a ``` block")
				}
			}
			if !slices.Equal(have, runbookSections) {
				t.Errorf("sections are %q, want %q", have, runbookSections)
			}
		})
	}
	for page := range pages {
		t.Errorf("runbook %s.md is of no alert", page)
	}
}
