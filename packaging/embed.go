// Package packaging has in the program what is installed beside it: the example configurations of
// Prometheus and Alertmanager, and the unit of the exporter.
package packaging

import (
	"embed"
	"io/fs"
	"strings"
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

//go:embed systemd/quorate.service
var unit string

// packaged is where the Debian package has the program.
const packaged = "/usr/bin/quorate"

// Unit is the exporter's unit of systemd for a program that lies at path.
func Unit(path string) string { return strings.ReplaceAll(unit, packaged, path) }
