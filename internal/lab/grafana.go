package lab

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/prometheus/common/model"
)

// What the shipped provisioning files say of a user's machine, which a demo's must say of itself.
const (
	shippedPrometheus = "http://localhost:9090"
	shippedInterval   = "timeInterval: 15s"
	shippedDashboards = "/etc/prometheus/quorate/dashboards"
)

// writeGrafana writes a folder that a Grafana on this machine can be started on: the dashboards, and
// provisioning files for them and for the demo's Prometheus.
func writeGrafana(dir string, o DemoOptions, prometheus string) error {
	pages := filepath.Join(dir, "dashboards")
	if err := copyFiles(pages, o.Dashboards, "*.json", nil); err != nil {
		return err
	}
	here := map[string]string{
		shippedPrometheus: "http://" + prometheus,
		shippedInterval:   "timeInterval: " + model.Duration(o.Pace.Of(demoInterval)).String(),
		shippedDashboards: pages,
	}
	if err := copyFiles(filepath.Join(dir, "provisioning", "dashboards"), o.Provisioning, "dashboards/*.yaml", here); err != nil {
		return err
	}
	return copyFiles(filepath.Join(dir, "provisioning", "datasources"), o.Provisioning, "datasources/*.yaml", here)
}

// copyFiles writes the files that match pattern to dir, with the keys of replace replaced.
func copyFiles(dir string, files fs.FS, pattern string, replace map[string]string) error {
	names, err := fs.Glob(files, pattern)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("there is no %s", pattern)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		changed := string(text)
		for old, now := range replace {
			changed = strings.ReplaceAll(changed, old, now)
		}
		if err := writeFile(filepath.Join(dir, path.Base(name)), []byte(changed), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// grafanaHint is how to look at the dashboards, with a Grafana that is installed or in a container.
func grafanaHint(dir string) string {
	return fmt.Sprintf(`
Dashboards are in %[1]s. Start a Grafana (10 to 12) on them, and open http://127.0.0.1:3000/d/quorate-cluster
  GF_PATHS_PROVISIONING=%[1]s/provisioning GF_PATHS_DATA=%[1]s/data GF_AUTH_ANONYMOUS_ENABLED=true grafana server --homepath /usr/share/grafana
or
  docker run --rm --network host -v %[1]s:%[1]s:ro -e GF_PATHS_PROVISIONING=%[1]s/provisioning -e GF_AUTH_ANONYMOUS_ENABLED=true grafana/grafana:12.0.0
`, dir)
}
