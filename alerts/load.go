package alerts

import (
	"bytes"
	"fmt"
	"io/fs"

	"go.yaml.in/yaml/v3"
)

// A Group is a group of rules as it stands in a rule file.
type Group struct {
	File     string `yaml:"-"` // name of the rule file
	Name     string `yaml:"name"`
	Interval string `yaml:"interval,omitempty"` // empty: Prometheus' own
	Rules    []Rule `yaml:"rules"`
}

// A Rule is an alert or a recording rule: either Alert or Record is set.
type Rule struct {
	Alert       string            `yaml:"alert,omitempty"`
	Record      string            `yaml:"record,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"` // a Prometheus duration
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// Load reads the groups of all rule files in dir, in the order of the files' names. It fails at the
// first file that is no rule file, and names it.
func Load(dir fs.FS) ([]Group, error) {
	names, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return nil, err
	}
	var all []Group
	for _, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		var file struct {
			Groups []Group `yaml:"groups"`
		}
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(&file); err != nil {
			return nil, fmt.Errorf("rule file %s: %w", name, err)
		}
		for _, g := range file.Groups {
			g.File = name
			all = append(all, g)
		}
	}
	return all, nil
}
