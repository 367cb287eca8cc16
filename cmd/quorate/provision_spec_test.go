package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// provision runs a subcommand of quorate provision.
func provision(args ...string) (code int, stdout, stderr string) {
	return quorate(append([]string{"provision"}, args...)...)
}

func TestProvisionInitWritesAFileThatValidates(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	if code, out, errs := provision("init", "-f", file); code != 0 || !strings.Contains(out, "validate") {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
	if code, out, errs := provision("validate", "-f", file); code != 0 || !strings.Contains(out, " 0 errors") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if code, _, errs := provision("init", "-f", file); code != exitFailed || !strings.Contains(errs, "exists") {
		t.Errorf("exit %d, %q over a file that is there", code, errs)
	}
	if code, out, _ := provision("init", "-f", "-"); code != 0 || !strings.Contains(out, "apiVersion: quorate/v1") {
		t.Errorf("exit %d, %q", code, out)
	}
}

func TestProvisionValidateExitsWithWhatItFound(t *testing.T) {
	example, err := os.ReadFile("../../examples/homelab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	tests := []struct {
		name, old, new string
		file           string // instead of one with the changed example
		args           []string
		code           int
		want           string
	}{
		{"good", "", "", "", nil, 0, " 0 errors"},
		{"unknown key", "shutdownPolicy", "shutdownpolicy", "", nil, exitFailed, "cluster.yaml:73:5: spec.ha.shutdownpolicy: unknown key"},
		{"min_size 1", "minSize: 2", "minSize: 1", "", nil, exitPreflight, "error: PoolMinSize"},
		{"ignored", "minSize: 2", "minSize: 1", "", []string{"--ignore-preflight=PoolMinSize"}, 0, "[ignored]"},
		{"unknown check", "", "", "", []string{"--ignore-preflight=PoolMin"}, exitSyntax, `no check is called "PoolMin"`},
		{"no such file", "", "", "/nonexistent/cluster.yaml", nil, exitFailed, "quorate provision init"},
		{"no such flag", "", "", "", []string{"--nope"}, exitSyntax, "--nope"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := string(example)
			if test.old != "" {
				text = strings.ReplaceAll(text, test.old, test.new)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			given := test.file
			if given == "" {
				given = file
			}
			code, out, errs := provision(append([]string{"validate", "-f", given}, test.args...)...)
			if code != test.code || !strings.Contains(out+errs, test.want) {
				t.Errorf("exit %d, %q, %q", code, out, errs)
			}
		})
	}
}

func TestProvisionValidateAsJSON(t *testing.T) {
	code, out, errs := provision("validate", "-f", "../../examples/homelab.yaml", "-o", "json")
	var report struct {
		Findings []struct{ Check, Level, Found, Fix string }
		Passed   []string
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || len(report.Passed) < 20 || len(report.Findings) == 0 || report.Findings[0].Level != "warning" {
		t.Errorf("exit %d, %v, %s, %s", code, err, out, errs)
	}
}

func TestProvisionSchemaIsJSON(t *testing.T) {
	code, out, _ := provision("schema")
	var schema map[string]any
	if err := json.Unmarshal([]byte(out), &schema); err != nil || code != 0 || schema["$ref"] != "#/$defs/Cluster" {
		t.Errorf("exit %d, %v", code, err)
	}
}
