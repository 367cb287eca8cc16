package lab

import (
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestPaceDividesWhatIsADurationInAnExpression(t *testing.T) {
	for _, test := range []struct{ name, expr, want string }{
		{"nothing to do", `max by (cluster) (corosync_quorate) == 0`, `max by (cluster) (corosync_quorate) == 0`},
		{"range", `increase(x_total[10m]) > 0`, `increase(x_total[1m]) > 0`},
		{"range of two units", `rate(x[1m30s])`, `rate(x[9s])`},
		{"less than a second", `rate(x[5s])`, `rate(x[500ms])`},
		{"subquery", `max_over_time(up[30m:1m])`, `max_over_time(up[3m:6s])`},
		{"subquery with the default step", `max_over_time((a > b)[1h:])`, `max_over_time((a > b)[6m:])`},
		{"spaces in brackets", `rate(x[ 5m ])`, `rate(x[30s])`},
		{"offset", `x offset 1h > x`, `x offset 6m > x`},
		{"offset into the future", `x OFFSET -10m`, `x OFFSET -1m`},
		{"range and offset", `rate(x[5m] offset 10m)`, `rate(x[30s] offset 1m)`},
		{"a label called offset", `sum by (offset, node) (x)`, `sum by (offset, node) (x)`},
		{"a metric that begins so", `offset_seconds > 5`, `offset_seconds > 5`},
		{"seconds are numbers", `time() - x_timestamp_seconds > 120`, `time() - x_timestamp_seconds > 120`},
		{"strings", `x{a="[5m] offset 5m",b='\'[1m]',c=~"\"[1h]"}`, `x{a="[5m] offset 5m",b='\'[1m]',c=~"\"[1h]"}`},
		{"comments", "x # within [5m] offset 5m\n> rate(y[5m])", "x # within [5m] offset 5m\n> rate(y[30s])"},
		{"recorded series", `cluster:quorate:max[5m]`, `cluster:quorate:max[30s]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Pace(10).Expr(test.expr)
			if err != nil || got != test.want {
				t.Errorf("got  %s (%v)\nwant %s", got, err, test.want)
			}
		})
	}
	for _, wrong := range []string{`rate(x[5m)`, `x{a="b}`, `rate(x[5 minutes])`} {
		if got, err := Pace(10).Expr(wrong); err == nil {
			t.Errorf("%s became %s", wrong, got)
		}
	}
}

const someRules = `groups:
  - name: links
    interval: 30s
    rules:
      - record: link:down:increase
        expr: increase(corosync_link_down_total[10m])
      # why
      - alert: LinkFlapping
        expr: |
          link:down:increase >= 2
            and on () rate(x[5m]) > 10
        for: 5m
        keep_firing_for: 15m
        labels: {severity: warning}
        annotations:
          description: 'Went down {{ $value }} times in 10m, not [5m].'
      - alert: AtOnce
        expr: up == 0
        for: 0s
`

func TestPaceDividesAllDurationsOfARuleAndNothingElse(t *testing.T) {
	text, err := Pace(10).Rules([]byte(someRules))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Groups []struct {
			Interval string
			Rules    []struct {
				Alert, Expr, For string
				KeepFiringFor    string            `yaml:"keep_firing_for"`
				Annotations      map[string]string `yaml:"annotations"`
			}
		}
	}
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	group := got.Groups[0]
	for what, pair := range map[string][2]string{
		"interval":        {group.Interval, "3s"},
		"recorded range":  {group.Rules[0].Expr, "increase(corosync_link_down_total[1m])"},
		"for":             {group.Rules[1].For, "30s"},
		"keep_firing_for": {group.Rules[1].KeepFiringFor, "1m30s"},
		"for of nothing":  {group.Rules[2].For, "0s"},
		"text":            {group.Rules[1].Annotations["description"], "Went down {{ $value }} times in 10m, not [5m]."},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, not %q", what, pair[0], pair[1])
		}
	}
	if expr := group.Rules[1].Expr; !strings.Contains(expr, "rate(x[30s]) > 10") {
		t.Errorf("the expression became %s", expr)
	}
	if _, err := Pace(10).Rules([]byte("groups: [{name: a, rules: [{alert: B, expr: up, for: soon}]}]")); err == nil {
		t.Error("a duration that is none was accepted")
	}
}

func TestPaceOfNothingIsAsWritten(t *testing.T) {
	for _, p := range []Pace{0, 1} {
		if got := p.Of(time.Minute); got != time.Minute {
			t.Errorf("at pace %g a minute takes %s", p, got)
		}
	}
	if got, err := Pace(1e9).scale("1s"); err != nil || got != "1ms" {
		t.Errorf("a second became %s (%v), not the shortest duration there is", got, err)
	}
}

const someScrapes = `global: {scrape_interval: 15s, scrape_timeout: 10s, evaluation_interval: 15s}
rule_files: [/etc/prometheus/rules/*.yaml]
scrape_configs:
  - job_name: proxmox
    params: {"exclude[]": [ceph]}
    static_configs: [{targets: ["pve1:9921"], labels: {cluster: pve}}]
  - job_name: ceph
    metrics_path: /ceph
    static_configs: [{targets: ["pve1:9921"]}]
`

func TestLabScrapesItsExportersAsTheShippedConfigurationDoes(t *testing.T) {
	o := PagingOptions{Prometheus: []byte(someScrapes), Exporters: map[int]string{2: "127.0.0.1:2", 1: "127.0.0.1:1"}, Pace: 10, ListenAlertmanager: "127.0.0.1:9"}
	text, err := o.prometheusConfig([]string{"/lab/rules/a.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `alerting:
    alertmanagers:
        - static_configs:
            - targets:
                - 127.0.0.1:9
global:
    evaluation_interval: 1s500ms
    scrape_interval: 1s500ms
    scrape_timeout: 1s500ms
rule_files:
    - /lab/rules/a.yaml
scrape_configs:
    - job_name: proxmox
      params:
        exclude[]:
            - ceph
      static_configs:
        - labels:
            cluster: pve
            instance: pve1:9921
          targets:
            - 127.0.0.1:1
        - labels:
            cluster: pve
            instance: pve2:9921
          targets:
            - 127.0.0.1:2
    - job_name: ceph
      metrics_path: /ceph
      static_configs:
        - labels:
            instance: pve1:9921
          targets:
            - 127.0.0.1:1
        - labels:
            instance: pve2:9921
          targets:
            - 127.0.0.1:2
`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	for _, wrong := range []string{"", "scrape_configs: [{job_name: a}]", strings.Replace(someScrapes, "evaluation_interval: 15s", "evaluation_interval: 1m", 1)} {
		o.Prometheus = []byte(wrong)
		if _, err := o.prometheusConfig(nil); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}

const someRoutes = `global: {resolve_timeout: 5m}
route:
  receiver: day
  group_by: [alertname, cluster]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes:
    - matchers: [severity="critical"]
      receiver: pager
      group_wait: 0s
inhibit_rules:
  - source_matchers: [alertname="NodeDown"]
    target_matchers: [severity="warning"]
    equal: [cluster, node]
receivers:
  - name: pager
    pagerduty_configs: [{routing_key: secret}]
  - name: day
    email_configs: [{to: ops@example.invalid}]
  - name: nobody
`

func TestPaceLeavesRoutesAndTakesOverReceivers(t *testing.T) {
	text, err := Pace(10).Alertmanager([]byte(someRoutes), "http://127.0.0.1:1/")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Route struct {
			Receiver       string
			GroupBy        []string `yaml:"group_by"`
			GroupWait      string   `yaml:"group_wait"`
			GroupInterval  string   `yaml:"group_interval"`
			RepeatInterval string   `yaml:"repeat_interval"`
			Routes         []struct {
				Receiver  string
				GroupWait string `yaml:"group_wait"`
			}
		}
		Inhibit   []any `yaml:"inhibit_rules"`
		Receivers []struct {
			Name     string
			Webhooks []struct {
				URL string
			} `yaml:"webhook_configs"`
			PagerDuty []any `yaml:"pagerduty_configs"`
			Email     []any `yaml:"email_configs"`
		}
	}
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	route := got.Route
	if route.GroupWait != "3s" || route.GroupInterval != "30s" || route.RepeatInterval != "24m" || route.Routes[0].GroupWait != "0s" {
		t.Errorf("durations are %+v", route)
	}
	if route.Receiver != "day" || len(route.GroupBy) != 2 || route.Routes[0].Receiver != "pager" || len(got.Inhibit) != 1 {
		t.Errorf("routes are not as they were: %s", text)
	}
	for i, name := range []string{"pager", "day"} {
		r := got.Receivers[i]
		if r.Name != name || len(r.Webhooks) != 1 || r.Webhooks[0].URL != "http://127.0.0.1:1/" || len(r.PagerDuty)+len(r.Email) > 0 {
			t.Errorf("receiver %s is %+v", name, r)
		}
	}
	if nobody := got.Receivers[2]; nobody.Name != "nobody" || len(nobody.Webhooks) > 0 {
		t.Errorf("who told nobody is %+v", nobody)
	}
	for _, wrong := range []string{"", "route: {receiver: a}", "receivers: [{name: a}]", "route: {group_wait: soon}\nreceivers: [{name: a}]"} {
		if _, err := Pace(10).Alertmanager([]byte(wrong), "http://127.0.0.1:1/"); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}
