package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

const (
	alertmanagerName = "alertmanager"
	alertmanagerPath = "/usr/bin/prometheus-alertmanager" // Debian's
)

// AlertmanagerOptions say how Alertmanager runs.
type AlertmanagerOptions struct {
	Listen     string // e.g. 127.0.0.1:19093
	ConfigFile string
	DataDir    string // empty: below the lab's directory
}

// StartAlertmanager runs Alertmanager on the machine itself, without gossip, and returns when it is
// ready.
func (l *Lab) StartAlertmanager(ctx context.Context, o AlertmanagerOptions) error {
	if _, err := os.Stat(alertmanagerPath); err != nil {
		return fmt.Errorf("%w (apt install prometheus-alertmanager)", err)
	}
	if o.DataDir == "" {
		o.DataDir = filepath.Join(l.NodeDir(0), alertmanagerName)
	}
	if err := os.MkdirAll(o.DataDir, 0o755); err != nil {
		return err
	}
	err := l.StartDaemon(ctx, Daemon{Name: alertmanagerName, Argv: []string{alertmanagerPath,
		"--config.file=" + o.ConfigFile, "--storage.path=" + o.DataDir, "--web.listen-address=" + o.Listen,
		"--cluster.listen-address="}})
	if err != nil {
		return err
	}
	return l.waitAnswer(ctx, 0, alertmanagerName, "http://"+o.Listen+"/-/ready", func(code int) bool { return code == http.StatusOK })
}

// Alertmanager returns a configuration of Alertmanager at this pace whose receivers, under their names,
// all tell the webhook at url. Routes, grouping and inhibition are left as they are, and so is a
// receiver that tells nobody.
func (p Pace) Alertmanager(text []byte, url string) ([]byte, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	route := value(root(&file), "route")
	if route == nil {
		return nil, errors.New("a configuration without route")
	}
	if err := p.scaleRoute(route); err != nil {
		return nil, err
	}
	receivers := items(value(root(&file), "receivers"))
	if len(receivers) == 0 {
		return nil, errors.New("a configuration without receivers")
	}
	for _, receiver := range receivers {
		name := value(receiver, "name")
		if name == nil {
			return nil, fmt.Errorf("line %d: a receiver without name", receiver.Line)
		}
		if len(receiver.Content) <= 2 {
			continue // it tells nobody
		}
		webhook := map[string]any{"name": name.Value, "webhook_configs": []any{map[string]any{"url": url, "send_resolved": true}}}
		if err := receiver.Encode(webhook); err != nil {
			return nil, err
		}
	}
	return yaml.Marshal(&file)
}

func (p Pace) scaleRoute(route *yaml.Node) error {
	if err := p.scaleKeys(route, "group_wait", "group_interval", "repeat_interval"); err != nil {
		return err
	}
	for _, child := range items(value(route, "routes")) {
		if err := p.scaleRoute(child); err != nil {
			return err
		}
	}
	return nil
}
