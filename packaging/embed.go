// Package packaging has the example configurations of Prometheus and Alertmanager in the program.
package packaging

import (
	"embed"
	"io/fs"
)

//go:embed */*.yml
var examples embed.FS

// The examples by their names in Examples.
const (
	Prometheus   = "prometheus/prometheus.yml"
	Alertmanager = "alertmanager/alertmanager.yml"
)

// Examples are the configurations as they are shipped.
func Examples() fs.FS { return examples }
