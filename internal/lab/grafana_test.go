package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/quorate/quorate/dashboards"
)

func TestDemoWritesAFolderForGrafana(t *testing.T) {
	dir := t.TempDir()
	o := DemoOptions{Dashboards: dashboards.Files(), Provisioning: dashboards.Provisioning(), Pace: 5}
	if err := writeGrafana(dir, o, "127.0.0.1:19920"); err != nil {
		t.Fatal(err)
	}
	read := func(name string, into any) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, "provisioning", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	var sources struct {
		Datasources []struct {
			Type, URL string
			JSONData  map[string]string `yaml:"jsonData"`
		}
	}
	read("datasources/quorate.yaml", &sources)
	if d := sources.Datasources; len(d) != 1 || d[0].Type != "prometheus" || d[0].URL != "http://127.0.0.1:19920" || d[0].JSONData["timeInterval"] != "1s" {
		t.Errorf("data sources %+v", d)
	}
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	read("dashboards/quorate.yaml", &providers)
	if len(providers.Providers) != 1 {
		t.Fatalf("providers %+v", providers)
	}
	pages, err := filepath.Glob(filepath.Join(providers.Providers[0].Options.Path, "*.json"))
	if err != nil || len(pages) != len(dashboards.All()) {
		t.Errorf("in the provider's folder are %q (%v)", pages, err)
	}
	if hint := grafanaHint(dir); !strings.Contains(hint, dir+"/provisioning") {
		t.Errorf("the hint does not name the folder: %s", hint)
	}
}
