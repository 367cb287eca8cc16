package dashboards

import (
	"embed"
	"io/fs"
)

//go:embed json/*.json
var generated embed.FS

//go:embed provisioning
var provisioning embed.FS

// Files are the dashboards as Grafana loads them, UID.json each.
func Files() fs.FS { return below(generated, "json") }

// Provisioning are Grafana's provisioning files: datasources/quorate.yaml and dashboards/quorate.yaml.
func Provisioning() fs.FS { return below(provisioning, "provisioning") }

func below(files embed.FS, dir string) fs.FS {
	sub, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	return sub
}
