package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// PagingOptions say what watches a lab's exporters and whom it tells.
type PagingOptions struct {
	// Rule files (*.yaml) and configurations, as shipped.
	Rules        fs.FS
	Prometheus   []byte
	Alertmanager []byte

	Exporters map[int]string // addresses on the machine, by node
	Pace      Pace
	Interval  time.Duration // of scrapes and evaluations, before Pace; 0: as shipped

	// Addresses on the machine that the three programs listen on.
	ListenPrometheus, ListenAlertmanager, ListenPager string
}

// StartPaging runs what turns the exporters' series into pages: Prometheus with the rules, Alertmanager,
// and the webhook that it tells. It returns when all three answer.
func (l *Lab) StartPaging(ctx context.Context, o PagingOptions) error {
	dir := l.NodeDir(0)
	rules, err := o.Pace.writeRules(o.Rules, filepath.Join(dir, "rules"))
	if err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	routes, err := o.Pace.Alertmanager(o.Alertmanager, "http://"+o.ListenPager+"/")
	if err != nil {
		return fmt.Errorf("configuration of Alertmanager: %w", err)
	}
	scrapes, err := o.prometheusConfig(rules)
	if err != nil {
		return fmt.Errorf("configuration of Prometheus: %w", err)
	}
	routesPath, scrapesPath := filepath.Join(dir, "alertmanager.yml"), filepath.Join(dir, "prometheus.yml")
	if err := writeFile(routesPath, routes, 0o644); err != nil {
		return err
	}
	if err := writeFile(scrapesPath, scrapes, 0o644); err != nil {
		return err
	}
	if err := l.StartPager(ctx, o.ListenPager); err != nil {
		return err
	}
	if err := l.StartAlertmanager(ctx, AlertmanagerOptions{Listen: o.ListenAlertmanager, ConfigFile: routesPath}); err != nil {
		return err
	}
	return l.StartPrometheus(ctx, PrometheusOptions{Listen: o.ListenPrometheus, ConfigFile: scrapesPath, Pace: o.Pace})
}

type object = map[string]any

// prometheusConfig is the shipped one with the lab's targets, under the names that they have in it. A
// scrape may take as long as the interval: a daemon answers no faster because the rules are in a hurry.
func (o PagingOptions) prometheusConfig(rules []string) ([]byte, error) {
	var shipped struct {
		Global  object   `yaml:"global"`
		Scrapes []object `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(o.Prometheus, &shipped); err != nil {
		return nil, err
	}
	if len(shipped.Scrapes) == 0 {
		return nil, errors.New("it scrapes nothing")
	}
	interval, err := o.interval(shipped.Global)
	if err != nil {
		return nil, err
	}
	for _, job := range shipped.Scrapes {
		if job["static_configs"], err = o.targets(job); err != nil {
			return nil, fmt.Errorf("job %v: %w", job["job_name"], err)
		}
	}
	return yaml.Marshal(object{
		"global":         object{"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
		"rule_files":     rules,
		"alerting":       object{"alertmanagers": []object{{"static_configs": []object{{"targets": []string{o.ListenAlertmanager}}}}}},
		"scrape_configs": shipped.Scrapes,
	})
}

func (o PagingOptions) interval(global object) (string, error) {
	if o.Interval != 0 {
		return model.Duration(o.Pace.Of(o.Interval)).String(), nil
	}
	if global["scrape_interval"] != global["evaluation_interval"] {
		return "", fmt.Errorf("it scrapes every %v and evaluates every %v: rules are written for one interval", global["scrape_interval"], global["evaluation_interval"])
	}
	return o.Pace.scale(fmt.Sprint(global["scrape_interval"]))
}

// targets are the lab's exporters with the labels that a job gives its own.
func (o PagingOptions) targets(job object) ([]object, error) {
	for _, key := range []string{"scrape_interval", "scrape_timeout"} {
		if job[key] != nil {
			return nil, fmt.Errorf("it has a %s of its own", key)
		}
	}
	groups, _ := job["static_configs"].([]any)
	if len(groups) != 1 {
		return nil, fmt.Errorf("it has %d static_configs, one was expected", len(groups))
	}
	group, _ := groups[0].(object)
	shared, _ := group["labels"].(object)
	var targets []object
	for _, node := range slices.Sorted(maps.Keys(o.Exporters)) {
		labels := object{"instance": NodeName(node) + ":9921"}
		maps.Copy(labels, shared)
		targets = append(targets, object{"targets": []string{o.Exporters[node]}, "labels": labels})
	}
	return targets, nil
}
